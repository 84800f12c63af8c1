import { assert, describe, it } from "@effect/vitest"
import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
import type { WorkerJob, WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import { Effect, Fiber, Schedule } from "effect"
import { Environment } from "@helios-infra/process"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import * as path from "node:path"

const PATH = process.env["PATH"] ?? ""

/** A folder, a chunk's job in it, and an adapter that passes on PATH and nothing else. */
const setUp = Effect.fnUntraced(function* (options: LocalWorkerAdapter.Options = {}) {
  const dir = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "local-")).then((made) => fs.realpath(made))),
    (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
  )
  const adapter = yield* LocalWorkerAdapter.make({ killGrace: "200 millis", ...options }).pipe(
    Effect.provideService(Environment.ParentEnvironment, { PATH, AWS_SECRET_ACCESS_KEY: "secret", LANG: "C" })
  )
  const place = path.join(dir, "attempts", "1.mov")
  yield* Effect.promise(() => fs.mkdir(path.dirname(place)))
  const attemptOf = { jobId: "job", run: 1, attempt: 2, output: { _tag: "File", path: place } } as const
  const chunk = (command: string, more: Partial<WorkerJob> = {}): WorkerJob => ({
    id: "job/7/1.2",
    command,
    cwd: dir,
    outputFile: "part_7.mov",
    meta: { _tag: "Chunk", chunkId: 7, startFrame: 70, frameCount: 10, format: {}, ...attemptOf },
    ...more
  })
  const merge = (command: string, more: Partial<WorkerJob> = {}): WorkerJob => ({
    id: "job/merge/1.2",
    command,
    cwd: dir,
    meta: { _tag: "Merge", ...attemptOf },
    ...more
  })
  const signals: Array<WorkerSignal> = []
  const execute = (job: WorkerJob) => adapter.execute(job, (signal) => signals.push(signal))
  const failure = (job: WorkerJob) => Effect.flip(execute(job))
  const at = (name: string) => path.join(dir, name)
  return { adapter, at, chunk, dir, execute, failure, merge, place, signals }
})

const read = (file: string) => Effect.promise(() => fs.readFile(file, "utf8"))
const write = (file: string, text: string) => Effect.promise(() => fs.writeFile(file, text))
const exists = (file: string) =>
  Effect.promise(() =>
    fs.lstat(file).then(
      () => true,
      () => false
    )
  )

const waitFor = (file: string) =>
  exists(file).pipe(
    Effect.repeat({ until: (there) => there, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.die(new Error(`never written: ${file}`)) })
  )

/** The pids of the processes that have a folder in their environment. */
const processesOf = (dir: string): Array<string> =>
  readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      return readFileSync(`/proc/${name}/environ`, "latin1").includes(dir)
    } catch {
      return false
    }
  })

/** Processes in a group, in a session of their own, and all ignoring TERM. */
const stubborn = `trap "" TERM; sleep 600 & setsid sh -c "sleep 600 & sleep 600" > /dev/null 2>&1 & touch ready; while :; do sleep 0.05; done`

describe("what the adapter says of itself", () => {
  it.effect("is local, can always stop, and takes as much as there are processors", () =>
    Effect.gen(function* () {
      const { info } = yield* LocalWorkerAdapter.make()
      assert.deepStrictEqual(info, {
        name: "local",
        where: "local",
        stop: "always",
        concurrency: availableParallelism()
      })
      assert.strictEqual((yield* LocalWorkerAdapter.make({ concurrency: 3 })).info.concurrency, 3)
    })
  )
})

