/**
 * Why a configuration cannot be used: in which file, at which line and column, and what to do.
 *
 * What came out of the environment is never in a message, unless it is shorter than 4 characters: `${NAME}` stands there in
 * its place.
 */
import * as Plugin from "@helios-infra/core/Plugin"
import { WorkspaceError } from "@helios-infra/core/Workspace"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/** There is no configuration. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {
  /** The names that were looked for. */
  names: Schema.Array(Schema.String),
  /** Where the search began, and went upward from. Absent where a file was named. */
  folder: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return this.folder === undefined
      ? "there is no such file"
      : `no configuration in ${this.folder} or a folder above it: write one of ${this.names.join(", ")}`
  }
}

/** Two configurations or more stand side by side. */
export class Ambiguous extends Schema.TaggedError<Ambiguous>()("Ambiguous", { files: Schema.Array(Schema.String) }) {
  override get message(): string {
    return `there are ${this.files.length} configurations side by side, ${this.files.join(", ")}: keep one, or say which`
  }
}

/** The file is there, and cannot be read. */
export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", { detail: Schema.String }) {
  override get message(): string {
    return `it cannot be read: ${this.detail}`
  }
}

/** The text is not JSON or YAML, as its name says it is; line and column are the error's own. */
export class Malformed extends Schema.TaggedError<Malformed>()("Malformed", {
  language: Schema.Literals(["JSON", "YAML"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `it is not ${this.language}: ${this.detail}`
  }
}

/** The file is code, and failed when it was run. */
export class Threw extends Schema.TaggedError<Threw>()("Threw", { cause: Schema.Defect() }) {
  override get message(): string {
    return `it failed when it was run: ${describe(this.cause)}`
  }
}

/** The file holds no configuration. */
export class NoConfig extends Schema.TaggedError<NoConfig>()("NoConfig", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

const Issue = Schema.Struct({
  /** Where it is: `job.retries`; of a plugin's options, from there on: `auth.bearer`. */
  path: Schema.String,
  message: Schema.String,
  /** From 1; where the configuration is text. */
  line: Schema.optionalKey(Schema.Int),
  column: Schema.optionalKey(Schema.Int)
})

/** Something that is wrong in a configuration. */
export type Issue = typeof Issue.Type

/** Something in it is not what it should be: all of it, and where. */
export class Invalid extends Schema.TaggedError<Invalid>()("Invalid", {
  /** Whose options these are; absent for what is not a plugin's. */
  plugin: Schema.optionalKey(Schema.Struct({ kind: Schema.String, type: Schema.optionalKey(Schema.String) })),
  issues: Schema.Array(Issue)
}) {
  override get message(): string {
    return this.issues.map((issue) => this.line(issue)).join("\n")
  }
  /** One of the issues, with its plugin. */
  line({ message, path }: Issue): string {
    const { kind, type } = this.plugin ?? {}
    const plugin = kind === undefined ? "" : `${kind}${type === undefined ? "" : ` ${JSON.stringify(type)}`}: `
    return `${plugin}${path === "" ? "" : `${path} `}${message}`
  }
}

/** A package in `plugins` is of no use here. */
export class UnusablePackage extends Schema.TaggedError<UnusablePackage>()("UnusablePackage", {
  package: Schema.String,
  why: Schema.Literals(["InvalidName", "NotInstalled", "CannotLoad", "NoPlugin", "UnsupportedApiVersion"]),
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `plugin ${JSON.stringify(this.package)}: ${this.detail}`
  }
}

/** Two plugins of one kind claim the same type, or one package is named twice. */
export class DuplicateType extends Schema.TaggedError<DuplicateType>()("DuplicateType", {
  kind: Schema.String,
  type: Schema.String,
  /** Where they come from: packages, or places in the configuration. */
  owners: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const [owner, ...others] = new Set(this.owners)
    const plugin = `${this.kind} ${JSON.stringify(this.type)}`
    if (others.length > 0)
      return `${plugin}: ${[owner, ...others].join(" and ")} both claim this type: leave one of them out`
    const fix = 'name it once in "plugins", and not at all where it is a package of @helios-infra'
    return `${plugin}: ${owner} claims this type twice: ${fix}`
  }
}

/** Every reason for which a configuration cannot be used. */
export const ConfigFileReason = Schema.Union([
  NotFound,
  Ambiguous,
  Unreadable,
  Malformed,
  Threw,
  NoConfig,
  Invalid,
  UnusablePackage,
  DuplicateType,
  Plugin.PluginError,
  WorkspaceError
])

/** The type of {@link ConfigFileReason}. */
export type ConfigFileReason = typeof ConfigFileReason.Type

/** A configuration cannot be used. Nothing was started. */
export class ConfigFileError extends Schema.TaggedError<ConfigFileError>()("ConfigFileError", {
  /** The file; absent for configurations that come from none. */
  file: Schema.optionalKey(Schema.String),
  /** From 1; where the reason is about one place in a text. */
  line: Schema.optionalKey(Schema.Int),
  column: Schema.optionalKey(Schema.Int),
  reason: ConfigFileReason
}) {
  override get message(): string {
    const { reason } = this
    if (reason._tag !== "Invalid") return `${this.at(this)}${reason.message}`
    return reason.issues.map((issue) => `${this.at(issue)}${reason.line(issue)}`).join("\n")
  }
  /** A place as editors and terminals know it: `helios.config.yaml:4:3: `. */
  at({ column, line }: { readonly line?: number | undefined; readonly column?: number | undefined }): string {
    if (this.file === undefined) return ""
    return line === undefined ? `${this.file}: ` : `${this.file}:${line}:${column ?? 1}: `
  }
}

/** What was thrown, as a text. */
export const describe = (cause: unknown): string => {
  if (Predicate.hasProperty(cause, "message") && Predicate.isString(cause.message) && cause.message !== "") {
    return cause.message
  }
  if (Predicate.isError(cause)) return cause.name
  return Predicate.isString(cause) ? cause : `it threw ${cause === null ? "null" : `a value of type ${typeof cause}`}`
}
