/**
 * What a configuration says: which plugin does what, with which options, and how jobs are run.
 *
 * This is the model alone, as TypeScript, JSON and YAML write it. `ConfigFile` reads files, `ConfigServices` turns a
 * configuration into services.
 */
import * as Plugin from "@helios-infra/core/Plugin"
import type { Workspace } from "@helios-infra/core/Workspace"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { FirstPartyOptions } from "./internal/firstPartyOptions.ts"

export type { FirstPartyOptions } from "./internal/firstPartyOptions.ts"

// ---------------------------------------------
// how jobs are run
// ---------------------------------------------

const time = Schema.optionalKey(Plugin.Duration)

/** How jobs are run where nobody says otherwise: `JobManager.RunDefaults`. */
export const JobOptions = Schema.Struct({
  concurrency: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))).annotateKey({
    description: "How many attempts at once. Default: what suits the worker; never more than it can take."
  }),
  retries: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))).annotateKey({
    description: "How often a chunk is tried again after its first attempt failed. Default: 2."
  }),
  retryDelay: time.annotateKey({
    description:
      "The first delay before a chunk is tried again; doubles each time, give or take 20 %. Default: 1 second."
  }),
  maxRetryDelay: time.annotateKey({ description: "No delay is longer. Default: 30 seconds." }),
  attemptTimeout: time.annotateKey({
    description: "How long one attempt may take, its output check included. Default: no limit."
  }),
  stallTimeout: time.annotateKey({
    description: "How long an attempt may give no sign of life: no frame, line or heartbeat. Default: no limit."
  }),
  throttleTimeout: time.annotateKey({
    description: "How long throttled attempts are repeated without one success of any chunk. Default: 15 minutes."
  }),
  env: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)).annotateKey({
    description: "Variables for the commands, beside those that the worker lets through."
  }),
  artifacts: Schema.optionalKey(
    Schema.Struct({
      access: Schema.optionalKey(Schema.Literals(["credentials", "urls"])).annotateKey({
        description:
          "How workers get at artifacts: with credentials of their own, or by URLs that are made for each attempt and expire. Default: credentials."
      }),
      urlsExpire: time.annotateKey({
        description: "How long such a URL works: at least twice as long as an attempt takes. Default: 12 hours."
      }),
      stitchFrom: Schema.optionalKey(Schema.Literals(["copies", "storage"])).annotateKey({
        description:
          "Whether the stitcher is given copies of outputs here, or reads them from the storage as it joins them, where it can. Default: copies."
      }),
      keep: Schema.optionalKey(Schema.Boolean).annotateKey({
        description:
          "Whether all outputs and logs, and the job file, stay in the storage when a run ends. Default: accepted outputs of a job that is not completed."
      })
    })
  ).annotateKey({ description: "How the storage is used." })
})

// ---------------------------------------------
// the whole
// ---------------------------------------------

/** What a plugin is given: a `type`, and its options. Which ones there are, only the plugin knows. */
const Section = Schema.Unknown

/** A plugin as configurations are given it, whatever its options are. */
export type AnyPlugin = Plugin.Any<Workspace>

/** Whether a value is a plugin. */
export const isPlugin = (value: unknown): value is AnyPlugin =>
  Predicate.isObject(value) &&
  Predicate.hasProperty(value, "kind") &&
  Plugin.kinds.some((kind) => kind === value.kind) &&
  Predicate.hasProperty(value, "type") &&
  Predicate.isString(value.type) &&
  Predicate.hasProperty(value, "apiVersion") &&
  Predicate.hasProperty(value, "resolve") &&
  Predicate.isFunction(value.resolve)

const PluginEntry = Schema.declare(
  (value): value is string | AnyPlugin => Predicate.isString(value) || isPlugin(value),
  {
    message: "must be the name of a package, or in code a plugin: what definePlugin gives"
  }
)

