import { assert, describe, it } from "@effect/vitest"
import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
import { JobManager, JobRepository } from "@helios-infra/core"
import { Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Rendering from "./fixtures/rendering.ts"
import { founds, journal, list, lost, open, setUp, temporary } from "./JobsFolder.ts"

const program = (name: "journalist" | "renderer") => path.join(import.meta.dirname, "fixtures", `${name}.ts`)

interface Options {
  /** A shell command that comes before the program, to limit it. */
  readonly limit?: string
  readonly uid?: number
}

/** A process of its own, which is killed with the test; what it printed, and how it ended. */
const start = Effect.fnUntraced(function* (
  name: "journalist" | "renderer",
  args: ReadonlyArray<string | number>,
  options: Options = {}
) {
  const node = [process.execPath, "--conditions=@helios-infra/source", program(name), ...args.map(String)]
  const command = options.limit === undefined ? node : ["/bin/sh", "-c", `${options.limit}; exec "$@"`, "sh", ...node]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const { uid } = options
      return spawn(command[0] ?? "", command.slice(1), {
        stdio: ["pipe", "pipe", "inherit"],
        // Compiled once for all of them.
        env: { ...process.env, NODE_COMPILE_CACHE: path.join(tmpdir(), "journalist-compile-cache") },
        ...(uid === undefined ? {} : { uid, gid: uid })
      })
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  let text = ""
  child.stdout.setEncoding("utf8").on("data", (piece: string) => (text += piece))
  const closed = once(child, "close")
  /** What it printed, in words, by whole lines. */
  const lines = () =>
    text
      .split("\n")
      .slice(0, -1)
      .filter((line) => line !== "ready")
      .map((line) => line.split(" "))
  return {
    child,
    lines,
    /** Lets it begin, once it is ready to. */
    begin: Effect.gen(function* () {
      yield* eventually(() => text !== "" || child.exitCode !== null)
      child.stdin.write("begin\n")
    }),
    /** Waits until it has printed more than so many lines, which it must live to do. */
    printed: (count: number) =>
      Effect.gen(function* () {
        yield* eventually(() => lines().length > count || child.exitCode !== null)
        assert.isAbove(lines().length, count, `it ended with ${child.exitCode}`)
      }),
    closed: Effect.promise(() => closed.then(() => child.exitCode))
  }
})

/** Waits until something is so, for longer than `until` does: a process may take long to start. */
const eventually = (condition: () => boolean): Effect.Effect<void> =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("5 millis") }),
    Effect.asVoid
  )

describe("a writer that is killed", () => {
  it.live("has lost nothing that it was promised, and the next one need not be told to take over", () =>
    Effect.gen(function* () {
      const { dir, jobs } = yield* setUp
      let revision = 1
      const kept: Array<string> = []
      const writers = yield* Effect.forEach(["first", "second", "third"], (name) =>
        start("journalist", ["append", dir, "job", name, 20_000, "wait"])
      )
      for (const { begin, child, closed, lines, printed } of writers) {
        yield* begin
        yield* printed(60)
        child.kill("SIGKILL")
        yield* closed
        for (const [number, found = ""] of lines()) {
          assert.strictEqual(Number(number), ++revision)
          kept.push(found)
        }
        const found = yield* founds(jobs)
        assert.deepStrictEqual(found.slice(0, kept.length), kept)
        // What it was not told of any more counts as a whole or not at all.
        assert.strictEqual(found.length % 2, 0)
        kept.push(...found.slice(kept.length))
        revision = found.length + 1
        const [summary] = yield* Stream.runCollect(jobs.list())
        assert.strictEqual(summary?.owner, "dead")
      }
      const writer = yield* open(jobs)
      assert.strictEqual(writer.run, 4)
      yield* writer.append([lost("mine")])
      assert.deepStrictEqual(yield* founds(jobs), [...kept, "mine"])
    })
  )

  it.live("had a job that another process completes: no accepted chunk is rendered again", () =>
    Effect.gen(function* () {
      const dir = path.join(yield* temporary, "jobs")
      const work = yield* temporary
      const chunks = 400
      const rendered: Array<number> = []
      const repository = FileJobRepository.layer({ dir })
      const manager = JobManager.layer.pipe(
        Layer.provideMerge(repository),
        Layer.provide(Rendering.layer(work, (_, chunk) => rendered.push(chunk)))
      )
      yield* Effect.gen(function* () {
        const jobs = yield* JobRepository.JobRepository
        const managed = yield* JobManager.JobManager
        yield* managed.create(Rendering.spec(chunks), { id: "film" })
        const before = new Set<number>()
        for (let killed = 0; killed < 2; killed++) {
          const { child, closed, lines, printed } = yield* start("renderer", [dir, "film", work])
          const again = () => lines().filter(([word, chunk]) => word === "chunk" && before.has(Number(chunk)))
          yield* printed(80)
          child.kill("SIGKILL")
          yield* closed
          assert.deepStrictEqual(again(), [])
          const state = yield* managed.get("film")
          assert.strictEqual(state.status, "running")
          for (const { id, status } of state.chunks) if (status === "accepted") before.add(id)
        }
        assert.isAbove(before.size, 0)
        assert.isBelow(before.size, chunks)
        const state = yield* managed.run("film", { concurrency: 8 })
        assert.strictEqual(state.status, "completed")
        assert.strictEqual(state.run, 3)
        assert.strictEqual(rendered.length, chunks - before.size)
        assert.isTrue(rendered.every((chunk) => !before.has(chunk)))
        const records = yield* journal(jobs, "film")
        const accepted = records.flatMap(({ event }) => (event._tag === "ChunkAccepted" ? [event] : []))
        assert.strictEqual(accepted.length, chunks)
        assert.strictEqual(new Set(accepted.map(({ chunk }) => chunk)).size, chunks)
        assert.strictEqual(accepted.find(({ chunk }) => chunk === 7)?.log?.trim(), "frame 7")
      }).pipe(Effect.provide(manager))
    })
  )
})

