import { assert, describe, it } from "@effect/vitest"
import type { Transport } from "@helios-infra/core/WorkerError"
import * as AssetCache from "@helios-infra/worker-runtime/AssetCache"
import { Deferred, Duration, Effect, Fiber, Stream } from "effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Rig from "./Rig.ts"

/** A cache in a folder, job folders beside it, and assets that are served from a map. */
const setUp = Effect.fnUntraced(function* (options: Partial<AssetCache.Options> = {}) {
  const root = yield* Rig.folder
  const incoming = path.join(root, "incoming")
  const dir = path.join(root, "cache")
  const cache = AssetCache.make({ dir, timeout: Duration.seconds(20), ...options })
  const fetched: Array<string> = []
  const contents = new Map<string, string>()
  let jobs = 0
  const served = (asset: AssetCache.Asset): Stream.Stream<Uint8Array, Transport> =>
    Stream.suspend(() => {
      fetched.push(asset.location)
      return Stream.make(Buffer.from(contents.get(asset.location) ?? asset.location))
    })
  /** Provides assets to a new job folder, and gives that. */
  const provide = Effect.fnUntraced(function* (assets: ReadonlyArray<AssetCache.Asset>, fetch: typeof served = served) {
    const folder = path.join(root, `job-${jobs++}`)
    yield* Effect.promise(() => fs.mkdir(incoming, { recursive: true }).then(() => fs.mkdir(folder)))
    yield* cache.provide({ assets, folder, incoming, fetch })
    return folder
  })
  /** An asset whose content is its location. */
  const asset = (name: string, content = name) => Rig.asset(name, content, content)
  const kept = Effect.promise(() =>
    fs.readdir(dir).then(
      (names) => names.toSorted(),
      () => []
    )
  )
  return { asset, cache, contents, dir, fetched, incoming, kept, provide, root }
})

describe("assets", () => {
  it.live("are in the job's folder, fetched once for all jobs and all names", () =>
    Effect.gen(function* () {
      const { asset, dir, fetched, incoming, provide } = yield* setUp()
      const first = yield* provide([asset("a.txt", "ah"), asset("deep/er/b.txt", "ah"), asset("empty", "")])
      assert.deepStrictEqual(yield* Rig.filesIn(first), ["a.txt", "deep/er/b.txt", "empty"])
      assert.strictEqual(yield* Rig.read(path.join(first, "deep/er/b.txt")), "ah")
      const second = yield* provide([asset("c.txt", "ah")])
      assert.deepStrictEqual(fetched.toSorted(), ["", "ah"])
      const [kept, linked] = yield* Effect.promise(() =>
        Promise.all([fs.stat(path.join(dir, Rig.sha256("ah"))), fs.stat(path.join(second, "c.txt"))])
      )
      assert.strictEqual(kept.ino, linked.ino)
      assert.deepStrictEqual(yield* Rig.filesIn(incoming), [])
    })
  )

  it.live("lead nowhere but into the job's folder", () =>
    Effect.gen(function* () {
      const { asset, fetched, provide } = yield* setUp()
      for (const name of ["../a", "/etc/a", "a/../../b", "a//b", "./a", "a/.", "..", "a\\..\\b", "a\0b", "a\nb", ""]) {
        const reason = yield* Effect.flip(provide([asset("fine"), { ...asset("x"), path: name }]))
        assert(reason._tag === "Refused", name)
        assert.strictEqual(reason.why, "InvalidJob")
      }
      assert.deepStrictEqual(fetched, [])
      for (const names of [
        ["a", "a"],
        ["a", "a/b"],
        ["a/b", "a"]
      ]) {
        const reason = yield* Effect.flip(provide(names.map((name) => asset(name, "one"))))
        assert.strictEqual(reason._tag, "Refused", names.join())
      }
    })
  )

  it.live("that are not what the list says are never kept, and asked for again first", () =>
    Effect.gen(function* () {
      const { asset, contents, fetched, incoming, kept, provide } = yield* setUp()
      const wanted = asset("a.txt", "right")
      for (const content of ["wrong", "righ", "right and more"]) {
        contents.set("right", content)
        fetched.length = 0
        const reason = yield* Effect.flip(provide([wanted]))
        assert(reason._tag === "Transport")
        assert.include(String(reason.cause), "a.txt")
        assert.lengthOf(fetched, 3)
      }
      assert.deepStrictEqual(yield* kept, [])
      assert.deepStrictEqual(yield* Rig.filesIn(incoming), [])
      contents.delete("right")
      yield* provide([wanted])
    })
  )

  it.live("that a command wrote into are fetched anew for the next job", () =>
    Effect.gen(function* () {
      const { asset, fetched, provide } = yield* setUp()
      const folder = yield* provide([asset("a.txt", "right")])
      yield* Effect.promise(() => fs.chmod(path.join(folder, "a.txt"), 0o644))
      yield* Rig.write(path.join(folder, "a.txt"), "wrong")
      const next = yield* provide([asset("a.txt", "right")])
      assert.strictEqual(yield* Rig.read(path.join(next, "a.txt")), "right")
      assert.lengthOf(fetched, 2)
    })
  )

  it.live("are whole or not there after a worker was stopped or killed while they came", () =>
    Effect.gen(function* () {
      const { asset, fetched, incoming, kept, provide } = yield* setUp()
      const hanging = () => Stream.concat(Stream.make(Buffer.from("ri")), Stream.never)
      const running = yield* Effect.forkChild(provide([asset("a.txt", "right")], hanging))
      yield* Rig.waitFor(
        Effect.promise(async () => {
          const names = await fs.readdir(incoming).catch(() => [])
          const sizes = await Promise.all(names.map((name) => fs.stat(path.join(incoming, name))))
          return sizes.some(({ size }) => size === 2)
        }),
        "the first bytes"
      )
      assert.deepStrictEqual(yield* kept, [])
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(yield* Rig.filesIn(incoming), [])
      yield* provide([asset("a.txt", "right")])
      assert.deepStrictEqual(fetched, ["right"])
    })
  )

  it.live("come once when several jobs want them at the same time, also when the first to ask is stopped", () =>
    Effect.gen(function* () {
      const { asset, fetched, provide } = yield* setUp()
      const assets = Array.from({ length: 20 }, (_, index) => asset(`a${index}`))
      yield* Effect.forEach([1, 2, 3, 4], () => provide(assets), { concurrency: "unbounded" })
      assert.lengthOf(fetched, 20)

      const asked = yield* Deferred.make<void>()
      const hanging = () => Stream.unwrap(Effect.as(Deferred.succeed(asked, undefined), Stream.never))
      const first = yield* Effect.forkChild(provide([asset("slow")], hanging))
      yield* Deferred.await(asked)
      const second = yield* Effect.forkChild(provide([asset("slow")]))
      yield* Fiber.interrupt(first)
      const folder = yield* Fiber.join(second)
      assert.strictEqual(yield* Rig.read(path.join(folder, "slow")), "slow")
    })
  )

  it.live("that take too long are given up", () =>
    Effect.gen(function* () {
      const { asset, provide } = yield* setUp({ timeout: Duration.millis(100) })
      const reason = yield* Effect.flip(provide([asset("a")], () => Stream.never))
      assert(reason._tag === "Transport")
      assert.include(String(reason.cause), "100ms")
    })
  )
})

