import { assert, describe, it } from "@effect/vitest"
import { FolderCursors, WebhookCursors } from "@helios-infra/webhooks"
import { Context, Effect, Layer, type Scope } from "effect"
import { KeyValueStore } from "effect/persistence"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Database from "./Database.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "cursors-"))),
  (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
)

const inStore = <E>(store: Layer.Layer<KeyValueStore.KeyValueStore, E>) =>
  Layer.build(Layer.fresh(Layer.provide(WebhookCursors.layerKeyValueStore, store))).pipe(
    Effect.map((context) => Context.get(context, WebhookCursors.WebhookCursors)),
    Effect.orDie
  )

type Cursors = WebhookCursors.WebhookCursors["Service"]

const places: ReadonlyArray<readonly [string, Effect.Effect<Cursors, never, Scope.Scope>]> = [
  ["memory", Effect.provide(WebhookCursors.WebhookCursors, Layer.fresh(WebhookCursors.layerMemory))],
  ["a folder", Effect.map(folder, (dir) => FolderCursors.make({ dir: path.join(dir, "a/b") }))],
  ["a key-value store", inStore(KeyValueStore.layerMemory)],
  // Such as orchestrators on several machines share.
  ["Postgres", inStore(Layer.provide(KeyValueStore.layerSql({ table: "cursors" }), Database.shared()))]
]

describe.each(places)("cursors in %s", (_, place) => {
  it.live("are there until they are replaced or removed", () =>
    Effect.gen(function* () {
      const cursors = yield* place
      assert.isUndefined(yield* cursors.get("jobs/1/2"))
      yield* cursors.remove("jobs/1/2")
      yield* cursors.set("jobs/1/2", "é🎬")
      yield* cursors.set("jobs/1/3", "other")
      assert.strictEqual(yield* cursors.get("jobs/1/2"), "é🎬")
      yield* cursors.set("jobs/1/2", "new")
      assert.strictEqual(yield* cursors.get("jobs/1/2"), "new")
      yield* cursors.remove("jobs/1/2")
      assert.isUndefined(yield* cursors.get("jobs/1/2"))
      assert.strictEqual(yield* cursors.get("jobs/1/3"), "other")
    })
  )

  it.live("are whole, whoever reads while they are replaced", () =>
    Effect.gen(function* () {
      const cursors = yield* place
      yield* cursors.set("key", "0".repeat(5000))
      const write = Effect.forEach(
        Array.from({ length: 50 }, (_, i) => String(i % 10).repeat(5000)),
        (text) => cursors.set("key", text)
      )
      const read = Effect.forEach(Array.from({ length: 100 }), () => cursors.get("key"))
      const [, found] = yield* Effect.all([write, read], { concurrency: "unbounded" })
      for (const text of found) assert.match(text ?? "", /^(\d)\1{4999}$/)
    })
  )
})

describe("FolderCursors", () => {
  it.live("leaves nothing else in its folder, which is for its user alone", () =>
    Effect.gen(function* () {
      const dir = path.join(yield* folder, "cursors")
      const cursors = FolderCursors.make({ dir })
      yield* Effect.forEach(Array.from({ length: 20 }), () => cursors.set("jobs/1/2", "text"), { concurrency: 5 })
      const names = yield* Effect.promise(() => fs.readdir(dir, { recursive: true }))
      assert.deepStrictEqual(names.toSorted(), ["jobs", "jobs/1", "jobs/1/2.json"])
      const { mode } = yield* Effect.promise(() => fs.stat(path.join(dir, "jobs/1/2.json")))
      assert.strictEqual(mode & 0o777, 0o600)
      assert.strictEqual((yield* Effect.promise(() => fs.stat(dir))).mode & 0o777, 0o700)
    })
  )

  it.live("says what is wrong where it cannot write, and leaves the old cursor", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      yield* Effect.promise(() => fs.writeFile(path.join(dir, "jobs"), "no folder"))
      const error = yield* Effect.flip(FolderCursors.make({ dir }).set("jobs/1/2", "text"))
      assert.strictEqual(error._tag, "CursorError")
      assert.match(error.message, /the webhook cursor jobs\/1\/2 could not be read or written: E(NOTDIR|EXIST)/)
    })
  )
})
