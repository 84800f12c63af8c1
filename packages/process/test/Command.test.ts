import { assert, describe, it } from "@effect/vitest"
import * as Command from "@helios-infra/process/Command"
import { Deferred, Effect, Exit, Fiber, Schedule, Schema } from "effect"
import { TestClock } from "effect/testing"
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { isRunning, sandbox, tagged, written } from "./fixtures/processes.ts"

type Overrides = Partial<Command.Options>

/** A shell script, run in a folder of its own. */
const shell = Effect.fnUntraced(function* (script: string, overrides: Overrides = {}) {
  const { dir, env, tag } = yield* sandbox
  const run = Command.run({ args: ["sh", "-c", script], cwd: dir, env, killGrace: "200 millis", ...overrides })
  return { run, dir, tag, env }
})

const reasonOf = (run: ReturnType<typeof Command.run>) => Effect.map(Effect.flip(run), (error) => error.reason)

const nothingLeft = (tag: string) => Effect.sync(() => assert.deepStrictEqual(tagged(tag), [], "processes are left"))

const Printed = Schema.fromJsonString(
  Schema.Struct({
    args: Schema.Array(Schema.String),
    cwd: Schema.String,
    env: Schema.Record(Schema.String, Schema.String)
  })
)

const Measured = Schema.fromJsonString(
  Schema.Struct({
    exitCode: Schema.Int,
    lines: Schema.Int,
    longest: Schema.Int,
    tail: Schema.Int,
    maxRssMiB: Schema.Finite,
    durationMs: Schema.Finite
  })
)

describe("a command that ends by itself", () => {
  it.live("gives its exit code, the last of its output and how long it took", () =>
    Effect.gen(function* () {
      const { run } = yield* shell("echo out; echo err >&2; exit 3")
      const ended = yield* run
      assert.strictEqual(ended.exitCode, 3)
      assert.isNull(ended.signal)
      assert.strictEqual(ended.stdout, "out\n")
      assert.strictEqual(ended.stderr, "err\n")
      assert.isAbove(ended.pid, 1)
      assert.isAbove(ended.durationMs, 0)
    })
  )

  it.live("gives the signal that somebody else ended it with", () =>
    Effect.gen(function* () {
      const { run } = yield* shell("echo almost; kill -KILL $$")
      const ended = yield* run
      assert.isNull(ended.exitCode)
      assert.strictEqual(ended.signal, "SIGKILL")
      assert.strictEqual(ended.stdout, "almost\n")
    })
  )

  it.live("gets its arguments, folder and environment exactly as they were given, and no input", () =>
    Effect.gen(function* () {
      const { dir, env } = yield* sandbox
      const args = ["$HOME; ls", "*", "`id`", "", "a\nb", "-n", "ビデオ"]
      const script = `const out = { args: process.argv.slice(1), cwd: process.cwd(), env: process.env }
        process.stdin.on("data", () => {}).on("end", () => console.log(JSON.stringify(out)))`
      const ended = yield* Command.run({ args: [process.execPath, "-e", script, "--", ...args], cwd: dir, env })
      const out = yield* Schema.decodeEffect(Printed)(ended.stdout)
      assert.deepStrictEqual(out.args, args)
      assert.strictEqual(out.cwd, yield* Effect.promise(() => fs.realpath(dir)))
      assert.deepStrictEqual(out.env, { ...env, HELIOS_ATTEMPT: ended.marker })
    })
  )

  it.live("has a marker that begins with its name and is never the same twice", () =>
    Effect.gen(function* () {
      const { run } = yield* shell("true", { name: "job/7 ü\0" })
      const markers = [(yield* run).marker, (yield* run).marker]
      assert.notStrictEqual(markers[0], markers[1])
      for (const marker of markers) assert.match(marker, /^job_7___~[0-9a-f-]{36}$/)
    })
  )

  it.live("keeps only the end of what it prints", () =>
    Effect.gen(function* () {
      const { run } = yield* shell("seq 1 100000; echo the end", { tailBytes: 100 })
      const { stdout } = yield* run
      assert.strictEqual(stdout.length, 100)
      assert.isTrue(stdout.endsWith("100000\nthe end\n"))
    })
  )
})