describe("an attempt that succeeds", () => {
  it.live("has written to its own place", () =>
    Effect.gen(function* () {
      const { at, chunk, execute, place } = yield* setUp()
      const result = yield* execute(chunk(`sh -c 'echo out; echo err >&2; printf 12345 > "$1"' sh part_7.mov`))
      assert.deepInclude(result, {
        exitCode: 0,
        stdout: "out\n",
        stderr: "err\n",
        outputFile: "part_7.mov",
        output: { location: place, bytes: 5 }
      })
      assert.strictEqual(yield* read(place), "12345")
      assert.isFalse(yield* exists(at("part_7.mov")))
    })
  )

  it.live("works with any legal name, without a shell reading it", () =>
    Effect.gen(function* () {
      const { chunk, dir, execute } = yield* setUp()
      for (const name of ["-o.mov", "$(touch hacked).mov", "a b'\"\n.mov", "ビデオ.mov", `${"x".repeat(251)}.mov`]) {
        const place = path.join(dir, "attempts", name)
        const job = chunk("cp -- /etc/hostname {output}")
        const result = yield* execute({ ...job, meta: { ...job.meta, output: { _tag: "File", path: place } } })
        assert.strictEqual(result.output?.location, place)
      }
      assert.deepStrictEqual(yield* Effect.promise(() => fs.readdir(dir)), ["attempts"])
    })
  )

  it.live("has no output when nothing was written, or something that is neither file nor folder", () =>
    Effect.gen(function* () {
      const { chunk, execute } = yield* setUp()
      assert.notProperty(yield* execute(chunk("true {output}")), "output")
      assert.notProperty(yield* execute(chunk("mkfifo {output}")), "output")
      assert.notProperty(yield* execute(chunk("true")), "output")
    })
  )

  it.live("has a folder of files as its output when it writes below its place, which is made for it", () =>
    Effect.gen(function* () {
      const { chunk, execute, failure, place } = yield* setUp()
      const written = yield* execute(
        chunk(`sh -c 'printf one > "$1"; printf three > "$2"' - {output}/1.png {output}/2.png`)
      )
      assert.deepStrictEqual(written.output, { location: place, bytes: 8 })
      yield* Effect.promise(() => fs.rm(place, { recursive: true }))
      const empty = yield* execute(chunk("mkdir {output}"))
      assert.deepStrictEqual(empty.output, { location: place, bytes: 0 })
      yield* Effect.promise(() => fs.rm(place, { recursive: true }))
      yield* failure(chunk(`sh -c 'printf one > "$1"; exit 3' - {output}/1.png`))
      assert.isFalse(yield* exists(place))
    })
  )

  it.live("has an output of no bytes when an empty file was written", () =>
    Effect.gen(function* () {
      const { chunk, execute, place } = yield* setUp()
      assert.deepStrictEqual((yield* execute(chunk("touch {output}"))).output, { location: place, bytes: 0 })
    })
  )

  it.live("sees the allowed variables, the adapter's, the job's and its marker, and nothing else", () =>
    Effect.gen(function* () {
      const { chunk, execute } = yield* setUp({ env: { A: "adapter", B: "adapter" } })
      const { stdout } = yield* execute(chunk("env", { env: { B: "job" } }))
      const variables = new Map(
        stdout
          .trim()
          .split("\n")
          .map((line): [string, string] => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)])
      )
      assert.sameMembers([...variables.keys()], ["PATH", "LANG", "A", "B", "HELIOS_ATTEMPT"])
      assert.strictEqual(variables.get("A"), "adapter")
      assert.strictEqual(variables.get("B"), "job")
      assert.match(variables.get("HELIOS_ATTEMPT") ?? "", /^job_7_1\.2~/)
    })
  )

  it.live("sees where it goes on with the attempt's trace, and never where this process is in one", () =>
    Effect.gen(function* () {
      const inherited = "00-11111111111111111111111111111111-1111111111111111-01"
      const parent = { PATH, TRACEPARENT: inherited, TRACESTATE: "inherited=1", BAGGAGE: "inherited=1" }
      const { chunk } = yield* setUp()
      const adapter = yield* LocalWorkerAdapter.make({
        allowedEnvironment: ["*"],
        env: { A: "adapter", TRACEPARENT: "mine" }
      }).pipe(Effect.provideService(Environment.ParentEnvironment, parent))
      const without = yield* LocalWorkerAdapter.make({ allowedEnvironment: ["*"] }).pipe(
        Effect.provideService(Environment.ParentEnvironment, parent)
      )
      const variables = (made: typeof adapter, trace: Readonly<Record<string, string>>) => {
        const { meta, ...job } = chunk("env")
        return Effect.map(
          made.execute({ ...job, meta: { ...meta, ...trace } }, () => {}),
          ({ stdout }) => stdout.split("\n").filter((line) => line.startsWith("TRACE"))
        )
      }
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      assert.sameMembers(yield* variables(adapter, { traceparent, tracestate: "a=1" }), [
        `TRACEPARENT=${traceparent}`,
        "TRACESTATE=a=1"
      ])
      assert.deepStrictEqual(yield* variables(without, { traceparent }), [`TRACEPARENT=${traceparent}`])
      assert.deepStrictEqual(yield* variables(without, {}), [])
      assert.deepStrictEqual(yield* variables(without, { traceparent: "malformed\0", tracestate: "a=1" }), [])
      // What somebody says in so many words stands, where no attempt is traced.
      assert.deepStrictEqual(yield* variables(adapter, {}), ["TRACEPARENT=mine"])
    })
  )

  it.live("sees only what another allow-list says", () =>
    Effect.gen(function* () {
      const { chunk, execute } = yield* setUp({ allowedEnvironment: ["PATH", "AWS_*"] })
      const { stdout } = yield* execute(chunk("env"))
      assert.include(stdout, "AWS_SECRET_ACCESS_KEY=secret")
      assert.notInclude(stdout, "LANG=")
    })
  )
})