describe("many that fight over one job, in several processes", () => {
  it.live(
    "write one journal: all that was promised, whole, once, in order, and nothing that was refused",
    () =>
      Effect.gen(function* () {
        const { dir, folder, jobs } = yield* setUp
        const fighters = yield* Effect.forEach(["p", "q", "r", "s"], (name) =>
          start("journalist", ["fight", dir, "job", name, 4])
        )
        yield* Effect.forEach(fighters, ({ begin }) => begin)
        const kept = (from: ReadonlyArray<(typeof fighters)[number]>) =>
          new Set(
            from.flatMap(({ lines }) => lines().flatMap(([word, id = ""]) => (word === "kept" ? [id.slice(0, 3)] : [])))
          )
        yield* eventually(() => kept(fighters).size >= 8)
        // Some die on the way.
        const [dying, ...living] = fighters
        dying?.child.kill("SIGKILL")
        const before = living.map(({ lines }) => lines().length)
        yield* eventually(() => living.every(({ lines }, i) => lines().length > (before[i] ?? 0) + 4))
        for (const { child } of living) child.stdin.end()
        const codes = yield* Effect.forEach(living, ({ closed }) => closed, { concurrency: "unbounded" })
        assert.deepStrictEqual(codes, [0, 0, 0])

        const records = yield* journal(jobs)
        assert.deepStrictEqual(
          records.map(({ revision }) => revision),
          records.map((_, index) => index + 1)
        )
        const runs = records.map(({ run }) => run)
        assert.deepStrictEqual(
          runs,
          runs.toSorted((a, b) => a - b)
        )
        const found = records.map(({ event }) => (event._tag === "OutputLost" ? event.found : ""))
        assert.strictEqual(new Set(found).size, found.length)
        const places = new Map(found.map((id, index) => [id, index]))
        const said = fighters.flatMap(({ lines }) => lines())
        for (const [word, id = "", run, first, second] of said) {
          const at = places.get(`${id}.a`)
          assert.strictEqual(places.get(`${id}.b`), at === undefined ? undefined : at + 1, `${id} came apart`)
          if (word === "kept") {
            assert.deepStrictEqual([runs[at ?? 0], (at ?? 0) + 1, (at ?? 0) + 2], [run, first, second].map(Number))
          } else if (word === "refused") assert.isUndefined(at, `${id} was refused, and is there`)
          else assert.strictEqual(word, "unknown")
        }
        const segments = (yield* list(folder)).filter((name) => name.startsWith("run-")).length
        assert.isAbove(segments, 8)
        yield* open(jobs, "always")
      }),
    // Processes take a while to start where others are at work.
    120_000
  )
})

