/**
 * From `{ "type": "local", "concurrency": 4 }` to a layer: what packages export so that adapters, stitchers,
 * repositories, storages and checks of outputs can be chosen by configuration, and the registry that looks them up.
 *
 * A plugin says which service it makes, under which name, and what its options are. Nothing is loaded, searched for or
 * read from files here: whoever makes the registry names its plugins.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration_ from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type { ArtifactStorage } from "./ArtifactStorage.ts"
import * as Defect from "./internal/Defect.ts"
import * as NearMiss from "./internal/NearMiss.ts"
import type { JobRepository } from "./JobRepository.ts"
import * as OutputCheck from "./OutputCheck.ts"
import type { VideoStitcher } from "./VideoStitcher.ts"
import type { WorkerAdapter } from "./WorkerAdapter.ts"
import type { Workspace } from "./Workspace.ts"

// ---------------------------------------------
// kinds
// ---------------------------------------------

/** The service that a plugin of each kind makes. */
export interface Kinds {
  readonly worker: WorkerAdapter
  readonly stitcher: VideoStitcher
  readonly repository: JobRepository
  readonly storage: ArtifactStorage
  readonly outputCheck: OutputCheck.OutputCheck
}

/** What a plugin is for. */
export type Kind = keyof Kinds

/** All of them. */
export const kinds: readonly ["worker", "stitcher", "repository", "storage", "outputCheck"] = [
  "worker",
  "stitcher",
  "repository",
  "storage",
  "outputCheck"
]

/** What comes with a plugin's service where its layer does not bring it: a check of outputs with every stitcher. */
interface Extras {
  readonly worker: never
  readonly stitcher: OutputCheck.OutputCheck
  readonly repository: never
  readonly storage: never
  readonly outputCheck: never
}

interface ExtrasNeed {
  readonly worker: never
  readonly stitcher: Workspace
  readonly repository: never
  readonly storage: never
  readonly outputCheck: never
}

/** All services that a resolved plugin of a kind gives. */
export type Provided<K extends Kind> = Kinds[K] | Extras[K]

const extras: { readonly [K in Kind]: Layer.Layer<Extras[K], never, ExtrasNeed[K]> } = {
  worker: Layer.empty,
  stitcher: OutputCheck.layerPresence,
  repository: Layer.empty,
  storage: Layer.empty,
  outputCheck: Layer.empty
}

// ---------------------------------------------
// errors
// ---------------------------------------------

/** There is no plugin of this type. */
export class UnknownType extends Schema.TaggedError<UnknownType>()("UnknownType", {
  /** The types that there are, of the same kind. */
  known: Schema.Array(Schema.String),
  /** The one that was probably meant. */
  near: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    if (this.known.length === 0) return "there is none of this kind: register one"
    const meant = this.near === undefined ? "" : `did you mean ${JSON.stringify(this.near)}? `
    return `there is none of this type: ${meant}There are ${list(this.known)}`
  }
}

/** There is a plugin of this type, but it makes something else. */
export class WrongKind extends Schema.TaggedError<WrongKind>()("WrongKind", {
  found: Schema.Literals(kinds),
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const others = this.known.length === 0 ? "none of this kind is registered" : `there are ${list(this.known)}`
    return `that is the name of ${a(this.found)}: ${others}`
  }
}

/** Two plugins of one kind have the same type. */
export class Duplicate extends Schema.TaggedError<Duplicate>()("Duplicate", {}) {
  override get message(): string {
    return "it is registered twice: leave one of them out"
  }
}

/** The plugin was made for another version of this contract. */
export class UnsupportedApiVersion extends Schema.TaggedError<UnsupportedApiVersion>()("UnsupportedApiVersion", {
  found: Schema.Unknown
}) {
  override get message(): string {
    return `it has apiVersion ${Defect.describe(this.found)} and this core takes ${apiVersion}: update the older of the two packages`
  }
}

/** The options are not what the plugin takes. */
export class InvalidConfig extends Schema.TaggedError<InvalidConfig>()("InvalidConfig", {
  /** What is wrong, and where: `{ path: "concurrency", message: "is missing" }`. */
  issues: Schema.Array(Schema.Struct({ path: Schema.String, message: Schema.String }))
}) {
  override get message(): string {
    const lines = this.issues.map(({ path, message }) => (path === "" ? message : `${path} ${message}`))
    return lines.length === 1 ? (lines[0] ?? "") : ["", ...lines].join("\n- ")
  }
}

/** The plugin is one of a package that is not there. */
export class NotInstalled extends Schema.TaggedError<NotInstalled>()("NotInstalled", {
  /** The package's name. */
  package: Schema.String
}) {
  override get message(): string {
    return `its package is not installed: npm install ${this.package}`
  }
}