describe("a command that was not told its place", () => {
  it.live("has its output moved there from the job's folder", () =>
    Effect.gen(function* () {
      const { at, chunk, execute, place } = yield* setUp()
      const result = yield* execute(chunk(`sh -c 'printf 123 > ./part_7.mov'`))
      assert.deepStrictEqual(result.output, { location: place, bytes: 3 })
      assert.isFalse(yield* exists(at("part_7.mov")))
    })
  )

  it.live("never has an old file taken for its output", () =>
    Effect.gen(function* () {
      const { at, chunk, execute } = yield* setUp()
      yield* write(at("part_7.mov"), "of an earlier run")
      assert.notProperty(yield* execute(chunk("true")), "output")
      assert.isFalse(yield* exists(at("part_7.mov")))
    })
  )

  it.live("is refused when its output would be outside of the job's folder", () =>
    Effect.gen(function* () {
      const { at, chunk, dir, failure } = yield* setUp()
      const inner = path.join(dir, "inner")
      yield* Effect.promise(() => fs.mkdir(inner))
      yield* Effect.promise(() => fs.symlink(dir, path.join(inner, "link")))
      yield* write(at("precious.mov"), "precious")
      yield* Effect.promise(() => fs.mkdir(path.join(inner, "folder")))
      for (const outputFile of ["folder", ".", "../precious.mov", at("precious.mov"), "link/precious.mov"]) {
        const error = yield* failure(chunk("true", { cwd: inner, outputFile }))
        assert.deepInclude(error.reason, { _tag: "Refused", why: "InvalidJob" })
      }
      assert.strictEqual(yield* read(at("precious.mov")), "precious")
    })
  )
})

describe("a merge command", () => {
  it.live("that fails takes nothing of the job's folder with it, also when that stands for its place", () =>
    Effect.gen(function* () {
      const { at, dir, failure, merge } = yield* setUp()
      yield* write(at("part_0.mov"), "rendered")
      const { meta } = merge("false")
      assert(meta._tag === "Merge")
      const inFolder = { meta: { ...meta, output: { _tag: "File", path: dir } } } as const
      assert.strictEqual((yield* failure(merge("false", inFolder))).reason._tag, "RenderFailed")
      assert.strictEqual(yield* read(at("part_0.mov")), "rendered")
      const { reason } = yield* failure(merge("false {output}", inFolder))
      assert(reason._tag === "Refused")
      assert.include(reason.fix, "is a folder")
      assert.strictEqual(yield* read(at("part_0.mov")), "rendered")
    })
  )

  it.live("tells lines, and no frames", () =>
    Effect.gen(function* () {
      const { execute, merge, signals } = yield* setUp()
      yield* execute(merge("echo frame=5"))
      assert.deepStrictEqual(
        signals.map((signal) => signal._tag),
        ["Assigned", "Line"]
      )
    })
  )

  it.live("is left its own output, which must be new", () =>
    Effect.gen(function* () {
      const { at, execute, merge } = yield* setUp()
      yield* write(at("out.mp4"), "old")
      assert.notProperty(yield* execute(merge("true", { outputFile: "out.mp4" })), "output")
      assert.strictEqual(yield* read(at("out.mp4")), "old")
      const result = yield* execute(merge(`sh -c 'printf newer > ./out.mp4'`, { outputFile: "out.mp4" }))
      assert.deepStrictEqual(result.output, { location: at("out.mp4"), bytes: 5 })
    })
  )
})