/** A configuration, whatever wrote it; plugins and their options are looked at when it is turned into services. */
export const HeliosConfig = Schema.Struct({
  $schema: Schema.optionalKey(Schema.String).annotateKey({ description: "The JSON Schema of this file, for editors." }),
  plugins: Schema.optionalKey(Schema.Array(PluginEntry)).annotateKey({
    description: "Packages that bring plugins of their own, by name, found from the folder of this file."
  }),
  worker: Section.annotateKey({ description: "Renders the chunks." }),
  mergeWorker: Schema.optionalKey(Section).annotateKey({
    description: "Runs the merge command of job files. Default: the worker. Not used when there is a stitcher."
  }),
  stitcher: Schema.optionalKey(Section).annotateKey({
    description: "Joins the chunks. Default: the job file's merge command does, or the chunks are the result."
  }),
  outputCheck: Schema.optionalKey(Section).annotateKey({
    description: "Checks each chunk before it counts. Default: the stitcher's own check, else presence."
  }),
  repository: Schema.optionalKey(Section).annotateKey({ description: "Keeps jobs. Default: memory." }),
  storage: Schema.optionalKey(Section).annotateKey({
    description: "Where workers elsewhere read jobs and put their outputs. Default: none."
  }),
  jobDir: Schema.optionalKey(Plugin.FilePath).annotateKey({
    description: "The folder of jobs, meant from the folder of this file. Default: that folder."
  }),
  job: Schema.optionalKey(JobOptions).annotateKey({ description: "How jobs are run where nobody says otherwise." })
})

/** The type of {@link HeliosConfig}. */
export type HeliosConfig = typeof HeliosConfig.Type

// ---------------------------------------------
// in TypeScript
// ---------------------------------------------

/** The options of a package of ours, with their type. */
type FirstParty<K extends Plugin.Kind> = {
  readonly [T in keyof FirstPartyOptions[K]]: { readonly type: T } & FirstPartyOptions[K][T]
}[keyof FirstPartyOptions[K]]

/** The options of a plugin that was imported. One whose type is any string cannot be told from others, and has none. */
type Imported<K extends Plugin.Kind, P> = P extends {
  readonly kind: K
  readonly type: infer T extends string
  readonly config: { readonly Encoded: infer Options }
}
  ? string extends T
    ? never
    : { readonly type: T } & Options
  : never

/** What a section of a configuration can be: a plugin of a kind, ours or one of `P`, and its options. */
export type Options<K extends Plugin.Kind, P = never> = FirstParty<K> | Imported<K, P>

/** A configuration in TypeScript, where `P` are the plugins that it imports. */
export interface Config<P extends ReadonlyArray<AnyPlugin> = readonly []> {
  /** Plugins beside those of `@helios-infra`, imported: their options are checked like all others. */
  readonly plugins?: P
  /** Renders the chunks. */
  readonly worker: Options<"worker", P[number]>
  /** Runs the merge command of job files. Default: the worker. Not used when there is a stitcher. */
  readonly mergeWorker?: Options<"worker", P[number]>
  /** Joins the chunks. Default: the job file's merge command does, or the chunks are the result. */
  readonly stitcher?: Options<"stitcher", P[number]>
  /** Checks each chunk before it counts. Default: the stitcher's own check, else `presence`. */
  readonly outputCheck?: Options<"outputCheck", P[number]>
  /** Keeps jobs. Default: `memory`. */
  readonly repository?: Options<"repository", P[number]>
  /** Where workers elsewhere read jobs and put their outputs. Default: none. */
  readonly storage?: Options<"storage", P[number]>
  /** The folder of jobs, meant from the folder of the file. Default: that folder. */
  readonly jobDir?: string
  /** How jobs are run where nobody says otherwise. */
  readonly job?: typeof JobOptions.Encoded
}

/**
 * Gives a configuration back as it is; TypeScript checks each option of each plugin, also of those that it imports.
 *
 * ```ts
 * import { defineConfig } from "@helios-infra/config"
 *
 * export default defineConfig({
 *   worker: { type: "aws-lambda", functionName: "render" },
 *   stitcher: { type: "ffmpeg" },
 *   storage: { type: "s3", bucket: "renders" },
 *   job: { retries: 3 }
 * })
 * ```
 */
export const defineConfig = <const P extends ReadonlyArray<AnyPlugin> = readonly []>(config: Config<P>): Config<P> =>
  config