/** The package is there, and failed when it was loaded. */
export class CannotLoad extends Schema.TaggedError<CannotLoad>()("CannotLoad", {
  package: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `its package ${this.package} could not be loaded: ${messageOf(this.cause)}`
  }
}

/** The options are right, and the service could not be made from them. */
export class CannotStart extends Schema.TaggedError<CannotStart>()("CannotStart", { cause: Schema.Defect() }) {
  override get message(): string {
    return `it could not start: ${messageOf(this.cause)}`
  }
}

/** Every reason for which a plugin cannot be used. */
export const PluginReason = Schema.Union([
  UnknownType,
  WrongKind,
  Duplicate,
  UnsupportedApiVersion,
  InvalidConfig,
  NotInstalled,
  CannotLoad,
  CannotStart
])

/** The type of {@link PluginReason}. */
export type PluginReason = typeof PluginReason.Type

/** A plugin cannot be used; `type` is absent when the options name none. */
export class PluginError extends Schema.TaggedError<PluginError>()("PluginError", {
  kind: Schema.Literals(kinds),
  type: Schema.optionalKey(Schema.String),
  reason: PluginReason
}) {
  override get message(): string {
    return `${this.kind}${this.type === undefined ? "" : ` ${JSON.stringify(this.type)}`}: ${this.reason.message}`
  }
}

const messageOf = (cause: unknown): string => (Predicate.isError(cause) ? cause.message : Defect.describe(cause))

const a = (kind: Kind): string => (kind === "outputCheck" ? `an ${kind}` : `a ${kind}`)

const list = (words: ReadonlyArray<string>): string => words.map((word) => JSON.stringify(word)).join(", ")

// ---------------------------------------------
// options
// ---------------------------------------------

const noTime = 'must be a time such as "5 seconds", or a number of milliseconds'

/** How long, as a configuration file writes it: `"5 seconds"`, or a number of milliseconds. */
export const Duration: Schema.Codec<Duration_.Duration, string | number> = Schema.Union([
  Schema.String.check(
    Schema.isPattern(/^\d+(?:\.\d+)?\s+(?:nano|micro|milli|second|minute|hour|day|week)s?$/u, { message: noTime })
  ).pipe(Schema.decodeTo(Schema.Duration, SchemaTransformation.durationFromString)),
  // A number that is none would count as no time at all.
  Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0, { message: noTime })).pipe(
    Schema.decodeTo(Schema.Duration, SchemaTransformation.durationFromMillis)
  )
]).annotate({ message: noTime })

/**
 * The folder that paths in options are meant from: that of the configuration file, where there is one. Default: the
 * current one.
 */
export const OptionsFolder: Context.Reference<string> = Context.Reference("@helios-infra/core/Plugin/OptionsFolder", {
  defaultValue: () => "."
})

/** The path of a file or a folder, meant from {@link OptionsFolder} unless it is absolute. */
export const FilePath: Schema.Codec<string> = Schema.NonEmptyString.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transformEffect((path: string) =>
      Effect.map(OptionsFolder, (folder) => (folder === "." || isAbsolute(path) ? path : `${folder}/${path}`))
    ),
    encode: SchemaGetter.passthrough()
  })
)

const isAbsolute = (path: string): boolean => /^(?:[/\\]|[a-z]:[/\\])/i.test(path)

type Issue = InvalidConfig["issues"][number]

const pathOf = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, key) => (typeof key === "string" ? `${text}${text === "" ? "" : "."}${key}` : `${text}[${String(key)}]`),
    ""
  )

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => {
    if (issue._tag === "MissingKey") return "is missing"
    return SchemaIssue.defaultLeafHook(issue).replace(/^Expected /, "must be ")
  }
})

/** What is wrong with options, one by one; a key that is not known is told which ones are. */
const issuesOf = (issue: SchemaIssue.Issue, path: ReadonlyArray<PropertyKey> = []): ReadonlyArray<Issue> => {
  switch (issue._tag) {
    case "Pointer":
      return issuesOf(issue.issue, [...path, ...issue.path])
    case "Composite":
      return issue.issues.flatMap((inner) => issuesOf(inner, path))
    case "UnexpectedKey":
      return [{ path: pathOf(path), message: unexpected(String(path.at(-1)), issue.ast) }]
    default:
      return format(issue).issues.map(({ message, path: below = [] }) => ({
        path: pathOf([...path, ...below.map((key) => (typeof key === "object" ? key.key : key))]),
        message: message.replace(/^Expected /, "must be ")
      }))
  }
}