describe("the lines of a command", () => {
  it.live("are told while it runs", () =>
    Effect.gen(function* () {
      const first = yield* Deferred.make<void>()
      const { dir, run } = yield* shell("echo one; while [ ! -e go ]; do sleep 0.01; done; echo two >&2", {
        onLine: (stream, line) => {
          lines.push([stream, line])
          if (line === "one") Deferred.doneUnsafe(first, Exit.void)
        }
      })
      const lines: Array<[string, string]> = []
      const fiber = yield* Effect.forkChild(run)
      yield* Deferred.await(first)
      assert.deepStrictEqual(lines, [["stdout", "one"]])
      yield* Effect.promise(() => fs.writeFile(join(dir, "go"), ""))
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(lines, [
        ["stdout", "one"],
        ["stderr", "two"]
      ])
    })
  )

  it.live("keep characters whole that arrive in pieces", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const { run } = yield* shell(
        String.raw`for byte in '\343' '\203' '\223' '\360' '\237' '\216' '\254'; do printf "$byte"; sleep 0.01; done`,
        { onLine: (_, line) => lines.push(line) }
      )
      assert.strictEqual((yield* run).stdout, "ビ🎬")
      assert.deepStrictEqual(lines, ["ビ🎬"])
    })
  )

  it.live("cannot break it when their observer throws", () =>
    Effect.gen(function* () {
      let told = 0
      const observer = () => {
        told++
        throw new Error("observer")
      }
      const { run } = yield* shell("echo a; echo b; echo c", { onLine: observer, onStart: observer })
      assert.strictEqual((yield* run).exitCode, 0)
      assert.strictEqual(told, 4)
    })
  )

  const measure = Effect.fnUntraced(function* (script: string) {
    const fixture = join(import.meta.dirname, "fixtures", "printAGigabyte.ts")
    const args = ["--conditions=@helios-infra/source", fixture, script]
    const { stdout } = yield* Effect.promise(() => promisify(execFile)(process.execPath, args))
    return yield* Schema.decodeEffect(Measured)(stdout)
  })

  it.live(
    "never fill the memory: 1 GB of lines",
    () =>
      Effect.gen(function* () {
        const line = "x".repeat(199)
        const measured = yield* measure(`yes ${line} | head -c 1000000000`)
        assert.deepInclude(measured, { exitCode: 0, lines: 5_000_000, longest: 199, tail: 4096 })
        assert.isBelow(measured.maxRssMiB, 150)
      }),
    120_000
  )

  it.live(
    "never fill the memory: 1 GB without a line's end",
    () =>
      Effect.gen(function* () {
        const measured = yield* measure("head -c 1000000000 /dev/zero")
        assert.deepInclude(measured, { exitCode: 0, longest: 8192, tail: 4096 })
        assert.isBelow(measured.maxRssMiB, 150)
      }),
    120_000
  )
})

describe("a command that cannot be started", () => {
  const start = (args: Command.Options["args"], overrides: Overrides = {}) =>
    Effect.gen(function* () {
      const { dir } = yield* sandbox
      return yield* reasonOf(Command.run({ args, cwd: dir, env: { PATH: "/nowhere:/bin:/usr/bin" }, ...overrides }))
    })

  it.live("names the folders that were searched for its program", () =>
    Effect.gen(function* () {
      const reason = yield* start(["no-such-program-here", "-y"])
      assert(reason._tag === "ProgramNotFound")
      assert.deepStrictEqual(reason.searched, ["/nowhere", "/bin", "/usr/bin"])
      assert.include(reason.message, "there is no program no-such-program-here in /nowhere:/bin:/usr/bin")
    })
  )

  it.live("looks for its program in its own PATH, not in ours", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* start(["sh", "-c", "true"], { env: { PATH: "/nowhere" } }))._tag, "ProgramNotFound")
    })
  )

  it.live("says when it is the folder that is missing, whatever the program", () =>
    Effect.gen(function* () {
      for (const program of ["true", "no-such-program-here"]) {
        const reason = yield* start([program], { cwd: "/no/such/folder" })
        assert(reason._tag === "FolderNotFound")
        assert.strictEqual(reason.folder, "/no/such/folder")
      }
      assert.strictEqual((yield* start(["true"], { cwd: "/etc/passwd" }))._tag, "FolderNotFound")
    })
  )

  it.live("says when the program may not be executed, or its interpreter is missing", () =>
    Effect.gen(function* () {
      const { dir } = yield* sandbox
      const plain = join(dir, "plain.txt")
      const orphan = join(dir, "orphan.sh")
      yield* Effect.promise(() => fs.writeFile(plain, "text", { mode: 0o644 }))
      yield* Effect.promise(() => fs.writeFile(orphan, "#!/no/such/interpreter\n", { mode: 0o755 }))
      assert.strictEqual((yield* start([plain]))._tag, "NotExecutable")
      assert.strictEqual((yield* start([dir]))._tag, "NotExecutable")
      assert.include((yield* start([orphan])).message, "interpreter")
    })
  )

  it.live("says when its arguments are too long, or no program could be given them", () =>
    Effect.gen(function* () {
      const reason = yield* start(["true", ...Array.from({ length: 100 }, () => "x".repeat(130_000))])
      assert(reason._tag === "TooLarge")
      assert.isAbove(reason.bytes, 13_000_000)
      assert.strictEqual((yield* start(["true", "a\0b"]))._tag, "InvalidArgument")
    })
  )
})

