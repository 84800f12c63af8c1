import {
  JobRepository,
  type OutputCheck,
  Plugin,
  type VideoStitcher,
  WorkerAdapter,
  type Workspace
} from "@helios-infra/core"
import { type Effect, Layer, Schema } from "effect"
import { expectTypeOf, it } from "vitest"

declare const adapter: WorkerAdapter.WorkerAdapter["Service"]
declare const stitching: Layer.Layer<VideoStitcher.VideoStitcher, never, Workspace.Workspace>

const worker = Plugin.definePlugin({
  kind: "worker",
  type: "w",
  apiVersion: 1,
  config: Schema.Struct({ grace: Plugin.Duration, n: Schema.optionalKey(Schema.NumberFromString) }),
  layer: (config) => {
    expectTypeOf(config.n).toEqualTypeOf<number | undefined>()
    return Layer.succeed(WorkerAdapter.WorkerAdapter, adapter)
  }
})

const stitcher = Plugin.definePlugin({
  kind: "stitcher",
  type: "s",
  apiVersion: 1,
  config: Schema.Struct({}),
  layer: () => stitching
})

it("knows each plugin by its literal type", () => {
  expectTypeOf(worker.type).toEqualTypeOf<"w">()
  expectTypeOf(stitcher.type).toEqualTypeOf<"s">()
})

it("gives each plugin the layer of its kind, with what it needs", () => {
  expectTypeOf(worker.resolve).returns.toEqualTypeOf<
    Effect.Effect<Layer.Layer<WorkerAdapter.WorkerAdapter, Plugin.PluginError>, Plugin.PluginError>
  >()
  expectTypeOf(stitcher.resolve).returns.toEqualTypeOf<
    Effect.Effect<
      Layer.Layer<VideoStitcher.VideoStitcher | OutputCheck.OutputCheck, Plugin.PluginError, Workspace.Workspace>,
      Plugin.PluginError
    >
  >()
})

it("takes no layer of another kind", () => {
  Plugin.definePlugin({
    kind: "worker",
    type: "w",
    apiVersion: 1,
    config: Schema.Struct({}),
    // @ts-expect-error a repository is no worker
    layer: () => JobRepository.layerMemory
  })
})

it("lets a registry need what its plugins need", () => {
  expectTypeOf(Plugin.registry([worker])).toEqualTypeOf<Effect.Effect<Plugin.Registry, Plugin.PluginError>>()
  expectTypeOf(Plugin.registry([worker, stitcher])).toEqualTypeOf<
    Effect.Effect<Plugin.Registry<Workspace.Workspace>, Plugin.PluginError>
  >()
})
