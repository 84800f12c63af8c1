/**
 * The plugins of `@helios-infra`: which package has which type, and how to load it.
 *
 * None of them is loaded here. A configuration loads those that it names, when it is turned into services; what else is
 * installed costs nothing.
 */
import type * as Plugin from "@helios-infra/core/Plugin"
import type { FirstPartyOptions } from "./internal/firstPartyOptions.ts"

/** Where plugins of a type are. */
export interface Source {
  /** The package to install. */
  readonly package: string
  /** Its module. */
  readonly specifier: string
  /** Loads the module, as this package finds it. */
  readonly load: () => Promise<object>
}

const core: Source = {
  package: "@helios-infra/core",
  specifier: "@helios-infra/core/CorePlugin",
  load: () => import("@helios-infra/core/CorePlugin")
}

const local: Source = {
  package: "@helios-infra/adapter-local",
  specifier: "@helios-infra/adapter-local/LocalPlugin",
  load: () => import("@helios-infra/adapter-local/LocalPlugin")
}

const ffmpeg: Source = {
  package: "@helios-infra/stitcher-ffmpeg",
  specifier: "@helios-infra/stitcher-ffmpeg/FfmpegPlugin",
  load: () => import("@helios-infra/stitcher-ffmpeg/FfmpegPlugin")
}

const sql: Source = {
  package: "@helios-infra/repository-sql",
  specifier: "@helios-infra/repository-sql/SqlPlugin",
  load: () => import("@helios-infra/repository-sql/SqlPlugin")
}

/** By kind and type. */
export const sources: {
  readonly [K in Plugin.Kind]: { readonly [T in keyof FirstPartyOptions[K]]: Source }
} = {
  worker: {
    local,
    "aws-lambda": {
      package: "@helios-infra/adapter-aws",
      specifier: "@helios-infra/adapter-aws/AwsPlugin",
      load: () => import("@helios-infra/adapter-aws/AwsPlugin")
    },
    "cloud-run": {
      package: "@helios-infra/adapter-cloudrun",
      specifier: "@helios-infra/adapter-cloudrun/CloudRunPlugin",
      load: () => import("@helios-infra/adapter-cloudrun/CloudRunPlugin")
    },
    http: {
      package: "@helios-infra/adapter-http",
      specifier: "@helios-infra/adapter-http/HttpPlugin",
      load: () => import("@helios-infra/adapter-http/HttpPlugin")
    }
  },
  stitcher: { ffmpeg },
  repository: { memory: core, file: local, sqlite: sql, postgres: sql },
  storage: {
    folder: local,
    s3: {
      package: "@helios-infra/storage-s3",
      specifier: "@helios-infra/storage-s3/S3Plugin",
      load: () => import("@helios-infra/storage-s3/S3Plugin")
    },
    gcs: {
      package: "@helios-infra/storage-gcs",
      specifier: "@helios-infra/storage-gcs/GcsPlugin",
      load: () => import("@helios-infra/storage-gcs/GcsPlugin")
    }
  },
  outputCheck: { presence: core, trusting: core, ffmpeg }
}
