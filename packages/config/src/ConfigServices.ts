/**
 * From a configuration to services: the layers that `JobManager.layer` needs, with the plugins that it names.
 *
 * ```
 * file ─ConfigFile→ source ─variables→ HeliosConfig ─plugins, loaded by name→ Plugin.Registry ─resolve→ layers
 * ```
 *
 * Everything that is wrong with a configuration is found before a service is made.
 */
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import * as JobManager from "@helios-infra/core/JobManager"
import type { JobRepository } from "@helios-infra/core/JobRepository"
import * as OutputCheck from "@helios-infra/core/OutputCheck"
import * as Plugin from "@helios-infra/core/Plugin"
import { WorkerAdapter } from "@helios-infra/core/WorkerAdapter"
import { type Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as path from "node:path"
import * as ConfigFile from "./ConfigFile.ts"
import { ConfigFileError, describe, DuplicateType, Invalid, type Issue, NoConfig } from "./ConfigFileError.ts"
import * as FirstParty from "./FirstParty.ts"
import { type AnyPlugin, HeliosConfig, isPlugin } from "./HeliosConfig.ts"
import * as packages from "./internal/packages.ts"
import { fromValue, parsePath, type Path, type Source } from "./internal/source.ts"
import * as variables from "./internal/variables.ts"

/** Which configuration. */
export interface FileOptions {
  /** The file. Default: the one that {@link ConfigFile.find} finds. */
  readonly file?: string | undefined
  /** Where the search begins. Default: the current folder. */
  readonly folder?: string | undefined
}

/** What every configuration gives. It may give a `VideoStitcher` and an `ArtifactStorage` as well. */
export type Services = WorkerAdapter | OutputCheck.OutputCheck | Workspace | JobRepository

/** The services of jobs in one folder. A stitcher is there where the configuration has one. */
export type FolderServices = Workspace | OutputCheck.OutputCheck

/** What a configuration came to; no service is made yet. */
export interface Resolved {
  /** Where the configuration was; absent for one that comes from no file. */
  readonly file: string | undefined
  /** The folder of jobs. */
  readonly jobDir: string
  /** Everything, for jobs in {@link Resolved.jobDir}. Fails with what a plugin said when it could not start. */
  readonly layer: Layer.Layer<Services, ConfigFileError>
  /** What depends on where a job's files are, for jobs in another folder: for the options of `JobManager.run`. */
  readonly inFolder: (folder: string) => Layer.Layer<FolderServices, ConfigFileError>
}

/** Finds and reads a configuration, loads its plugins, and checks their options. */
export const resolve: (options?: FileOptions) => Effect.Effect<Resolved, ConfigFileError> = Effect.fn(
  "ConfigServices.resolve"
)(function* (options = {}) {
  const file = path.resolve(options.file ?? (yield* ConfigFile.find(options.folder)))
  const source = yield* ConfigFile.read(file)
  const filled = source.isText ? yield* variables.fill(source.value) : variables.keep(source.value)
  return yield* resolveSource({ ...options, file, folder: path.dirname(file), source, filled })
})

/**
 * The same for a configuration that the program has itself: what `defineConfig` gives. Paths in it, and packages that it
 * names, are meant from `folder`, which is the current one where nobody says.
 */
export const resolveConfig: (
  config: unknown,
  options?: { readonly folder?: string | undefined }
) => Effect.Effect<Resolved, ConfigFileError> = Effect.fn("ConfigServices.resolveConfig")(function* (
  config,
  { folder = "." } = {}
) {
  const source = fromValue(config)
  const filled = variables.keep(source.value)
  return yield* resolveSource({ file: undefined, folder: path.resolve(folder), source, filled })
})

/**
 * The services of a configuration, for `JobManager.layer`.
 *
 * ```ts
 * import * as ConfigServices from "@helios-infra/config/ConfigServices"
 * import * as JobManager from "@helios-infra/core/JobManager"
 * import * as Layer from "effect/Layer"
 *
 * export const jobs = JobManager.layer.pipe(Layer.provide(ConfigServices.layer()))
 * ```
 */
export const layer = (options?: FileOptions): Layer.Layer<Services, ConfigFileError> =>
  Layer.unwrap(Effect.map(resolve(options), (resolved) => resolved.layer))

/** {@link layer} for a configuration that the program has itself. */
export const layerConfig = (
  config: unknown,
  options?: { readonly folder?: string | undefined }
): Layer.Layer<Services, ConfigFileError> =>
  Layer.unwrap(Effect.map(resolveConfig(config, options), (resolved) => resolved.layer))

// ---------------------------------------------
// resolving
// ---------------------------------------------

interface Given {
  readonly file: string | undefined
  readonly folder: string
  readonly source: Source
  readonly filled: variables.Filled
}

const resolveSource = Effect.fnUntraced(function* (given: Given): Effect.fn.Return<Resolved, ConfigFileError> {
  const { file, filled, folder } = given
  const errors = errorsOf(given)
  if (!Predicate.isObject(filled.value)) {
    const detail = "it must hold a configuration: an object with at least a worker"
    return yield* errors.fail(new NoConfig({ detail }), [])
  }
  if (filled.faults.length > 0) {
    return yield* errors.invalid(filled.faults.map(({ message, path }) => ({ path: pathText(path), message })))
  }
  const config = yield* Plugin.decodeOptions(HeliosConfig)(filled.value).pipe(
    Effect.provideService(Plugin.OptionsFolder, folder),
    Effect.catch(({ issues }) => errors.invalid(issues))
  )
  const registry = yield* registryOf(config, folder, errors)

  /** The layer of a section's plugin; what its service says when it is made is about the section as well. */
  const section = Effect.fnUntraced(function* <K extends Plugin.Kind>(key: string, kind: K, options: unknown) {
    const layer = yield* registry.resolve(kind, options).pipe(
      Effect.provideService(Plugin.OptionsFolder, folder),
      Effect.mapError((error) => errors.plugin(error, key))
    )
    return Layer.catch(layer, (error) => Layer.effectContext(Effect.fail<ConfigFileError>(errors.plugin(error, key))))
  })
  const optional = <K extends Plugin.Kind>(key: string, kind: K, options: unknown) =>
    options === undefined ? Effect.undefined : section(key, kind, options)

  const worker = yield* section("worker", "worker", config.worker)
  const mergeWorker = yield* optional("mergeWorker", "worker", config.mergeWorker)
  const stitcher = yield* optional("stitcher", "stitcher", config.stitcher)
  const outputCheck = yield* optional("outputCheck", "outputCheck", config.outputCheck)
  const repository = yield* section("repository", "repository", config.repository ?? { type: "memory" })
  const storage = yield* optional("storage", "storage", config.storage)

  const workspaceIn = (dir: string) =>
    Layer.catch(LocalWorkspace.layer({ dir }), (error: WorkspaceError) =>
      Layer.effectContext(Effect.fail<ConfigFileError>(errors.workspace(error)))
    )
  // What a plugin brings later is what counts: an output check of its own before the stitcher's.
  const checks: Layer.Layer<OutputCheck.OutputCheck, ConfigFileError, Workspace> = Layer.merge(
    stitcher ?? OutputCheck.layerPresence,
    outputCheck ?? Layer.empty
  )
  const inFolder = (dir: string): Layer.Layer<FolderServices, ConfigFileError> =>
    checks.pipe(Layer.provideMerge(workspaceIn(dir)))

  const defaults = Layer.effect(
    JobManager.RunDefaults,
    Effect.gen(function* () {
      if (mergeWorker === undefined) return config.job ?? {}
      const context = yield* Layer.build(mergeWorker)
      return { ...config.job, mergeAdapter: Context.get(context, WorkerAdapter) }
    })
  )
  const jobDir = config.jobDir ?? folder
  const layer = Layer.mergeAll(worker, repository, storage ?? Layer.empty, defaults).pipe(
    Layer.provideMerge(inFolder(jobDir))
  )
  return { file, jobDir, layer, inFolder }
})

// ---------------------------------------------
// plugins
// ---------------------------------------------

/**
 * All plugins that there are for a configuration: ours, none of them loaded, and those that it names. One that is made of
 * others, such as a worker of several workers, would be added here: it needs the registry to resolve those.
 */
const registryOf = Effect.fnUntraced(function* (
  { plugins = [] }: HeliosConfig,
  folder: string,
  errors: Errors
): Effect.fn.Return<Plugin.Registry<Workspace>, ConfigFileError> {
  const all: Array<AnyPlugin> = []
  const owners = new Map<string, string>()
  const add = Effect.fnUntraced(function* (plugin: AnyPlugin, owner: string, at: Path) {
    const { kind, type } = plugin
    const key = `${kind} ${type}`
    const earlier = owners.get(key)
    if (earlier !== undefined)
      return yield* errors.fail(new DuplicateType({ kind, type, owners: [earlier, owner] }), at)
    owners.set(key, owner)
    all.push(plugin)
  })

  for (const kind of Plugin.kinds) {
    for (const [type, source] of Object.entries<FirstParty.Source>(FirstParty.sources[kind])) {
      yield* add(lazy(kind, type, source, folder), source.package, [])
    }
  }
  for (const [index, entry] of plugins.entries()) {
    const at = ["plugins", index]
    if (isPlugin(entry)) yield* add(entry, `plugins[${index}]`, at)
    else {
      const loaded = yield* Effect.mapError(packages.loadPackage(entry, folder), (reason) => errors.failure(reason, at))
      for (const plugin of loaded) yield* add(plugin, entry, at)
    }
  }
  return yield* Effect.mapError(Plugin.registry<Workspace>(all), (error) => errors.failure(error, ["plugins"]))
})

const lazy = (kind: Plugin.Kind, type: string, source: FirstParty.Source, folder: string): AnyPlugin => {
  switch (kind) {
    case "worker":
      return packages.lazy(kind, type, source, folder)
    case "stitcher":
      return packages.lazy(kind, type, source, folder)
    case "repository":
      return packages.lazy(kind, type, source, folder)
    case "storage":
      return packages.lazy(kind, type, source, folder)
    case "outputCheck":
      return packages.lazy(kind, type, source, folder)
  }
}

// ---------------------------------------------
// errors
// ---------------------------------------------

type Errors = ReturnType<typeof errorsOf>

const pathText = (at: Path): string =>
  at.reduce<string>(
    (text, key) => (Predicate.isString(key) ? `${text}${text === "" ? "" : "."}${key}` : `${text}[${key}]`),
    ""
  )

/** Errors about one configuration: with its file and place, and without what came out of the environment. */
const errorsOf = ({ file, filled: { hasVariables, redact }, source: { positionOf } }: Given) => {
  const failure = (reason: ConfigFileError["reason"], at: Path): ConfigFileError =>
    new ConfigFileError({ ...(file === undefined ? undefined : { file }), ...positionOf(at), reason })

  /** In the order in which a reader comes to them. */
  const placed = (issues: ReadonlyArray<Pick<Issue, "path" | "message">>, below: Path): ReadonlyArray<Issue> =>
    issues
      .map(({ message, path }): Issue => ({
        path,
        message: redact(message),
        ...positionOf([...below, ...parsePath(path)])
      }))
      .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))

  const plugin = ({ kind, reason, type }: Plugin.PluginError, key: string): ConfigFileError => {
    const name = { kind, ...(type === undefined ? undefined : { type }) }
    switch (reason._tag) {
      case "InvalidConfig":
        return failure(new Invalid({ plugin: name, issues: placed(reason.issues, [key]) }), [key])
      case "CannotStart":
        return failure(
          new Plugin.PluginError({ ...name, kind, reason: new Plugin.CannotStart({ cause: causeOf(reason.cause) }) }),
          [key, "type"]
        )
      default:
        return failure(new Plugin.PluginError({ ...name, kind, reason }), [key, "type"])
    }
  }

  /** A cause may hold a secret wherever it likes, and gives no more than its message then. */
  const causeOf = (cause: unknown): unknown => (hasVariables ? new Error(redact(describe(cause))) : cause)

  const workspace = ({ cause, path, reason }: WorkspaceError): ConfigFileError =>
    failure(new WorkspaceError({ path: redact(path), reason, cause: causeOf(cause) }), ["jobDir"])

  return {
    failure,
    plugin,
    workspace,
    fail: (reason: ConfigFileError["reason"], at: Path) => Effect.fail(failure(reason, at)),
    invalid: (issues: ReadonlyArray<Pick<Issue, "path" | "message">>) =>
      Effect.fail(failure(new Invalid({ issues: placed(issues, []) }), []))
  }
}
