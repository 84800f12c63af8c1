/**
 * Where a worker reads job files and assets, and where it sends what it made: nowhere but in its own storage, unless it
 * was told more.
 *
 * A job file is code. Whoever can make a worker read one from a place of his own can run commands on it, so every
 * location is looked at here before anything is opened. This module opens nothing.
 */
import { ArtifactKey, keyOf } from "@helios-infra/core/ArtifactStorage"
import { Refused } from "@helios-infra/core/WorkerError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import { shown } from "./internal/guardedHttp.ts"

/** What a worker takes. */
export interface Options {
  /**
   * Beginnings of URLs (`"https://cdn.example.com/jobs/"`), and absolute folders (`"/mnt/jobs"`). A URL counts as below
   * another one when scheme, host and port are the same and its path begins with all parts of the other one's.
   */
  readonly sources: ReadonlyArray<string>
  /** Whether there is a storage, whose artifacts may all be read. */
  readonly storage: boolean
  /** Whether `http:` is taken beside `https:`. */
  readonly allowLocal: boolean
}

/** A source is neither the beginning of an https URL nor an absolute folder. */
export class InvalidSource extends Schema.TaggedError<InvalidSource>()("InvalidSource", {
  source: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `sources: ${JSON.stringify(this.source)} ${this.detail}`
  }
}

/** Something that may be read or written. */
export type Located =
  | { readonly _tag: "Url"; readonly url: URL }
  | { readonly _tag: "Artifact"; readonly key: string }
  /** A path below `folder`, by its name: its links have not been followed yet. */
  | { readonly _tag: "File"; readonly path: string; readonly folder: string }

/** Says what a location is, and whether it may be used. */
export interface Sources {
  /** An https URL, a path (relative ones are meant from the first folder), or `artifact:` and a key. */
  readonly locate: (location: string) => Result.Result<Located, Refused>
  /** A URL that something is to be written to, or that is asked whether it is there. */
  readonly url: (text: string) => Result.Result<URL, Refused>
}

const isKey = Schema.is(ArtifactKey)
const scheme = /^([a-z][a-z0-9+.-]*):/i

/** Reads the sources that a worker was configured with. */
export const make: (options: Options) => Effect.Effect<Sources, InvalidSource> = Effect.fnUntraced(function* (options) {
  const { allowLocal, sources, storage } = options
  const invalid = (source: string, detail: string) => new InvalidSource({ source: shownText(source), detail })
  const urls: Array<URL> = []
  const folders: Array<string> = []
  for (const source of sources) {
    if (path.isAbsolute(source)) {
      folders.push(path.resolve(source))
      continue
    }
    const url = parse(source)
    if (Option.isNone(url)) return yield* invalid(source, "is neither the beginning of a URL nor an absolute folder")
    if (!isWeb(url.value, allowLocal)) {
      return yield* invalid(source, allowLocal ? "is no http(s) URL" : "is no https URL")
    }
    urls.push(url.value)
  }

  const taken = [
    ...(storage ? ["artifact:<key>"] : []),
    ...urls.map((url) => `${shown(url)}…`),
    ...folders.map((folder) => `${folder}/…`)
  ]
  const refused = (what: string): Refused =>
    new Refused({
      why: "Unauthorized",
      fix: `this worker does not take ${what}; it takes ${taken.length === 0 ? "nothing: configure its sources" : taken.join(", ")}`.slice(
        0,
        1000
      )
    })

  const url = (text: string): Result.Result<URL, Refused> => {
    const found = parse(text)
    return Option.isSome(found) &&
      isWeb(found.value, allowLocal) &&
      urls.some((prefix) => isBelowUrl(prefix, found.value))
      ? Result.succeed(found.value)
      : Result.fail(refused(shownText(text)))
  }

  const locate = (location: string): Result.Result<Located, Refused> => {
    const key = keyOf(location)
    if (key !== undefined) {
      return storage && isKey(key) ? Result.succeed({ _tag: "Artifact", key }) : Result.fail(refused(location))
    }
    if (scheme.test(location)) return Result.map(url(location), (found) => ({ _tag: "Url", url: found }))
    const [first] = folders
    if (first === undefined || location.includes("\0")) return Result.fail(refused(JSON.stringify(location)))
    const absolute = path.resolve(first, location)
    const folder = folders.find((one) => absolute.startsWith(one.endsWith(path.sep) ? one : `${one}${path.sep}`))
    return folder === undefined
      ? Result.fail(refused(JSON.stringify(location)))
      : Result.succeed({ _tag: "File", path: absolute, folder })
  }

  return { locate, url }
})

// ---
// URLs
// ---

const parse = (text: string): Option.Option<URL> => Result.getSuccess(Result.try(() => new URL(text)))

/** Whether it can be asked for at all. A user and password in it would be sent, and shown. */
const isWeb = (url: URL, allowLocal: boolean): boolean =>
  (url.protocol === "https:" || (allowLocal && url.protocol === "http:")) && url.username === "" && url.password === ""

const isBelowUrl = (prefix: URL, url: URL): boolean => {
  if (prefix.origin !== url.origin) return false
  const base = prefix.pathname.endsWith("/") ? prefix.pathname : `${prefix.pathname}/`
  return (url.pathname === prefix.pathname || url.pathname.startsWith(base)) && !climbs(url.pathname)
}

/** `new URL` has done away with `..`, but not with those that only the server decodes. */
const climbs = (pathname: string): boolean => {
  const decoded = Result.try(() => decodeURIComponent(pathname))
  return Result.isFailure(decoded) || decoded.success.split(/[/\\]/).includes("..")
}

/** What was asked for, as messages show it: without a query, which may be a secret. */
const shownText = (text: string): string =>
  Option.match(parse(text), {
    onNone: () => text.slice(0, 200),
    onSome: (url) => (url.origin === "null" ? text.slice(0, 200).replace(/[?#].*/s, "") : shown(url))
  })
