import { assert, describe, it } from "@effect/vitest"
import * as FolderArtifactStorage from "@helios-infra/adapter-local/FolderArtifactStorage"
import type { ArtifactStorage } from "@helios-infra/core"
import { artifactStorageContract } from "@helios-infra/testkit"
import { Effect, Fiber, Layer, Option, Stream } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

const temporary = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "artifacts-"))),
  (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
)

artifactStorageContract(
  "FolderArtifactStorage",
  Layer.unwrap(Effect.map(temporary, (dir) => FolderArtifactStorage.layer({ dir: path.join(dir, "artifacts") }))),
  { urls: false, patience: "30 seconds", big: 2_000_000, huge: 256 * 1024 * 1024 }
)

const setUp = Effect.gen(function* () {
  const dir = yield* temporary
  return { dir, storage: yield* FolderArtifactStorage.make({ dir }) }
})

const body = (text: string) => Stream.make(new TextEncoder().encode(text))
const text = (storage: ArtifactStorage.ArtifactStorage["Service"], key: string) =>
  Stream.mkString(Stream.decodeText(storage.get(key)))
const reasonOf = <A>(effect: Effect.Effect<A, ArtifactStorage.ArtifactError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)
/** Everything below a folder, without the tokens in names of contents. */
const tree = (dir: string) =>
  Effect.promise(() => fs.readdir(dir, { recursive: true })).pipe(
    Effect.map((names) => names.map((name) => name.replace(/[0-9a-f]{16}\.[0-9a-f]{64}$/, "content")).toSorted())
  )