describe("a command that takes too long", () => {
  it.live("is ended, and its error has the last of its output", () =>
    Effect.gen(function* () {
      const { run, tag } = yield* shell("echo working >&2; sleep 60", { timeout: "300 millis" })
      const reason = yield* reasonOf(run)
      assert(reason._tag === "TimedOut")
      assert.isAtLeast(reason.afterMs, 299)
      assert.strictEqual(reason.stderr, "working\n")
      yield* nothingLeft(tag)
    })
  )

  it.effect("is given all of its time", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const { run, tag } = yield* shell("exec sleep 600", {
        timeout: "1 hour",
        onStart: () => Deferred.doneUnsafe(started, Exit.void)
      })
      const fiber = yield* Effect.forkChild(reasonOf(run))
      yield* Deferred.await(started)
      yield* TestClock.adjust("59 minutes")
      assert.isUndefined(fiber.pollUnsafe())
      assert.lengthOf(tagged(tag), 1)
      yield* TestClock.adjust("1 minute")
      while (fiber.pollUnsafe() === undefined) {
        yield* TestClock.adjust("10 millis")
        yield* TestClock.withLive(Effect.sleep("10 millis"))
      }
      const reason = yield* Fiber.join(fiber)
      assert(reason._tag === "TimedOut")
      assert.strictEqual(reason.afterMs, 3_600_000)
      yield* nothingLeft(tag)
    })
  )
})

/** Scripts that each say `ready` once all their processes run. */
const trees = {
  "one process": `echo ready > ready; exec sleep 600`,
  "a process that ignores TERM": `trap '' TERM; echo ready > ready; while :; do sleep 0.05; done`,
  "grandchildren that ignore TERM": `
    (trap '' TERM; sleep 600 & sleep 600 & wait) &
    trap '' TERM
    (sleep 600 & echo ready > ready; wait)`,
  "a grandchild in a session of its own": `setsid sh -c 'echo ready > ready; exec sleep 600' > /dev/null 2>&1 & wait`,
  "a grandchild in a session of its own that ignores TERM and has children": `
    setsid sh -c 'trap "" TERM; sleep 600 & echo ready > ready; while :; do sleep 0.05; done' > /dev/null 2>&1 & wait`,
  "a session whose members have no environment": `
    setsid sh -c 'env -i sleep 600 & echo $! > hidden; echo ready > ready; wait' > /dev/null 2>&1 & wait`,
  "a process that starts others when it is told to end": `
    trap 'setsid sleep 600 > /dev/null 2>&1 & sleep 600 & exit' TERM; echo ready > ready; sleep 600 & wait`
}

describe("a command that is interrupted", () => {
  it.live("can end in its own way, if it does so soon", () =>
    Effect.gen(function* () {
      const { dir, run, tag } = yield* shell(
        "trap 'sleep 0.2; echo cleaned > cleaned; exit' TERM; echo ready > ready; while :; do sleep 0.05; done",
        { killGrace: "20 seconds" }
      )
      const fiber = yield* Effect.forkChild(run)
      yield* written(join(dir, "ready"))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(join(dir, "cleaned"), "utf8")), "cleaned\n")
      yield* nothingLeft(tag)
    })
  )

  it.live.each(Object.entries(trees))("leaves nothing: %s", ([, script]) =>
    Effect.gen(function* () {
      const { dir, run, tag } = yield* shell(script)
      const fiber = yield* Effect.forkChild(run)
      yield* written(join(dir, "ready"))
      const hidden = yield* Effect.promise(() => fs.readFile(join(dir, "hidden"), "utf8").catch(() => ""))
      assert.isNotEmpty(tagged(tag))
      yield* Fiber.interrupt(fiber)
      yield* nothingLeft(tag)
      if (hidden !== "") assert.isFalse(isRunning(Number(hidden)))
    })
  )

  it.live(
    "leaves nothing, at whatever moment, 20 times",
    () =>
      Effect.gen(function* () {
        const scripts = Object.values(trees)
        yield* Effect.forEach(
          Array.from({ length: 20 }, (_, index) => index),
          (index) =>
            Effect.gen(function* () {
              const { run, tag } = yield* shell(scripts[index % scripts.length] ?? "", { killGrace: "50 millis" })
              const fiber = yield* Effect.forkChild(run)
              yield* Effect.sleep(Math.random() * 60)
              yield* Fiber.interrupt(fiber)
              yield* nothingLeft(tag)
            }).pipe(Effect.scoped),
          { concurrency: availableParallelism(), discard: true }
        )
      }),
    120_000
  )

  it.live("is the only one that ends, of two with the same name", () =>
    Effect.gen(function* () {
      const one = yield* shell(trees["a grandchild in a session of its own"], { name: "twin" })
      const other = yield* shell(trees["a grandchild in a session of its own"], { name: "twin" })
      const fiber = yield* Effect.forkChild(one.run)
      const otherFiber = yield* Effect.forkChild(other.run)
      yield* written(join(one.dir, "ready"))
      yield* written(join(other.dir, "ready"))
      // One of them is in the middle of its `exec`, perhaps, and then shows no environment.
      const before = yield* Effect.sync(() => tagged(other.tag)).pipe(
        Effect.repeat({ until: (pids) => pids.length === 2, schedule: Schedule.spaced("10 millis") })
      )
      yield* Fiber.interrupt(fiber)
      yield* nothingLeft(one.tag)
      assert.deepStrictEqual(tagged(other.tag), before)
      yield* Fiber.interrupt(otherFiber)
      yield* nothingLeft(other.tag)
    })
  )
})