const unexpected = (key: string, ast: SchemaAST.AST): string => {
  const known = SchemaAST.isObjects(ast) ? ast.propertySignatures.map(({ name }) => String(name)) : []
  if (known.length === 0) return "is not an option: there are none"
  const near = NearMiss.find(key, known)
  return `is not an option: ${near === undefined ? "" : `did you mean ${JSON.stringify(near)}? `}There are ${list(known)}`
}

/** Reads options by a schema: everything that is wrong with them at once, with what was probably meant. */
export const decodeOptions = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S
): ((options: unknown) => Effect.Effect<S["Type"], InvalidConfig>) => {
  const decode = Schema.decodeUnknownEffect(schema, { errors: "all", onExcessProperty: "error" })
  // To a schema, an object without any fields is any value: nothing in it would be one too many.
  const { ast } = schema
  const takesNone = SchemaAST.isObjects(ast) && ast.propertySignatures.length === 0 && ast.indexSignatures.length === 0
  const surplus = (options: unknown): ReadonlyArray<Issue> =>
    takesNone && Predicate.isObject(options)
      ? Object.keys(options).map((path) => ({ path, message: unexpected(path, ast) }))
      : []
  return (options) =>
    decode(options).pipe(
      Effect.mapError(({ issue }) => new InvalidConfig({ issues: issuesOf(issue) })),
      Effect.filterOrFail(
        () => surplus(options).length === 0,
        () => new InvalidConfig({ issues: surplus(options) })
      )
    )
}

// ---------------------------------------------
// plugins
// ---------------------------------------------

/** The version of the plugin contract that this core takes. */
export const apiVersion = 1

/** What the author of a plugin writes. */
export interface Definition<
  K extends Kind,
  S extends Schema.ConstraintDecoder<unknown>,
  E = never,
  R = never,
  T extends string = string
> {
  readonly kind: K
  /** The name in configurations: `"local"`, `"aws-lambda"`. Unique among the plugins of its kind. */
  readonly type: T
  readonly apiVersion: typeof apiVersion
  /** The options beside `type`. A key that it does not have is rejected. */
  readonly config: S
  /**
   * The service, from decoded options. A stitcher's layer may bring an `OutputCheck` as well, which then is the default
   * check of jobs that it joins; with one that brings none, outputs are checked for presence only.
   *
   * One that fails with `InvalidConfig` says which of its options are wrong, as the schema would.
   */
  readonly layer: (config: S["Type"]) => Layer.Layer<Kinds[K], E, R>
}

/** A plugin, whatever its options are; `R` is what its service needs. */
export interface Resolvable<K extends Kind, R = never> {
  readonly kind: K
  readonly type: string
  readonly apiVersion: number
  /**
   * Reads options (those beside `type`) and gives the layer, which is not built yet. Fails with `InvalidConfig`; the
   * layer fails with `CannotStart`, or with `InvalidConfig` where options turn out to be wrong only then.
   */
  readonly resolve: (options: unknown) => Effect.Effect<Layer.Layer<Provided<K>, PluginError, R>, PluginError>
}

/** A plugin with all that is known of it; configurations in TypeScript know it by the literal type `T`. */
export interface Plugin<
  K extends Kind,
  S extends Schema.ConstraintDecoder<unknown>,
  E = never,
  R = never,
  T extends string = string
>
  extends Definition<K, S, E, R, T>, Resolvable<K, R | ExtrasNeed[K]> {
  readonly type: T
  readonly apiVersion: typeof apiVersion
}

/** A plugin of any kind, as registries take them. */
export type Any<R = never> = { readonly [K in Kind]: Resolvable<K, R> }[Kind]

/**
 * Makes a plugin.
 *
 * ```ts
 * import * as Plugin from "@helios-infra/core/Plugin"
 * import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
 * import * as Schema from "effect/Schema"
 *
 * declare const fleet: (options: { readonly url: string }) => WorkerAdapter.WorkerAdapter["Service"]
 *
 * export const worker = Plugin.definePlugin({
 *   kind: "worker",
 *   type: "fleet",
 *   apiVersion: 1,
 *   config: Schema.Struct({ url: Schema.String }),
 *   layer: ({ url }) => WorkerAdapter.layer(fleet({ url }))
 * })
 * ```
 */
export const definePlugin = <
  K extends Kind,
  S extends Schema.ConstraintDecoder<unknown>,
  E = never,
  R = never,
  const T extends string = string