describe("FolderArtifactStorage", () => {
  it.live("keeps plain files that other programs can read, under names with the key's extension", () =>
    Effect.gen(function* () {
      const { dir, storage } = yield* setUp
      yield* storage.put("jobs/Job 1/output.mov", body("video"))
      const file = path.join(dir, "jobs+", "%4aob%201+", "output.mov")
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(file, "utf8")), "video")
    })
  )

  it.live("can be opened again, and moved", () =>
    Effect.gen(function* () {
      const { dir, storage } = yield* setUp
      const info = yield* storage.put("a/b", body("kept"))
      const elsewhere = yield* temporary
      const moved = path.join(elsewhere, "moved")
      yield* Effect.promise(() => fs.rename(dir, moved))
      const again = yield* FolderArtifactStorage.make({ dir: moved })
      assert.deepStrictEqual(yield* again.head("a/b"), Option.some(info))
      assert.strictEqual(yield* text(again, "a/b"), "kept")
    })
  )

  it.live("leaves nothing of what was replaced, deleted, refused or interrupted", () =>
    Effect.gen(function* () {
      const { dir, storage } = yield* setUp
      yield* storage.put("a/b", body("first"))
      yield* storage.put("a/b", body("second"))
      assert.deepStrictEqual(yield* tree(dir), [".content", ".content/content", "a+", "a+/b"])
      yield* Effect.flip(storage.put("a/b", body("third"), { bytes: 1 }))
      yield* Effect.flip(storage.put("a/b", body("third"), { ifAbsent: true }))
      yield* Effect.flip(storage.put("a/c", Stream.concat(body("third"), Stream.fail("no"))))
      const hanging = yield* Effect.forkChild(storage.put("a/d", Stream.concat(body("third"), Stream.never)))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(hanging)
      assert.deepStrictEqual(yield* tree(dir), [".content", ".content/content", "a+", "a+/b"])
      yield* storage.delete(["a/b"])
      assert.deepStrictEqual(yield* tree(dir), [".content"])
    })
  )

  it.live("stops a body that is longer than was told before it fills the disk", () =>
    Effect.gen(function* () {
      const { storage } = yield* setUp
      const endless = Stream.forever(Stream.make(new Uint8Array(1000)))
      assert.strictEqual(yield* reasonOf(storage.put("a", endless, { bytes: 5000 })), "Corrupt")
    })
  )

  it.live("loses nothing to those who put and delete beside each other, in two processes' storages", () =>
    Effect.gen(function* () {
      const { dir, storage } = yield* setUp
      const other = yield* FolderArtifactStorage.make({ dir })
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, index) => index),
        (index) =>
          Effect.gen(function* () {
            const [mine, others] = index % 2 === 0 ? [storage, other] : [other, storage]
            const key = `shared/${index % 5}/${index}`
            yield* mine.put(key, body(String(index)))
            assert.strictEqual(yield* text(others, key), String(index))
            yield* others.delete([key])
            assert.deepStrictEqual(yield* mine.head(key), Option.none())
          }),
        { concurrency: 16, discard: true }
      )
      assert.deepStrictEqual(yield* tree(dir), [".content"])
    })
  )

  it.live("gives readers one artifact or the other while it is replaced again and again", () =>
    Effect.gen(function* () {
      const { storage } = yield* setUp
      const contents = ["a", "b", "c"].map((letter) => letter.repeat(10_000))
      yield* storage.put("x", body(contents[0] ?? ""))
      const writing = yield* Effect.forkChild(
        Effect.forever(Effect.forEach(contents, (content) => storage.put("x", body(content)), { discard: true }))
      )
      for (let read = 0; read < 100; read++) {
        assert.include(contents, yield* text(storage, "x"))
        assert.isTrue(Option.isSome(yield* storage.head("x")))
        assert.lengthOf(yield* Stream.runCollect(storage.list("")), 1)
      }
      yield* Fiber.interrupt(writing)
    })
  )

  it.live("takes the longest part that a key can have", () =>
    Effect.gen(function* () {
      const { storage } = yield* setUp
      const keys = ["x".repeat(900), `${"x".repeat(240)}/a`, `${"x".repeat(240)}a`, "日".repeat(300)]
      for (const key of keys) yield* storage.put(key, body(key))
      for (const key of keys) assert.strictEqual(yield* text(storage, key), key)
      const listed = yield* Stream.runCollect(storage.list("x".repeat(239)))
      assert.sameMembers(
        listed.map(({ key }) => key),
        keys.slice(0, 3)
      )
    })
  )

  it.live("lists nothing that it did not put there, and does not follow it", () =>
    Effect.gen(function* () {
      const { dir, storage } = yield* setUp
      yield* storage.put("a/b", body("mine"))
      yield* Effect.promise(() => fs.writeFile(path.join(dir, "a+", "file"), "not mine"))
      yield* Effect.promise(() => fs.mkdir(path.join(dir, "folder")))
      yield* Effect.promise(() => fs.symlink("/etc/hostname", path.join(dir, "a+", "Link")))
      assert.deepStrictEqual(
        (yield* Stream.runCollect(storage.list(""))).map(({ key }) => key),
        ["a/b"]
      )
      yield* Effect.promise(() => fs.symlink("/etc/hostname", path.join(dir, "a+", "link")))
      assert.strictEqual(yield* reasonOf(text(storage, "a/link")), "Unavailable")
      assert.strictEqual(yield* reasonOf(storage.put("a/link", body("x"))), "Unavailable")
      yield* Effect.flip(storage.delete(["a/link"]))
      assert.isTrue((yield* Effect.promise(() => fs.stat("/etc/hostname"))).isFile())
    })
  )

  it.live.skipIf(process.platform !== "linux")("says what the disk refuses", () =>
    Effect.gen(function* () {
      // The kernel's own file systems take no files of ours, whoever we are.
      const storage = yield* FolderArtifactStorage.make({ dir: "/sys/kernel/artifacts" })
      assert.strictEqual(yield* reasonOf(storage.put("a", body("x"))), "Unauthorized")
      assert.deepStrictEqual(yield* storage.head("a"), Option.none())
      assert.deepStrictEqual(yield* Stream.runCollect(storage.list("")), [])
    })
  )

  it.live("makes its folder for its user alone", () =>
    Effect.gen(function* () {
      const dir = path.join(yield* temporary, "new")
      const storage = yield* FolderArtifactStorage.make({ dir })
      yield* storage.put("a", body("x"))
      const { mode } = yield* Effect.promise(() => fs.stat(dir))
      assert.strictEqual(mode & 0o777, 0o700)
    })
  )
})
