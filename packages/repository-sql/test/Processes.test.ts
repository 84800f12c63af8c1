/** One database and several processes, some of which are killed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Stream } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { created, founds, journal, lost, open } from "./Jobs.ts"
import * as Places from "./Places.ts"
import * as Postgres from "./Postgres.ts"

const program = path.join(import.meta.dirname, "fixtures", "journalist.ts")

/** A process of its own, which is killed with the test; what it printed, and how it ended. */
const start = Effect.fnUntraced(function* (args: ReadonlyArray<string | number>, uid?: number) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--conditions=@helios-infra/source", program, ...args.map(String)], {
        stdio: ["pipe", "pipe", "inherit"],
        // Compiled once for all of them.
        env: { ...process.env, NODE_COMPILE_CACHE: path.join(tmpdir(), "journalist-compile-cache") },
        ...(uid === undefined ? {} : { uid, gid: uid })
      })
    ),
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
    /** Waits until it is ready. */
    ready: eventually(() => text !== "" || child.exitCode !== null),
    /** Lets it begin. */
    begin: Effect.sync(() => void child.stdin.write("begin\n")),
    /** Waits until it has printed more than so many lines, which it must live to do. */
    printed: (count: number) =>
      Effect.gen(function* () {
        yield* eventually(() => lines().length > count || child.exitCode !== null)
        assert.isAbove(lines().length, count, `it ended with ${child.exitCode}: ${text.slice(-500)}`)
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

const server = Postgres.shared()
const places = [["SQLite", Places.sqlite] as const, ["Postgres", Places.postgres(server)] as const]

/** An empty place with a job in it. */
const setUpIn = Effect.fnUntraced(function* (place: typeof Places.sqlite) {
  const here = yield* place
  const jobs = yield* here.open
  yield* jobs.create("job", created)
  return { ...here, jobs }
})

describe.each(places)("processes that share %s", (_, place) => {
  const setUp = setUpIn(place)

  it.live(
    "lose nothing that one was promised that is killed, and the next one need not be told to take over",
    () =>
      Effect.gen(function* () {
        const { address, jobs } = yield* setUp
        const kept: Array<string> = []
        const writers = yield* Effect.forEach(["first", "second"], (name) =>
          start(["append", address, "job", name, 5_000, "wait"])
        )
        yield* Effect.forEach(writers, ({ ready }) => ready)
        for (const { begin, child, closed, lines, printed } of writers) {
          yield* begin
          yield* printed(40)
          child.kill("SIGKILL")
          yield* closed
          const found = yield* founds(jobs)
          for (const [number, text = ""] of lines()) {
            assert.strictEqual(found[Number(number) - 2], text)
            kept.push(text)
          }
          assert.deepStrictEqual(
            found.filter((text) => kept.includes(text)),
            kept
          )
          // What it was not told of any more counts as a whole or not at all.
          assert.strictEqual(found.length % 2, 0)
          yield* Stream.runCollect(jobs.list()).pipe(
            Effect.repeat({ until: ([job]) => job?.owner === "dead", schedule: Schedule.spaced("10 millis") })
          )
        }
        const writer = yield* open(jobs)
        assert.strictEqual(writer.run, 3)
        yield* writer.append([lost("mine")])
        assert.strictEqual((yield* founds(jobs)).at(-1), "mine")
      }),
    120_000
  )

  it.live(
    "and fight over a job write one journal: all that was promised, whole, once, in order, and nothing that was refused",
    () =>
      Effect.gen(function* () {
        const { address, jobs } = yield* setUp
        const fighters = yield* Effect.forEach(["p", "q", "r"], (name) => start(["fight", address, "job", name, 3]))
        yield* Effect.forEach(fighters, ({ ready }) => ready)
        yield* Effect.forEach(fighters, ({ begin }) => begin)
        const kept = (from: ReadonlyArray<(typeof fighters)[number]>) =>
          new Set(
            from.flatMap(({ lines }) => lines().flatMap(([word, id = ""]) => (word === "kept" ? [id.slice(0, 3)] : [])))
          )
        yield* eventually(() => kept(fighters).size >= 6)
        // Some die on the way.
        const [dying, ...living] = fighters
        dying?.child.kill("SIGKILL")
        const before = living.map(({ lines }) => lines().length)
        yield* eventually(() => living.every(({ lines }, i) => lines().length > (before[i] ?? 0) + 4))
        for (const { child } of living) child.stdin.end()
        const codes = yield* Effect.forEach(living, ({ closed }) => closed, { concurrency: "unbounded" })
        assert.deepStrictEqual(codes, [0, 0])

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
        for (const [word, id = "", run, first, second] of fighters.flatMap(({ lines }) => lines())) {
          const at = places.get(`${id}.a`)
          assert.strictEqual(places.get(`${id}.b`), at === undefined ? undefined : at + 1, `${id} came apart`)
          if (word === "kept") {
            assert.deepStrictEqual([runs[at ?? 0], (at ?? 0) + 1, (at ?? 0) + 2], [run, first, second].map(Number))
          } else {
            assert.strictEqual(word, "refused", `${id} is not known to be written or refused: ${run}`)
            assert.isUndefined(at, `${id} was refused, and is there`)
          }
        }
        assert.isAbove(new Set(runs).size, 6)
        assert.isAbove((yield* open(jobs, "always")).run, runs.at(-1) ?? 0)
      }),
    // Processes take a while to start where others are at work.
    120_000
  )

  it.live(
    "see who writes, and follow what the other appends",
    () =>
      Effect.gen(function* () {
        const { address, jobs } = yield* setUp
        const { child, closed, lines, printed } = yield* start(["append", address, "job", "other"])
        const following = yield* jobs.changes("job", 1).pipe(Stream.take(20), Stream.runCollect, Effect.forkChild)
        yield* printed(20)
        const [listed] = yield* Stream.runCollect(jobs.list())
        assert.strictEqual(listed?.owner, "alive")
        const refused = yield* Effect.flip(open(jobs))
        assert.strictEqual(refused.reason._tag === "Running" && refused.reason.owner.pid, child.pid)
        assert.deepStrictEqual(
          (yield* Fiber.join(following)).map(({ event }) => (event._tag === "OutputLost" ? event.found : "")),
          lines()
            .slice(0, 20)
            .map(([, text]) => text)
        )
        // Taken over, it finds out at its next append and ends.
        const writer = yield* open(jobs, "always")
        assert.strictEqual(yield* closed, 1)
        assert.include(lines().at(-1)?.join(" "), "run 1 has been taken over")
        yield* writer.append([lost("mine")])
        const found = yield* founds(jobs)
        assert.strictEqual(found.at(-1), "mine")
        assert.strictEqual(found.length, lines().length)
      }),
    120_000
  )
})

describe("a SQLite file that may only be read", () => {
  it.live(
    "says what to do, and nothing is changed",
    () =>
      Effect.gen(function* () {
        const { address, open } = yield* Places.sqlite
        yield* Effect.scoped(Effect.flatMap(open, (jobs) => jobs.create("job", created)))
        const dir = path.dirname(address)
        yield* Effect.promise(() => fs.chmod(address, 0o444).then(() => fs.chmod(dir, 0o555)))
        // Root may write everywhere.
        const { closed, lines } = yield* start(["look", address, "job"], process.getuid?.() === 0 ? 65_534 : undefined)
        assert.strictEqual(yield* closed, 0)
        yield* Effect.promise(() => fs.chmod(dir, 0o700))
        const [[word, ...said] = []] = lines()
        assert.strictEqual(word, "open")
        assert.include(said.join(" "), address)
        assert.match(said.join(" "), /let this user write to the file and its folder|this user may write to/)
      }),
    120_000
  )
})