describe("the room that assets take", () => {
  it.live("is bounded: what was not used for longest goes first, and what a job needs is there all the same", () =>
    Effect.gen(function* () {
      const { asset, fetched, kept, provide } = yield* setUp({ maxBytes: 10 })
      const names = (...contents: ReadonlyArray<string>) => contents.map((content) => Rig.sha256(content)).toSorted()
      yield* provide([asset("a", "aaaa")])
      yield* Effect.sleep("20 millis")
      yield* provide([asset("b", "bbbb")])
      yield* Effect.sleep("20 millis")
      yield* provide([asset("a", "aaaa")])
      yield* provide([asset("c", "cccc")])
      assert.deepStrictEqual(yield* kept, names("aaaa", "cccc"))
      // More than there is room for.
      const folder = yield* provide([asset("a", "aaaa"), asset("b", "bbbb"), asset("d", "dddd")])
      assert.deepStrictEqual(yield* Rig.filesIn(folder), ["a", "b", "d"])
      assert.lengthOf(yield* kept, 2)
      assert.deepStrictEqual(fetched.slice(0, 3), ["aaaa", "bbbb", "cccc"])
      assert.deepStrictEqual(fetched.slice(3).toSorted(), ["bbbb", "dddd"], "at the same time, in any order")
    })
  )

  it.live("is not taken from a job that is just being provided for", () =>
    Effect.gen(function* () {
      const { asset, provide } = yield* setUp({ maxBytes: 4 })
      const assets = (job: number) =>
        Array.from({ length: 10 }, (_, index) => asset(`${job * 5 + index}`, `c${job * 5 + index}`))
      const folders = yield* Effect.forEach([0, 1, 2, 3, 4, 5], (job) => provide(assets(job)), {
        concurrency: "unbounded"
      })
      for (const folder of folders) assert.lengthOf(yield* Rig.filesIn(folder), 10)
    })
  )

  it.live("is refused where no disk of this worker's could hold it", () =>
    Effect.gen(function* () {
      const { asset, fetched, provide } = yield* setUp()
      const reason = yield* Effect.flip(provide([{ ...asset("huge"), bytes: 2 ** 52 }]))
      assert(reason._tag === "Refused")
      assert.strictEqual(reason.why, "TooLarge")
      assert.deepStrictEqual(fetched, [])
    })
  )

  it.live("is more than a disk has: the attempt is lost, with no half asset", () =>
    Effect.gen(function* () {
      const root = yield* Rig.folder
      const program = path.join(import.meta.dirname, "fixtures", "provide.ts")
      // The system itself says no, to any file of more than 1 MiB.
      const { status, stderr, stdout } = spawnSync(
        "bash",
        [
          "-c",
          `ulimit -f 1024; trap "" XFSZ; exec "$0" --conditions=@helios-infra/source "$1" "$2"`,
          process.execPath,
          program,
          root
        ],
        { encoding: "utf8" }
      )
      assert.strictEqual(status, 0, stderr)
      assert.match(stdout, /^WorkerLost .*EFBIG/)
      assert.deepStrictEqual(yield* Rig.filesIn(root), [])
    })
  )
})