>(
  definition: Definition<K, S, E, R, T>
): Plugin<K, S, E, R, T> => {
  const { config, kind, type } = definition
  const fail = (reason: PluginReason) => new PluginError({ kind, type, reason })
  const decode = decodeOptions(config)
  const resolve = (options: unknown) =>
    decode(options).pipe(
      Effect.mapError(fail),
      Effect.map((decoded) =>
        // What it throws, such as a constructor that does not like an option, is why it could not start.
        Layer.suspend(() => definition.layer(decoded)).pipe(
          Layer.catchCause((cause) =>
            Layer.effectContext(
              Cause.hasInterruptsOnly(cause)
                ? Effect.interrupt
                : Effect.fail<PluginError>(fail(startFailure(Cause.squash(cause))))
            )
          ),
          // The plugin's own last: it is what counts where both bring a service.
          (own) => Layer.merge(extras[kind], own)
        )
      )
    )
  return { ...definition, resolve }
}

const startFailure = (thrown: unknown): PluginReason =>
  thrown instanceof InvalidConfig ? thrown : new CannotStart({ cause: thrown })

// ---------------------------------------------
// the registry
// ---------------------------------------------

/** Plugins by kind and type; `R` is what their services need. */
export interface Registry<R = never> {
  /** The types that there are of a kind, in the order of registration. */
  readonly types: (kind: Kind) => ReadonlyArray<string>
  /**
   * From options with a `type` to the layer of that plugin's service, which is not built yet: everything that is wrong
   * with the options is found before anything starts.
   */
  readonly resolve: <K extends Kind>(
    kind: K,
    options: unknown
  ) => Effect.Effect<Layer.Layer<Provided<K>, PluginError, R>, PluginError>
}

type ByKind<R> = { readonly [K in Kind]: Map<string, Resolvable<K, R>> }

const add = <R>(plugins: ByKind<R>, plugin: Any<R>): void => {
  switch (plugin.kind) {
    case "worker":
      plugins.worker.set(plugin.type, plugin)
      return
    case "stitcher":
      plugins.stitcher.set(plugin.type, plugin)
      return
    case "repository":
      plugins.repository.set(plugin.type, plugin)
      return
    case "storage":
      plugins.storage.set(plugin.type, plugin)
      return
    case "outputCheck":
      plugins.outputCheck.set(plugin.type, plugin)
  }
}

/** Makes a registry of plugins. Fails with `Duplicate` or `UnsupportedApiVersion`. */
export const registry = Effect.fnUntraced(function* <R = never>(
  plugins: ReadonlyArray<Any<R>>
): Effect.fn.Return<Registry<R>, PluginError> {
  const byKind: ByKind<R> = {
    worker: new Map(),
    stitcher: new Map(),
    repository: new Map(),
    storage: new Map(),
    outputCheck: new Map()
  }
  for (const plugin of plugins) {
    const { kind, type } = plugin
    if (plugin.apiVersion !== apiVersion) {
      const reason = new UnsupportedApiVersion({ found: plugin.apiVersion })
      return yield* new PluginError({ kind, type, reason })
    }
    if (byKind[kind].has(type)) return yield* new PluginError({ kind, type, reason: new Duplicate() })
    add(byKind, plugin)
  }

  const types = (kind: Kind): ReadonlyArray<string> => [...byKind[kind].keys()]

  const missing = (kind: Kind, type: string): PluginError => {
    const known = types(kind)
    const found = kinds.find((other) => byKind[other].has(type))
    const near = NearMiss.find(type, known)
    const reason =
      found === undefined
        ? new UnknownType({ known, ...(near === undefined ? {} : { near }) })
        : new WrongKind({ found, known })
    return new PluginError({ kind, type, reason })
  }

  const resolve = <K extends Kind>(kind: K, options: unknown) => {
    if (!Predicate.isObject(options) || !Predicate.hasProperty(options, "type") || !Predicate.isString(options.type)) {
      const issues = [{ path: "type", message: `must name ${a(kind)}: there are ${list(types(kind)) || "none"}` }]
      return Effect.fail(new PluginError({ kind, reason: new InvalidConfig({ issues }) }))
    }
    const { type, ...others } = options
    const plugin = byKind[kind].get(type)
    return plugin === undefined ? Effect.fail(missing(kind, type)) : plugin.resolve(others)
  }

  return { types, resolve }
})

/** The plugins of a program, for those who choose services by configuration. */
export class PluginRegistry extends Context.Service<PluginRegistry, Registry<Workspace>>()(
  "@helios-infra/core/Plugin/PluginRegistry"
) {}

/** {@link registry} as a layer. */
export const layer = (plugins: ReadonlyArray<Any<Workspace>>): Layer.Layer<PluginRegistry, PluginError> =>
  Layer.effect(PluginRegistry, registry(plugins))
