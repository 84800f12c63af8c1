/**
 * How far each endpoint has come in the history of each job: all that is stored of deliveries, since what there is to
 * deliver stands in the jobs' journals.
 *
 * A few hundred bytes per job and endpoint, written after each event that was taken. Where a crash comes between an event
 * and its cursor the event is sent again.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"

/** A cursor could not be read or written; `cause` is what its store said. */
export class CursorError extends Data.TaggedError("CursorError")<{ readonly key: string; readonly cause: unknown }> {
  override get message(): string {
    const said = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `the webhook cursor ${this.key} could not be read or written: ${said}`
  }
}

/**
 * Keeps texts by key. A key has at most 100 characters, of `a-z`, `0-9`, `-` and `/`.
 *
 * - `get` gives the text, `undefined` where there is none.
 * - `set` puts a text in place of another: whoever reads at the same time, or after a crash, finds the one or the other,
 *   whole. It is there after a crash of this process, once it has returned.
 * - `remove` removes it, if it is there.
 */
export class WebhookCursors extends Context.Service<
  WebhookCursors,
  {
    readonly get: (key: string) => Effect.Effect<string | undefined, CursorError>
    readonly set: (key: string, text: string) => Effect.Effect<void, CursorError>
    readonly remove: (key: string) => Effect.Effect<void, CursorError>
  }
>()("@helios-infra/webhooks/WebhookCursors") {}

/** Keeps cursors in memory: for tests, and for jobs that are kept in memory as well. */
export const layerMemory: Layer.Layer<WebhookCursors> = Layer.sync(WebhookCursors, () => {
  const texts = new Map<string, string>()
  return {
    get: (key) => Effect.sync(() => texts.get(key)),
    set: (key, text) => Effect.sync(() => void texts.set(key, text)),
    remove: (key) => Effect.sync(() => void texts.delete(key))
  }
})

/**
 * Keeps cursors in one of Effect's key-value stores: in a database (`KeyValueStore.layerSql`), for orchestrators on
 * several machines, or in Redis. Not in its `layerFileSystem`, which a crash may leave with half a text: take
 * `FolderCursors`.
 */
export const layerKeyValueStore: Layer.Layer<WebhookCursors, never, KeyValueStore.KeyValueStore> = Layer.effect(
  WebhookCursors,
  Effect.map(KeyValueStore.KeyValueStore, (store) => {
    const ask = <A>(
      key: string,
      effect: Effect.Effect<A, KeyValueStore.KeyValueStoreError>
    ): Effect.Effect<A, CursorError> => Effect.mapError(effect, (cause) => new CursorError({ key, cause }))
    const full = (key: string) => `helios-webhooks/${key}`
    return {
      get: (key) => ask(key, store.get(full(key))),
      set: (key, text) => ask(key, store.set(full(key), text)),
      remove: (key) => ask(key, store.remove(full(key)))
    }
  })
)
