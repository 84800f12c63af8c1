/**
 * What this package offers to configurations: `{ "type": "memory" }` keeps jobs, `{ "type": "presence" }` and
 * `{ "type": "trusting" }` check outputs. None of them looks into a file or outlives its process.
 */
import * as Schema from "effect/Schema"
import * as JobRepository from "./JobRepository.ts"
import * as OutputCheck from "./OutputCheck.ts"
import * as Plugin from "./Plugin.ts"
import type { Workspace } from "./Workspace.ts"

/** The options of plugins that have none. */
export const NoConfig = Schema.Struct({})

/** Jobs in memory: gone with the process. */
export const memory: Plugin.Plugin<"repository", typeof NoConfig, never, never, "memory"> = Plugin.definePlugin({
  kind: "repository",
  type: "memory",
  apiVersion: 1,
  config: NoConfig,
  layer: () => JobRepository.layerMemory
})

/** Outputs count when they are there and not empty. */
export const presence: Plugin.Plugin<"outputCheck", typeof NoConfig, never, Workspace, "presence"> =
  Plugin.definePlugin({
    kind: "outputCheck",
    type: "presence",
    apiVersion: 1,
    config: NoConfig,
    layer: () => OutputCheck.layerPresence
  })

/** Outputs count when the worker says so, for workers that check before they answer. */
export const trusting: Plugin.Plugin<"outputCheck", typeof NoConfig, never, never, "trusting"> = Plugin.definePlugin({
  kind: "outputCheck",
  type: "trusting",
  apiVersion: 1,
  config: NoConfig,
  layer: () => OutputCheck.layerTrusting
})