describe("the signals of an attempt", () => {
  it.live("say who runs it, what it prints and how many frames are done", () =>
    Effect.gen(function* () {
      const { chunk, execute, signals } = yield* setUp()
      const script = String.raw`printf "frame=    3 fps=1\rframe=    2 fps=1\rframe=    99 fps=1\n" >&2`
      const { workerId } = yield* execute(chunk(`sh -c '${script}'`))
      const [assigned, ...others] = signals
      assert(assigned?._tag === "Assigned")
      assert.strictEqual(assigned.workerId, workerId)
      assert.match(assigned.handle ?? "", /^job_7_1\.2~/)
      assert.deepStrictEqual(others, [
        { _tag: "Line", stream: "stderr", text: "frame=    3 fps=1" },
        { _tag: "Frames", done: 3 },
        { _tag: "Line", stream: "stderr", text: "frame=    2 fps=1" },
        { _tag: "Line", stream: "stderr", text: "frame=    99 fps=1" },
        { _tag: "Frames", done: 10 }
      ])
    })
  )

  it.live("cannot break it when they are received badly", () =>
    Effect.gen(function* () {
      const { adapter, chunk } = yield* setUp()
      const result = yield* adapter.execute(chunk("echo frame=1"), () => {
        throw new Error("receiver")
      })
      assert.strictEqual(result.stdout, "frame=1\n")
    })
  )
})

describe("an attempt that fails", () => {
  it.live("names its job, chunk, attempt and worker, and says how the command ended", () =>
    Effect.gen(function* () {
      const { chunk, failure, place } = yield* setUp()
      const error = yield* failure(chunk(`sh -c 'echo out; echo broken >&2; printf half > "$1"; exit 3' sh part_7.mov`))
      assert.deepInclude(error, { _tag: "WorkerError", adapter: "local", jobId: "job", chunkId: 7, attempt: 2 })
      assert.match(error.workerId ?? "", /^\d+$/)
      assert.deepInclude(error.reason, { _tag: "RenderFailed", exitCode: 3, stderrTail: "broken\n" })
      assert.include(error.message, "chunk 7 of job job, attempt 2 on local: the command exited with 3:\nbroken")
      assert.isFalse(yield* exists(place), "what a failed attempt wrote is removed")
    })
  )

  it.live("shows the command's output where it printed no error", () =>
    Effect.gen(function* () {
      const { chunk, failure } = yield* setUp()
      const error = yield* failure(chunk(`sh -c 'echo "it was the disk"; exit 1'`))
      assert.deepInclude(error.reason, { stderrTail: "it was the disk\n" })
    })
  )

  it.live("says which signal killed it when somebody else did", () =>
    Effect.gen(function* () {
      const { chunk, failure } = yield* setUp()
      const error = yield* failure(chunk(`sh -c 'kill -KILL $$'`))
      assert.deepInclude(error.reason, { _tag: "RenderFailed", exitCode: null, signal: "SIGKILL" })
    })
  )

  it.live("for a full disk says so, and leaves nothing there", () =>
    Effect.gen(function* () {
      const { chunk, failure, place } = yield* setUp()
      yield* Effect.promise(() => fs.symlink("/dev/full", place))
      const error = yield* failure(chunk("cp /etc/passwd {output}", { env: { LC_ALL: "C" } }))
      assert(error.reason._tag === "RenderFailed")
      assert.include(error.reason.stderrTail, "No space left on device")
      assert.isFalse(yield* exists(place))
    })
  )

  it.live("is refused, with what to do, when it could never run", () =>
    Effect.gen(function* () {
      const { at, chunk, failure } = yield* setUp()
      yield* write(at("plain.txt"), "text")
      const refusal = (job: WorkerJob) =>
        Effect.map(failure(job), (error) => {
          assert(error.reason._tag === "Refused", error.message)
          return error.reason
        })
      const missing = yield* refusal(chunk("no-such-renderer -o part_7.mov"))
      assert.strictEqual(missing.why, "NotFound")
      assert.include(missing.fix, "no-such-renderer")
      assert.include(missing.fix, PATH)

      const nowhere = yield* refusal(chunk("true", { cwd: at("missing") }))
      assert.strictEqual(nowhere.why, "NotFound")
      assert.include(nowhere.fix, at("missing"))
      assert.strictEqual((yield* refusal(chunk("true", { cwd: at("plain.txt") }))).why, "NotFound")

      assert.strictEqual((yield* refusal(chunk("./plain.txt"))).why, "Unsupported")
      assert.strictEqual((yield* refusal(chunk("render 'part_7.mov"))).why, "InvalidJob")
      assert.strictEqual((yield* refusal(chunk(" "))).why, "InvalidJob")
      assert.strictEqual((yield* refusal(chunk("true", { env: { A: "\0" } }))).why, "InvalidJob")
      assert.strictEqual((yield* refusal(chunk(`true ${"x".repeat(200_000)}`))).why, "TooLarge")
      const job = chunk("true")
      const remote = { ...job, meta: { ...job.meta, output: { _tag: "Artifact", key: "k" } as const } }
      assert.strictEqual((yield* refusal(remote)).why, "Unsupported")
    })
  )
})

