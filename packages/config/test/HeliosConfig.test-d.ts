import type { AwsPlugin } from "@helios-infra/adapter-aws"
import type { CloudRunPlugin } from "@helios-infra/adapter-cloudrun"
import type { HttpPlugin } from "@helios-infra/adapter-http"
import type { LocalPlugin } from "@helios-infra/adapter-local"
import { defineConfig, type HeliosConfig } from "@helios-infra/config"
import { ArtifactStorage, type JobArtifacts, type JobManager, Plugin, WorkerAdapter } from "@helios-infra/core"
import type { SqlPlugin } from "@helios-infra/repository-sql"
import type { FfmpegPlugin } from "@helios-infra/stitcher-ffmpeg"
import type { GcsPlugin } from "@helios-infra/storage-gcs"
import type { S3Plugin } from "@helios-infra/storage-s3"
import { Layer, Schema } from "effect"
import { describe, expectTypeOf, it } from "vitest"

declare const adapter: WorkerAdapter.WorkerAdapter["Service"]
declare const store: ArtifactStorage.ArtifactStorage["Service"]

const ssh = Plugin.definePlugin({
  kind: "worker",
  type: "ssh",
  apiVersion: 1,
  config: Schema.Struct({ host: Schema.String, port: Schema.optionalKey(Schema.Int), patience: Plugin.Duration }),
  layer: () => Layer.succeed(WorkerAdapter.WorkerAdapter, adapter)
})

const tape = Plugin.definePlugin({
  kind: "storage",
  type: "tape",
  apiVersion: 1,
  config: Schema.Struct({ drive: Schema.String }),
  layer: () => Layer.succeed(ArtifactStorage.ArtifactStorage, store)
})

describe("a configuration in TypeScript", () => {
  it("knows the options of every plugin of ours", () => {
    defineConfig({
      worker: { type: "aws-lambda", functionName: "render", concurrency: 50 },
      mergeWorker: { type: "local", killGrace: "10 seconds" },
      stitcher: { type: "ffmpeg", decode: "full" },
      outputCheck: { type: "presence" },
      repository: { type: "postgres", url: "postgres://db/jobs" },
      storage: { type: "s3", bucket: "renders" },
      jobDir: "jobs",
      job: { retries: 3, retryDelay: "5 seconds", artifacts: { access: "urls" } }
    })
  })

  it("has a worker at least", () => {
    // @ts-expect-error there is none
    defineConfig({ stitcher: { type: "ffmpeg" } })
  })

  it("takes no option that the plugin has not", () => {
    // @ts-expect-error it is called functionName
    defineConfig({ worker: { type: "aws-lambda", functionNmae: "render" } })
    // @ts-expect-error it is called concurrency
    defineConfig({ worker: { type: "local", concurency: 4 } })
    // @ts-expect-error that is an option of another plugin
    defineConfig({ worker: { type: "local", functionName: "render" } })
    // @ts-expect-error memory has no options
    defineConfig({ worker: { type: "local" }, repository: { type: "memory", dir: "jobs" } })
    // @ts-expect-error it is called retries
    defineConfig({ worker: { type: "local" }, job: { retrys: 3 } })
    // @ts-expect-error there is no such section
    defineConfig({ worker: { type: "local" }, stitch: { type: "ffmpeg" } })
  })

  it("takes no value of another type, and leaves out nothing that is needed", () => {
    // @ts-expect-error a number
    defineConfig({ worker: { type: "local", concurrency: "4" } })
    // @ts-expect-error one of three
    defineConfig({ worker: { type: "local" }, stitcher: { type: "ffmpeg", decode: "some" } })
    // @ts-expect-error the function's name
    defineConfig({ worker: { type: "aws-lambda" } })
  })

  it("takes no type of another kind, or of nobody", () => {
    // @ts-expect-error a storage
    defineConfig({ worker: { type: "s3", bucket: "renders" } })
    // @ts-expect-error nobody's
    defineConfig({ worker: { type: "ssh", host: "a" } })
  })
})

describe("plugins that a configuration imports", () => {
  it("have their options checked like ours", () => {
    defineConfig({
      plugins: [ssh, tape],
      worker: { type: "ssh", host: "render.example", port: 22, patience: "5 seconds" },
      storage: { type: "tape", drive: "/dev/st0" }
    })
    // @ts-expect-error it is called host
    defineConfig({ plugins: [ssh], worker: { type: "ssh", hots: "render.example", patience: 5 } })
    // @ts-expect-error patience is needed
    defineConfig({ plugins: [ssh], worker: { type: "ssh", host: "render.example" } })
    // @ts-expect-error a storage is no worker
    defineConfig({ plugins: [tape], worker: { type: "tape", drive: "/dev/st0" } })
  })

  it("leave ours as they are", () => {
    defineConfig({ plugins: [ssh], worker: { type: "local", concurrency: 4 } })
    // @ts-expect-error it is called concurrency
    defineConfig({ plugins: [ssh], worker: { type: "local", concurency: 4 } })
  })

  it("are known by a literal type only: of others nobody can tell which options are theirs", () => {
    const any: Plugin.Plugin<"worker", typeof ssh.config> = ssh
    // @ts-expect-error its type is any string
    defineConfig({ plugins: [any], worker: { type: "ssh", host: "render.example", patience: 5 } })
  })

  it("are plugins", () => {
    // @ts-expect-error a number is none
    defineConfig({ plugins: [7], worker: { type: "local" } })
  })
})

describe("how jobs are run", () => {
  it("is what a manager takes", () => {
    expectTypeOf<typeof HeliosConfig.JobOptions.Type>().toExtend<JobManager.RunOptions>()
  })

  it("has all that can be said of the storage", () => {
    expectTypeOf<keyof NonNullable<typeof HeliosConfig.JobOptions.Type.artifacts>>().toEqualTypeOf<
      keyof JobArtifacts.Options
    >()
  })
})

type Generated = HeliosConfig.FirstPartyOptions

/** Nothing where each lets through what the other does. */
type Differs<A, B> = [A] extends [B] ? ([B] extends [A] ? never : B) : A

it("has generated options that are those of the packages", () => {
  expectTypeOf<Differs<Generated["worker"]["local"], typeof LocalPlugin.WorkerConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["worker"]["aws-lambda"], typeof AwsPlugin.WorkerConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["worker"]["cloud-run"], typeof CloudRunPlugin.WorkerConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["worker"]["http"], typeof HttpPlugin.WorkerConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["stitcher"]["ffmpeg"], typeof FfmpegPlugin.StitcherConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["outputCheck"]["ffmpeg"], typeof FfmpegPlugin.OutputCheckConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["repository"]["file"], typeof LocalPlugin.RepositoryConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["repository"]["sqlite"], typeof SqlPlugin.SqliteConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["repository"]["postgres"], typeof SqlPlugin.PostgresConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["storage"]["folder"], typeof LocalPlugin.StorageConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["storage"]["s3"], typeof S3Plugin.StorageConfig.Encoded>>().toBeNever()
  expectTypeOf<Differs<Generated["storage"]["gcs"], typeof GcsPlugin.StorageConfig.Encoded>>().toBeNever()
})
