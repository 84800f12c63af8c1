/**
 * The file of a configuration: looks for it, and reads it. What it says is not looked at here.
 *
 * A `.json` or `.yaml` file is data, whoever wrote it: reading it runs nothing. A `.ts`, `.mts`, `.js` or `.mjs` file is
 * code, which runs with all rights of this process.
 */
import * as LocalFiles from "@helios-infra/adapter-local/LocalFiles"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as RegExp_ from "effect/RegExp"
import type * as Result from "effect/Result"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import {
  Ambiguous,
  ConfigFileError,
  type ConfigFileReason,
  Malformed,
  NoConfig,
  NotFound,
  Threw,
  Unreadable
} from "./ConfigFileError.ts"
import { importModule } from "./internal/importModule.ts"
import { type Fault, fromValue, type Source } from "./internal/source.ts"

/** The names that are looked for. */
export const names: ReadonlyArray<string> = ["ts", "mts", "js", "mjs", "json", "yaml", "yml"].map(
  (extension) => `helios.config.${extension}`
)

/** What is larger is no configuration. */
export const maxBytes: number = 2 ** 20

/** How long a file that is code may take until it has its configuration. */
export const maxWait: Duration.Duration = Duration.seconds(30)

const failure = (file: string | undefined, reason: ConfigFileReason): ConfigFileError =>
  new ConfigFileError({ ...(file === undefined ? undefined : { file }), reason })

/**
 * Looks for a configuration in a folder, then in those above it, up to the root of the disk. Fails with `NotFound`, or with
 * `Ambiguous` where two stand side by side.
 *
 * Whoever can write to a folder above can put code there: name the file where that matters.
 */
export const find: (folder?: string) => Effect.Effect<string, ConfigFileError> = Effect.fn("ConfigFile.find")(
  function* (from = ".") {
    const start = path.resolve(from)
    for (let folder = start; ; folder = path.dirname(folder)) {
      const found = yield* namesIn(folder)
      const [first] = found
      if (found.length > 1) return yield* failure(folder, new Ambiguous({ files: found }))
      if (first !== undefined) return path.join(folder, first)
      if (folder === path.dirname(folder)) return yield* failure(undefined, new NotFound({ names, folder: start }))
    }
  }
)

/** A folder that cannot be listed holds no configuration that could be read. */
const namesIn = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  LocalFiles.file(() => fs.readdir(folder)).pipe(
    Effect.map((found) => names.filter((name) => found.includes(name))),
    Effect.orElseSucceed(() => [])
  )

/**
 * Reads a file by its name's ending: data and code alike, with the places of what it says where it is a text. Fails with
 * `NotFound`, `Unreadable`, `Malformed`, `Threw` or `NoConfig`.
 */
export const read: (file: string) => Effect.Effect<Source, ConfigFileError> = Effect.fn("ConfigFile.read")(
  function* (file) {
    const found = yield* LocalFiles.file(() => fs.stat(file)).pipe(
      Effect.mapError(({ code, message }) =>
        failure(file, code === "ENOENT" ? new NotFound({ names }) : new Unreadable({ detail: message }))
      )
    )
    if (!found.isFile()) {
      const what = found.isDirectory() ? "it is a folder" : "it is no file"
      return yield* failure(file, new Unreadable({ detail: `${what}: name the file` }))
    }
    switch (path.extname(file)) {
      case ".ts":
      case ".mts":
      case ".js":
      case ".mjs":
        return yield* run(file)
      case ".json":
        return yield* parse(file, yield* textOf(file, found.size), () => import("./internal/jsonText.ts"))
      case ".yaml":
      case ".yml":
        return yield* parse(file, yield* textOf(file, found.size), () => import("./internal/yamlText.ts"))
      default: {
        const detail = `its name must end in one of ${names.map((name) => path.extname(name)).join(", ")}`
        return yield* failure(file, new Unreadable({ detail }))
      }
    }
  }
)

// ---
// text
// ---

const textOf = Effect.fnUntraced(function* (file: string, bytes: number): Effect.fn.Return<string, ConfigFileError> {
  if (bytes > maxBytes) {
    const detail = `it has ${bytes} bytes, and a configuration at most ${maxBytes}`
    return yield* failure(file, new Unreadable({ detail }))
  }
  const content = yield* Effect.mapError(
    LocalFiles.file(() => fs.readFile(file)),
    ({ message }) => failure(file, new Unreadable({ detail: message }))
  )
  // Leaves a byte order mark out.
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(content),
    catch: () => failure(file, new Unreadable({ detail: "it is not UTF-8 text" }))
  })
  if (text.trim() === "") return yield* failure(file, new NoConfig({ detail: "it is empty: name at least a worker" }))
  return text
})

interface Language {
  readonly read: (text: string) => Result.Result<Source, Fault>
}

/** Each language is loaded when a file is written in it. */
const parse = Effect.fnUntraced(function* (
  file: string,
  text: string,
  load: () => Promise<Language>
): Effect.fn.Return<Source, ConfigFileError> {
  const language = yield* Effect.promise(load)
  return yield* Effect.mapError(
    Effect.fromResult(language.read(text)),
    ({ detail, language, position }) =>
      new ConfigFileError({ file, ...position, reason: new Malformed({ language, detail }) })
  )
})

// ---
// code
// ---

/** Node runs TypeScript whose types can be left out as it is. The module is run once for all that read it. */
const run = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Source, ConfigFileError> {
  const failed = (cause: unknown) => new ConfigFileError({ file, ...lineOf(file, cause), reason: new Threw({ cause }) })
  const module = yield* importModule(pathToFileURL(file).href).pipe(
    Effect.mapError(({ cause }) => failed(cause)),
    Effect.timeoutOrElse({
      duration: maxWait,
      orElse: () => {
        const seconds = Duration.toSeconds(maxWait)
        return Effect.fail(failed(new Error(`it was not done after ${seconds} seconds: does it wait for itself?`)))
      }
    })
  )
  if (!Predicate.hasProperty(module, "default")) {
    const detail = "it has no default export: write export default defineConfig({ … })"
    return yield* failure(file, new NoConfig({ detail }))
  }
  if (Predicate.isPromiseLike(module.default)) {
    return yield* failure(file, new NoConfig({ detail: "its default export is a promise: write await before it" }))
  }
  return fromValue(module.default)
})

/** The line of the file that an error's stack names; no more of the stack, which quotes the line itself. */
const lineOf = (file: string, cause: unknown): { readonly line?: number; readonly column?: number } => {
  const stack = Predicate.isError(cause) ? (cause.stack ?? "") : ""
  const [, line, column] = new RegExp(`${RegExp_.escape(path.basename(file))}:(\\d+)(?::(\\d+))?`).exec(stack) ?? []
  return line === undefined ? {} : { line: Number(line), column: Number(column ?? 1) }
}