describe("an attempt that is interrupted", () => {
  it.live("leaves no process and no file", () =>
    Effect.gen(function* () {
      const { at, chunk, dir, execute, place } = yield* setUp()
      const job = chunk(`sh -c 'echo half > "$1"; ${stubborn}' sh {output}`, { env: { DIR: dir } })
      const fiber = yield* Effect.forkChild(execute(job))
      yield* waitFor(at("ready"))
      assert.isNotEmpty(processesOf(dir))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(processesOf(dir), [])
      assert.isFalse(yield* exists(place))
    })
  )

  it.live("does not disturb another one of the same job", () =>
    Effect.gen(function* () {
      const { at, chunk, execute } = yield* setUp()
      const other = yield* setUp()
      const fiber = yield* Effect.forkChild(execute(chunk(`sh -c '${stubborn}'`)))
      const unharmed = yield* Effect.forkChild(
        other.execute(
          other.chunk(`sh -c 'touch ready; while [ ! -e go ]; do sleep 0.01; done; echo frames > "$1"' sh {output}`)
        )
      )
      yield* waitFor(at("ready"))
      yield* waitFor(other.at("ready"))
      yield* Fiber.interrupt(fiber)
      yield* write(other.at("go"), "")
      assert.strictEqual((yield* Fiber.join(unharmed)).output?.bytes, 7)
    })
  )
})

/** Runs an attempt in a process of its own, kills that once the command is there, and gives the attempt's handle. */
const killedOrchestrator = Effect.fnUntraced(function* (job: WorkerJob, there: string) {
  const orchestrator = spawn(
    process.execPath,
    [
      "--conditions=@helios-infra/source",
      path.join(import.meta.dirname, "fixtures", "orchestrator.ts"),
      JSON.stringify(job)
    ],
    { stdio: ["ignore", "pipe", "inherit"] }
  )
  const told: ReadonlyArray<unknown> = yield* Effect.promise(() => once(orchestrator.stdout, "data"))
  yield* waitFor(there)
  orchestrator.kill("SIGKILL")
  yield* Effect.promise(() => once(orchestrator, "exit"))
  return String(told[0]).trim()
})

describe("reap", () => {
  it.live("ends what a killed orchestrator left of the attempts with these handles, and of no other", () =>
    Effect.gen(function* () {
      const { adapter, at, chunk, dir } = yield* setUp()
      const orphan = (name: string) =>
        killedOrchestrator(
          chunk(`sh -c '${stubborn.replace("ready", name)}'`, { env: { DIR: `${dir}/${name}` } }),
          at(name)
        )
      const [one, other] = yield* Effect.all([orphan("one"), orphan("other")], { concurrency: 2 })
      assert.isNotEmpty(processesOf(`${dir}/one`))

      assert.deepStrictEqual(yield* adapter.reap("another", [one, "never~there"]), { leftover: [] })
      assert.deepStrictEqual(processesOf(`${dir}/one`), [])
      assert.isNotEmpty(processesOf(`${dir}/other`))

      assert.deepStrictEqual(yield* adapter.reap("another", [other]), { leftover: [] })
      assert.deepStrictEqual(processesOf(dir), [])
    })
  )

  it.live("ends what a killed orchestrator had no time to write the handle of, and nothing of one that lives", () =>
    Effect.gen(function* () {
      const { adapter, at, chunk, dir } = yield* setUp()
      const job = (name: string) =>
        chunk(`sh -c '${stubborn.replace("ready", name)}'`, { env: { DIR: `${dir}/${name}` } })
      const mine = yield* Effect.forkChild(adapter.execute(job("mine"), () => {}))
      yield* waitFor(at("mine"))
      yield* killedOrchestrator(job("theirs"), at("theirs"))
      assert.isNotEmpty(processesOf(`${dir}/theirs`))

      assert.deepStrictEqual(yield* adapter.reap("job", []), { leftover: [] })
      assert.deepStrictEqual(processesOf(`${dir}/theirs`), [])
      assert.isNotEmpty(processesOf(`${dir}/mine`))
      yield* Fiber.interrupt(mine)
    })
  )

  it.live("has nothing to do without handles", () =>
    Effect.gen(function* () {
      const { adapter } = yield* setUp()
      assert.deepStrictEqual(yield* adapter.reap("job", []), { leftover: [] })
    })
  )
})