describe("two processes at once", () => {
  it.live("see who writes, hear requests, and follow what the other appends", () =>
    Effect.gen(function* () {
      const { dir, jobs } = yield* setUp
      const { child, closed, lines, printed } = yield* start("journalist", ["append", dir, "job", "other"])
      const following = yield* jobs.changes("job", 1).pipe(Stream.take(20), Stream.runCollect, Effect.forkChild)
      yield* printed(20)
      const records = yield* Fiber.join(following)
      assert.deepStrictEqual(
        records.map(({ event, revision }) => [String(revision), event._tag === "OutputLost" ? event.found : ""]),
        lines().slice(0, 20)
      )
      const error = yield* Effect.flip(open(jobs))
      assert.strictEqual(error.reason._tag === "Running" && error.reason.alive, "yes")
      assert.include(error.message, String(child.pid))
      assert.strictEqual((yield* Effect.flip(jobs.delete("job"))).reason._tag, "Running")
      const [summary] = yield* Stream.runCollect(jobs.list())
      assert.strictEqual(summary?.owner, "alive")
      // Whoever takes over stops it.
      const writer = yield* open(jobs, "always")
      assert.strictEqual(yield* closed, 1)
      const said = lines().flatMap(([word, found]) => (word === "failed" ? [] : [found]))
      assert.deepStrictEqual((yield* founds(jobs)).slice(0, said.length), said)
      yield* writer.append([lost("mine")])
    })
  )

  it.live("cancel a job that the other one runs", () =>
    Effect.gen(function* () {
      const dir = path.join(yield* temporary, "jobs")
      const work = yield* temporary
      const manager = JobManager.layer.pipe(
        Layer.provide(FileJobRepository.layer({ dir })),
        Layer.provide(Rendering.layer(work, () => {}))
      )
      yield* Effect.gen(function* () {
        const managed = yield* JobManager.JobManager
        yield* managed.create(Rendering.spec(20_000), { id: "film" })
        const { closed, printed } = yield* start("renderer", [dir, "film", work])
        yield* printed(0)
        const state = yield* managed.cancel("film", { by: "me" })
        assert.strictEqual(state.status, "cancelled")
        assert.notStrictEqual(yield* closed, 0)
      }).pipe(Effect.provide(manager))
    })
  )
})

describe("a disk that is full", () => {
  it.live("fails an append with what to do, and leaves a journal that can be read and gone on with", () =>
    Effect.gen(function* () {
      const { dir, folder, jobs } = yield* setUp
      // 64 blocks, of 512 or 1024 bytes as the shell likes.
      const { closed, lines } = yield* start("journalist", ["fill", dir, "job", "x", 700], { limit: "ulimit -f 64" })
      assert.strictEqual(yield* closed, 0)
      const said = new Map(lines().map(([word = "", ...rest]) => [word, rest.join(" ")]))
      assert.include(said.get("failed"), path.join(folder, "run-0001.ndjson"))
      assert.include(said.get("failed"), "ulimit -f")
      const before = Number(said.get("read"))
      assert.isAbove(before, 20)
      assert.strictEqual(said.get("next"), "2")
      const found = yield* founds(jobs)
      assert.deepStrictEqual(
        found.filter((one) => one !== "small").map((one) => one.replaceAll("-", "")),
        Array.from({ length: before - 1 }, (_, i) => String(i))
      )
      assert.strictEqual(found.includes("small"), said.get("small") === "true")
      yield* Effect.scoped(Effect.flatMap(open(jobs), ({ append }) => append([lost("there is room again")])))
      assert.strictEqual((yield* founds(jobs)).at(-1), "there is room again")
    })
  )
})

describe("a folder that cannot be written", () => {
  it.live("can be read; everything else says what to do", () =>
    Effect.gen(function* () {
      const { dir, folder } = yield* setUp
      const files = [dir, folder, path.join(folder, "run-0000.ndjson")]
      const mode = (modes: ReadonlyArray<number>) =>
        Effect.forEach(files, (file, index) => Effect.promise(() => fs.chmod(file, modes[index] ?? 0)))
      yield* Effect.promise(() => fs.chmod(path.dirname(dir), 0o755))
      yield* mode([0o555, 0o555, 0o444])
      // Root may write everywhere.
      const options = process.getuid?.() === 0 ? { uid: 65_534 } : {}
      const { closed, lines } = yield* start("journalist", ["look", dir, "job"], options)
      assert.strictEqual(yield* closed, 0)
      yield* mode([0o700, 0o700, 0o600])
      const said = new Map(lines().map(([word = "", ...rest]) => [word, rest.join(" ")]))
      for (const word of ["read", "changes", "list"]) assert.strictEqual(said.get(word), "done")
      for (const word of ["create", "openWriter", "request", "delete"]) {
        assert.include(said.get(word), dir)
        assert.include(said.get(word), "change the owner or the mode")
      }
      assert.deepStrictEqual(yield* list(folder), ["run-0000.ndjson"])
      assert.deepStrictEqual(yield* list(dir), [path.basename(folder)])
    })
  )
})