describe("a command with an input", () => {
  it.live("reads it, and finds no end of it as long as it is wanted", () =>
    Effect.gen(function* () {
      const { run } = yield* shell("read -r line; echo $line; read -r more < /dev/null; exit 4", { input: "$HOME é\n" })
      const ended = yield* run
      assert.strictEqual(ended.stdout, "$HOME é\n")
      assert.strictEqual(ended.exitCode, 4)
    })
  )

  it.live("is told to stop by the end of it, before TERM", () =>
    Effect.gen(function* () {
      const { dir, run, tag } = yield* shell(
        "trap 'echo TERM >> told' TERM; read -r go; echo ready > ready; cat; echo end >> told; sleep 0.1; echo over >> told",
        { input: "go\n", killGrace: "20 seconds" }
      )
      const fiber = yield* Effect.forkChild(run)
      yield* written(join(dir, "ready"))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(join(dir, "told"), "utf8")), "end\nover\n")
      yield* nothingLeft(tag)
    })
  )

  it.live("is ended like any other where it does not heed that, and so is what it leaves where it does", () =>
    Effect.gen(function* () {
      for (const script of ["exec sleep 600", "setsid sleep 600 > /dev/null 2>&1 & cat"]) {
        const { run, tag } = yield* shell(`echo ready > ready; ${script}`, { input: "", timeout: "300 millis" })
        assert.strictEqual((yield* reasonOf(run))._tag, "TimedOut")
        yield* nothingLeft(tag)
      }
    })
  )

  it.live("need not read it", () =>
    Effect.gen(function* () {
      const { run } = yield* shell("exec 0<&-; exit 5", { input: "x".repeat(10_000_000) })
      assert.strictEqual((yield* run).exitCode, 5)
    })
  )
})

describe("a command that leaves processes behind when it ends", () => {
  it.live.each<[string, string]>([
    ["in its group", "sleep 600 > /dev/null 2>&1 & exit 7"],
    ["in its group, holding its pipes", "sleep 600 & exit 7"],
    ["in a group of its own, ignoring TERM", "set -m; (trap '' TERM; sleep 600) & exit 7"],
    ["in a session of its own", "setsid sh -c 'echo ready > ready; exec sleep 600' > /dev/null 2>&1 & exit 7"],
    [
      "in a session of its own, which has long begun",
      `
      setsid sh -c 'echo ready > ready; exec sleep 600' > /dev/null 2>&1 &
      while [ ! -s ready ]; do sleep 0.01; done; exit 7`
    ],
    ["in a session of its own, holding its pipes", "setsid sleep 600 & sleep 0.1; exit 7"],
    ["in a session of its own, started by one that ends", "setsid sh -c '(sleep 600 &) &' > /dev/null 2>&1 & exit 7"],
    [
      "in a session of its own, among more others than are asked for one by one",
      "setsid sleep 600 > /dev/null 2>&1 & for i in $(seq 80); do true & done; exit 7"
    ]
  ])("ends them: %s", ([, script]) =>
    Effect.gen(function* () {
      const { run, tag } = yield* shell(script)
      assert.strictEqual((yield* run).exitCode, 7)
      yield* nothingLeft(tag)
    })
  )

  it.live("is not held up by one that nobody can find", () =>
    Effect.gen(function* () {
      // No environment, and a session of its own: see the Strays module.
      const { dir, run } = yield* shell("setsid env -i sleep 600 & echo $! > hidden; sleep 0.3; echo done; exit 0")
      const ended = yield* run
      const pid = Number(yield* written(join(dir, "hidden")))
      yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(pid, "SIGKILL")))
      assert.strictEqual(ended.exitCode, 0)
      assert.strictEqual(ended.stdout, "done\n")
      assert.isTrue(isRunning(pid))
    })
  )
})
