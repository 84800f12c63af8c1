/**
 * Cursors in a folder of this machine, one small file each, beside jobs in a folder or a database of this machine.
 *
 * A file is replaced as a whole, and is on the disk when that returns.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { CursorError, WebhookCursors } from "./WebhookCursors.ts"

/** Where cursors are kept. */
export interface Options {
  /** The folder; made with the first cursor, for its user alone, when it is not there. */
  readonly dir: string
}

/** Keeps cursors in a folder. */
export const make = (options: Options): WebhookCursors["Service"] => {
  const dir = path.resolve(options.dir)
  let count = 0
  const place = (key: string): string => path.join(dir, `${key}.json`)

  const file = <A>(key: string, run: () => Promise<A>): Effect.Effect<A, CursorError> =>
    Effect.tryPromise({ try: run, catch: (cause) => new CursorError({ key, cause }) })

  const isMissing = ({ cause }: CursorError): boolean =>
    Predicate.hasProperty(cause, "code") && (cause.code === "ENOENT" || cause.code === "ENOTDIR")

  return WebhookCursors.of({
    get: (key) =>
      Effect.catchIf(
        file(key, () => fs.readFile(place(key), "utf8")),
        isMissing,
        () => Effect.undefined
      ),
    set: (key, text) => {
      const target = place(key)
      const temporary = `${target}.${process.pid}-${++count}`
      const put = file(key, () => fs.writeFile(temporary, text, { mode: 0o600, flush: true })).pipe(
        Effect.andThen(file(key, () => fs.rename(temporary, target)))
      )
      return put.pipe(
        Effect.catchIf(isMissing, () =>
          Effect.andThen(
            file(key, () => fs.mkdir(path.dirname(target), { recursive: true, mode: 0o700 })),
            put
          )
        ),
        Effect.tapError(() => Effect.ignore(file(key, () => fs.rm(temporary, { force: true })))),
        // Half of it would leave the temporary file.
        Effect.uninterruptible
      )
    },
    remove: (key) => file(key, () => fs.rm(place(key), { force: true }))
  })
}

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<WebhookCursors> => Layer.sync(WebhookCursors, () => make(options))
