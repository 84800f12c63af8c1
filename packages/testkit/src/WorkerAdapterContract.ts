/**
 * What every `WorkerAdapter` promises, wherever it runs attempts.
 *
 * The contract does not know what commands a worker can run, nor how to look for what one left: the adapter's author
 * says so with a `WorkerRig` beside the adapter. Concurrency, retries and time limits are core's business, not checked.
 */
import * as FromPromises from "@helios-infra/core/FromPromises"
import type { WorkerAdapter as PlainAdapter } from "@helios-infra/core/promise"
import {
  type OutputTarget,
  WorkerAdapter,
  type WorkerAdapterInfo,
  type WorkerJob,
  type WorkerResult,
  type WorkerSignal
} from "@helios-infra/core/WorkerAdapter"
import type { WorkerError } from "@helios-infra/core/WorkerError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Contract from "./Contract.ts"
import { background, eventually, failureOf, holds, type Mismatch, same, within } from "./internal/check.ts"
import { withVariable } from "./internal/environment.ts"
import { peakDuring, resources } from "./internal/memory.ts"
import * as plain from "./internal/plain.ts"

/**
 * The commands that a worker is given, and what can be seen of it from outside. Commands that write name their output
 * as `{output}`, where the adapter replaces that.
 */
export class WorkerRig extends Context.Service<
  WorkerRig,
  {
    readonly commands: {
      /** Writes a file of so many bytes, and succeeds. */
      readonly write: (bytes: number) => string
      /** Succeeds, and writes nothing. */
      readonly idle: string
      /** Prints `text` to its standard error, and exits with `exitCode`. */
      readonly fail: (exitCode: number, text: string) => string
      /** Prints so many bytes to each output, ending with `last`, and succeeds. */
      readonly print: (bytes: number, last: string) => string
      /** Writes a file of so many bytes when so many milliseconds have passed, not before, and succeeds. */
      readonly late: (bytes: number, afterMs: number) => string
      /** Writes a part of its output and never ends. */
      readonly hang: string
      /** Like `hang`, with a child that would outlive it; `running` counts both. For adapters that end children. */
      readonly family?: string | undefined
      /** Prints the value of an environment variable. */
      readonly env: (name: string) => string
      /** Tells that so many frames are done, one after the other, then succeeds; for adapters that tell frames. */
      readonly frames?: ((done: ReadonlyArray<number>) => string) | undefined
      /** A command that can never run here. */
      readonly impossible: string
    }
    /** A place of its own for every attempt; `name` can be any legal file name. */
    readonly place: (name: string) => Effect.Effect<OutputTarget>
    /** The size in bytes of what is at a place. */
    readonly size: (target: OutputTarget) => Effect.Effect<Option.Option<number>>
    /** How many `hang` commands run just now, for whomever. */
    readonly running: Effect.Effect<number>
    /** The names of all files that an attempt could leave, wherever the adapter puts any. */
    readonly files?: Effect.Effect<ReadonlyArray<string>> | undefined
    /** The folder of the jobs, for adapters that run in one. */
    readonly cwd?: string | undefined
  }
>()("@helios-infra/testkit/WorkerAdapterContract/WorkerRig") {}

/** The same, for authors without Effect. */
export interface PlainRig extends Pick<WorkerRig["Service"], "commands" | "cwd"> {
  /** An absolute path for an attempt's output, below a folder that is there. */
  readonly place: (name: string) => plain.Promised<string>
  /** The size in bytes of what is at a path; `undefined` where there is nothing. */
  readonly size: (path: string) => plain.Promised<number | undefined>
  /** How many `hang` commands run just now. */
  readonly running: () => plain.Promised<number>
  /** The names of all files that an attempt could leave, wherever the adapter puts any. */
  readonly files?: (() => plain.Promised<ReadonlyArray<string>>) | undefined
}

/** An adapter of the Promise API for one case, with its rig. */
export interface Plain extends plain.Closing {
  readonly adapter: PlainAdapter
  readonly rig: PlainRig
}

/**
 * The adapter to hold to its promises: a layer that brings its rig along, or a function that makes an adapter of the
 * Promise API and its rig. Either is used anew for every case.
 */
export type Implementation<E> = Layer.Layer<WorkerAdapter | WorkerRig, E> | (() => plain.Promised<Plain>)

/** A plain rig as the one that the contract uses. */
export const fromPlain = ({ files, ...rig }: PlainRig): WorkerRig["Service"] => ({
  commands: rig.commands,
  cwd: rig.cwd,
  place: (name) =>
    Effect.map(
      plain.ask(() => rig.place(name)),
      (path) => ({ _tag: "File", path })
    ),
  size: (target) => plain.sizeOf(() => rig.size(target._tag === "File" ? target.path : target.key)),
  running: plain.ask(() => rig.running()),
  ...(files === undefined ? {} : { files: plain.ask(files) })
})

const layerOf = (make: () => plain.Promised<Plain>): Layer.Layer<WorkerAdapter | WorkerRig, Mismatch> =>
  Layer.unwrap(
    Effect.map(plain.acquire(make), ({ adapter, rig }) =>
      Layer.merge(FromPromises.workerAdapter(adapter), Layer.succeed(WorkerRig, fromPlain(rig)))
    )
  )

/** What the implementation does not promise, or promises beyond what all do. */
export interface Options extends Contract.Timing {
  /** What its `info.stop` should say. Default: `"always"`. */
  readonly stop?: WorkerAdapterInfo["stop"] | undefined
  /** Whether it says how large its outputs are. Default: true. */
  readonly sizes?: boolean | undefined
  /** Whether what an attempt prints comes back as bounded tails. Default: true. */
  readonly tails?: boolean | undefined
  /** Whether it tells frames; needs `commands.frames`. Default: false. */
  readonly frames?: boolean | undefined
  /** Whether it tells who runs an attempt. Default: true. */
  readonly assigned?: boolean | undefined
  /** Whether `reap` ends what a handle names. Default: false. */
  readonly reap?: boolean | undefined
  /** Whether it gives a signal every few seconds, as `info.heartbeats` says. Default: false. */
  readonly heartbeats?: boolean | undefined
  /** Whether the children of a command end with it; needs `commands.family`. Default: false. */
  readonly children?: boolean | undefined
  /** Whether nothing but outputs is left behind in any folder; needs the rig's `files`. Default: false. */
  readonly files?: boolean | undefined
  /**
   * How many bytes a command prints to each output while the memory of this process is watched: it may hold half of that
   * at most. 0 where the rig's worker would itself hold it. Default: 32 MiB.
   */
  readonly flood?: number | undefined
}

/** The most that a result or failure may hold of what an attempt printed, in characters of either output. */
export const maxTail = 64 * 1024

const frameCount = 10

/** How many attempts are made to see whether each of them leaves something. */
const several = 3

/** What a job can be called, however it looks to shells, paths and terminals: see `JobSpec.JobId`. */
const oddIds = [
  `it's a "job" $(touch oops) \`touch oops\` $HOME; & | > < * ? # \\`,
  "../../..",
  "-rf",
  ".",
  "été 映画 🎬",
  "j".repeat(200)
] as const

/** A value that only survives where nobody reads it. */
const oddValue = `a b=c 'd' "e" $HOME $(f) \`g\` \\ é 🎬\n-h`

interface Attempt {
  readonly command: string
  readonly name?: string
  readonly jobId?: string
  readonly chunkId?: number
  readonly attempt?: number
  readonly env?: Readonly<Record<string, string>>
}

/** Who may have run an attempt: of an adapter that is made of several, each of them. */
const namesOf = ({ members = [], name }: WorkerAdapterInfo): ReadonlyArray<string> => [
  name,
  ...members.flatMap(namesOf)
]

/** One adapter with its rig, and the attempts that were made on it. */
const bench = Effect.gen(function* () {
  const adapter = yield* WorkerAdapter
  const rig = yield* WorkerRig

  const prepare = Effect.fnUntraced(function* (asked: Attempt) {
    const { attempt = 2, chunkId = 7, command, env, jobId = "job-a", name = String(chunkId) } = asked
    const output = yield* rig.place(name)
    const job: WorkerJob = {
      id: `${jobId}/${chunkId}/1.${attempt}`,
      command,
      outputFile: `part_${chunkId}.mov`,
      ...(rig.cwd === undefined ? {} : { cwd: rig.cwd }),
      ...(env === undefined ? {} : { env }),
      meta: {
        _tag: "Chunk",
        jobId,
        run: 1,
        attempt,
        output,
        chunkId,
        startFrame: chunkId * frameCount,
        frameCount,
        format: {}
      }
    }
    const signals: Array<WorkerSignal> = []
    const execute = adapter.execute(job, (signal) => {
      signals.push(signal)
    })
    return { execute, job, output, signals }
  })

  return {
    adapter,
    rig,
    prepare,
    run: (attempt: Attempt) => Effect.flatMap(prepare(attempt), ({ execute }) => execute)
  }
})

type Bench = Effect.Success<typeof bench>

/** The contract of an adapter. */
export const make = <E>(implementation: Implementation<E>, options: Options = {}): Contract.Contract => {
  const { assigned = true, children = false, files = false, flood = 32 * 1024 * 1024, frames = false } = options
  const { heartbeats = false, reap = false, sizes = true, stop = "always", tails = true } = options
  // Core takes an adapter of the Promise API at its word: where it names no output, that is where it was asked to be.
  const trusted = typeof implementation === "function"
  const layer: Layer.Layer<WorkerAdapter | WorkerRig, E | Mismatch> = trusted ? layerOf(implementation) : implementation
  const timing = Contract.patienceOf(options)

  const promise = <A, E2 extends Error>(
    body: (on: Bench) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2, WorkerAdapter | WorkerRig | Scope.Scope> => Effect.asVoid(Effect.flatMap(bench, body))

  /** An attempt that runs and does not end. */
  const hanging = Effect.fnUntraced(function* (on: Bench, attempt: Partial<Attempt> = {}, processes = 1) {
    const before = yield* on.rig.running
    const prepared = yield* on.prepare({ command: on.rig.commands.hang, ...attempt })
    const fiber = yield* background(timing, prepared.execute)
    yield* eventually(
      timing,
      "the attempt should begin",
      Effect.flatMap(on.rig.running, (running) =>
        // An attempt that ended instead says why.
        fiber.pollUnsafe() === undefined
          ? Effect.succeed(running >= before + processes)
          : Effect.as(Fiber.join(fiber), true)
      )
    )
    return { ...prepared, fiber }
  })

  /** What an output must be: where it was asked to be, of this size. */
  const isWritten = Effect.fnUntraced(function* (
    on: Bench,
    output: OutputTarget,
    result: WorkerResult | undefined,
    bytes: number
  ) {
    yield* same("the size that it gives", result?.output?.bytes, sizes ? bytes : 0)
    yield* same("the size of what is there", yield* on.rig.size(output), Option.some(bytes))
    const asked = output._tag === "File" ? output.path : output.key
    yield* holds(`its location should be ${asked}`, result?.output?.location.endsWith(asked) === true, result?.output)
  })

  /** What must hold when an interruption is over: nothing runs, or somebody was told. */
  const isStopped = Effect.fnUntraced(function* (
    on: Bench,
    attempts: ReadonlyArray<{ readonly signals: ReadonlyArray<WorkerSignal> }>,
    others = 0
  ) {
    const running = (yield* on.rig.running) - others
    if (stop === "always") return yield* same("how many run when the interruption is over", running, 0)
    const told = attempts.filter(({ signals }) => signals.some(({ _tag }) => _tag === "NotStopped")).length
    yield* holds("each that still runs should have been reported as NotStopped", told >= running, { running, told })
  })

  return Contract.make({
    of: "WorkerAdapter",
    layer,
    promises: {
      "it says of itself what it was tested for": promise(({ adapter: { info } }) =>
        Effect.gen(function* () {
          yield* holds("info.name should name it", info.name !== "", info.name)
          yield* same("info.stop", info.stop, stop)
          yield* same("info.heartbeats", info.heartbeats ?? false, heartbeats)
          const { concurrency = 1, maxConcurrency = concurrency } = info
          yield* holds("info.concurrency should be at least 1", concurrency >= 1, concurrency)
          yield* holds("info.maxConcurrency should not be below", maxConcurrency >= concurrency, maxConcurrency)
        })
      ),

      "an attempt that succeeds gives its output: where it was asked to be, and its size if it knows that": promise(
        (on) =>
          Effect.gen(function* () {
            const { execute, output } = yield* on.prepare({ command: on.rig.commands.write(12_345) })
            const result = yield* execute
            yield* same("its exit code", result.exitCode, 0)
            yield* holds("its duration should be a time", result.durationMs >= 0, result.durationMs)
            yield* isWritten(on, output, result, 12_345)
          })
      ),

      "an attempt that writes nothing gives no output": trusted
        ? undefined
        : promise(({ prepare, rig }) =>
            Effect.gen(function* () {
              const { execute } = yield* prepare({ command: rig.commands.idle })
              const result = yield* execute
              yield* same("its exit code", result.exitCode, 0)
              yield* holds("there should be no output", result.output === undefined, result.output)
            })
          ),

      "attempts at the same time keep to their own outputs, also two at the same chunk": promise((on) =>
        Effect.gen(function* () {
          const attempts = yield* Effect.forEach([100, 200, 300, 400], (bytes, index) =>
            Effect.map(
              on.prepare({
                command: on.rig.commands.write(bytes),
                chunkId: index >> 1,
                attempt: 1 + (index & 1),
                name: `same-${index}`
              }),
              (made) => ({ ...made, bytes })
            )
          )
          const results = yield* Effect.forEach(attempts, ({ execute }) => execute, { concurrency: "unbounded" })
          for (const [index, { bytes, output }] of attempts.entries()) {
            yield* isWritten(on, output, results[index], bytes)
          }
        })
      ),

      "attempts at the same time, and one after the other, keep to their own ends and last words": promise(
        ({ rig, run }) =>
          Effect.gen(function* () {
            const words = ["out of cyan", "out of magenta", "out of yellow"]
            const errors = yield* Effect.forEach(
              [...words.entries()],
              ([index, text]) =>
                failureOf(
                  `a command that exits with ${index + 3}`,
                  run({ command: rig.commands.fail(index + 3, text), chunkId: index, name: `words-${index}` })
                ),
              { concurrency: 2 }
            )
            for (const [index, { chunkId, reason }] of errors.entries()) {
              yield* same("the chunk", chunkId, index)
              const { exitCode, stderrTail } =
                reason._tag === "RenderFailed" ? reason : { exitCode: reason._tag, stderrTail: reason.message }
              yield* same("the exit code", exitCode, index + 3)
              const said = words.filter((text) => stderrTail.includes(text))
              yield* same("the last words", said, [words[index]])
            }
          })
      ),

      "ids and files may be called anything: they are only names": promise((on) =>
        Effect.forEach(
          oddIds.entries(),
          Effect.fnUntraced(function* ([index, jobId]) {
            const name = `${index} ${jobId.replaceAll("/", "_").slice(0, 60)}`
            const odd = { jobId, name, chunkId: index * 0x3fff_ffff }
            const { execute, output } = yield* on.prepare({ ...odd, command: on.rig.commands.write(index + 1) })
            yield* isWritten(on, output, yield* execute, index + 1)
            const failing = on.run({ ...odd, command: on.rig.commands.fail(3, "no"), name: `${name} again` })
            const error: WorkerError = yield* failureOf("a command that exits with 3", failing)
            yield* same("the reason", error.reason._tag, "RenderFailed")
            yield* same("the job and chunk of the error", [error.jobId, error.chunkId], [jobId, odd.chunkId])
          }),
          { concurrency: 3 }
        )
      ),

      "a command that fails is an error and no result, with its exit code, its last words, and who it was": promise(
        ({ adapter, rig, run }) =>
          Effect.gen(function* () {
            const failed = run({ command: rig.commands.fail(3, "out of paint") })
            const error: WorkerError = yield* failureOf("a command that exits with 3", failed)
            yield* same("the reason", error.reason._tag, "RenderFailed")
            if (error.reason._tag !== "RenderFailed") return
            yield* same("the exit code", error.reason.exitCode, 3)
            yield* holds("its last words", error.reason.stderrTail.includes("out of paint"), error.reason.stderrTail)
            const names = namesOf(adapter.info)
            yield* holds(`the adapter should be ${names.join(" or ")}`, names.includes(error.adapter), error.adapter)
            yield* same("the job, chunk and attempt", [error.jobId, error.chunkId, error.attempt], ["job-a", 7, 2])
          })
      ),

      "a command that can never run is Refused, with what to do about it": promise(({ rig, run }) =>
        Effect.gen(function* () {
          const error = yield* failureOf("it", run({ command: rig.commands.impossible }))
          yield* same("the reason", error.reason._tag, "Refused")
          const fix = error.reason._tag === "Refused" ? error.reason.fix : ""
          yield* holds("the fix should say something", fix !== "", fix)
        })
      ),

      "a command sees the variables of its job, whatever is in them": promise(({ rig, run }) =>
        Effect.gen(function* () {
          const { stdout } = yield* run({
            command: rig.commands.env("HELIOS_TESTKIT"),
            env: { HELIOS_TESTKIT: oddValue }
          })
          yield* same("what it printed", stdout.trim(), oddValue)
        })
      ),

      "a command sees no variable of this process that nobody let through": promise(({ rig, run }) =>
        Effect.gen(function* () {
          const name = "ORCHESTRATOR_SECRET"
          const secret = "known to this process alone"
          yield* withVariable(name, secret)
          // Without the variable some commands print nothing, and others fail.
          const ended = yield* Effect.result(run({ command: rig.commands.env(name) }))
          const said = Result.isSuccess(ended) ? [ended.success.stdout, ended.success.stderr] : [ended.failure.message]
          yield* holds("the command should not see it", !said.some((text) => text.includes(secret)), said)
        })
      ),

      "what is kept of the output is its end, however much a command prints": tails
        ? promise(({ rig, run }) =>
            Effect.gen(function* () {
              const { stderr, stdout } = yield* run({ command: rig.commands.print(1_000_000, "the last line") })
              for (const [name, tail] of [
                ["stdout", stdout],
                ["stderr", stderr]
              ] as const) {
                yield* holds(`${name} should be at most ${maxTail} long`, tail.length <= maxTail, tail.length)
                yield* same(`the end of ${name}`, tail.trimEnd().slice(-13), "the last line")
              }
            })
          )
        : undefined,

      "what it holds does not grow with what a command prints":
        flood === 0
          ? undefined
          : promise(({ adapter, prepare, rig }) =>
              Effect.gen(function* () {
                const { job } = yield* prepare({ command: rig.commands.print(flood, "the last line") })
                const { peak } = yield* peakDuring(
                  flood / 2,
                  adapter.execute(job, () => {})
                )
                const mebibytes = (bytes: number) => `${Math.round(bytes / 1_048_576)} MiB`
                yield* holds(
                  `while ${mebibytes(flood)} are printed to each output, half of that should be held at most`,
                  peak < flood / 2,
                  mebibytes(peak)
                )
              })
            ),

      "it tells who runs an attempt before it ends, once": assigned
        ? promise(({ prepare, rig }) =>
            Effect.gen(function* () {
              const { execute, signals } = yield* prepare({ command: rig.commands.write(10) })
              const result = yield* execute
              const told = signals.filter((signal) => signal._tag === "Assigned")
              yield* same("how often it was told", told.length, 1)
              yield* same("who it is", told[0]?.workerId, result.workerId)
              if (reap) yield* holds("it should have a handle for reap", told[0]?.handle !== undefined, told[0])
            })
          )
        : undefined,

      "frames done never go back, and are at most those of the chunk": frames
        ? promise(({ prepare, rig }) =>
            Effect.gen(function* () {
              const { frames: telling } = rig.commands
              yield* holds("the rig should have commands.frames", telling !== undefined, telling)
              if (telling === undefined) return
              const { execute, signals } = yield* prepare({ command: telling([1, 4, 2, 9, 99]) })
              yield* execute
              const done = signals.flatMap((signal) => (signal._tag === "Frames" ? [signal.done] : []))
              yield* holds("there should be some", done.length > 0, signals)
              yield* same(
                "them in order",
                done,
                done.toSorted((a, b) => a - b)
              )
              yield* holds(`the last should be at most ${frameCount}`, (done.at(-1) ?? 0) <= frameCount, done)
            })
          )
        : undefined,

      "a running attempt shows that it lives": heartbeats
        ? promise((on) =>
            Effect.gen(function* () {
              const { fiber, signals } = yield* hanging(on)
              const before = signals.length
              yield* eventually(
                timing,
                "a signal should come",
                Effect.sync(() => signals.length > before)
              )
              yield* within(timing, "its interruption", Fiber.interrupt(fiber))
            })
          )
        : undefined,

      "when an interruption is over, nothing of the attempt runs, or it was told what does": promise((on) =>
        Effect.gen(function* () {
          const attempt = yield* hanging(on)
          yield* within(timing, "the interruption", Fiber.interrupt(attempt.fiber))
          yield* isStopped(on, [attempt])
        })
      ),

      "an attempt that is interrupted as it begins leaves nothing either": promise((on) =>
        Effect.gen(function* () {
          for (const steps of [0, 1, 2, 5, 10, 20, 50, 100]) {
            const before = yield* on.rig.running
            const attempt = yield* on.prepare({ command: on.rig.commands.hang, name: `early-${steps}` })
            const fiber = yield* background(timing, attempt.execute)
            yield* Effect.repeat(Effect.yieldNow, { times: steps })
            yield* within(timing, "the interruption", Fiber.interrupt(fiber))
            yield* isStopped(on, [attempt], before)
          }
        })
      ),

      "many that are interrupted at once all stop": promise((on) =>
        Effect.gen(function* () {
          const attempts = yield* Effect.forEach([0, 1, 2, 3, 4], (chunkId) => hanging(on, { chunkId }))
          yield* within(timing, "the interruption", Fiber.interruptAll(attempts.map(({ fiber }) => fiber)))
          yield* isStopped(on, attempts)
        })
      ),

      "an attempt that is interrupted just before or after it is done gives its output, or leaves none": promise((on) =>
        Effect.gen(function* () {
          const began = yield* Clock.currentTimeMillis
          yield* on.run({ command: on.rig.commands.write(7) })
          const tookMs = (yield* Clock.currentTimeMillis) - began
          for (const part of [0.5, 0.8, 0.95, 1, 1.1]) {
            const attempt = yield* on.prepare({ command: on.rig.commands.write(7), name: `part-${part}` })
            const fiber = yield* background(timing, attempt.execute)
            yield* Effect.sleep(tookMs * part)
            yield* within(timing, "the interruption", Fiber.interrupt(fiber))
            const exit = yield* Fiber.await(fiber)
            if (Exit.isSuccess(exit)) yield* isWritten(on, attempt.output, exit.value, 7)
            else if (stop === "always") yield* same("what it left", yield* on.rig.size(attempt.output), Option.none())
          }
        })
      ),

      "the children of a command that is interrupted end with it": children
        ? promise((on) =>
            Effect.gen(function* () {
              const { family } = on.rig.commands
              yield* holds("the rig should have commands.family", family !== undefined, family)
              if (family === undefined) return
              const attempt = yield* hanging(on, { command: family }, 2)
              yield* within(timing, "the interruption", Fiber.interrupt(attempt.fiber))
              yield* isStopped(on, [attempt])
            })
          )
        : undefined,

      "attempts leave no file behind but their outputs": files
        ? promise((on) =>
            Effect.gen(function* () {
              const { files } = on.rig
              yield* holds("the rig should have files", files !== undefined, files)
              if (files === undefined) return
              const before = yield* files
              const added = Effect.map(files, (now) => now.filter((file) => !before.includes(file)))
              const { fiber } = yield* hanging(on, { name: "stopped" })
              yield* within(timing, "the interruption", Fiber.interrupt(fiber))
              yield* same("what one leaves that was interrupted", yield* added, [])
              yield* failureOf("it", on.run({ command: on.rig.commands.fail(3, "no"), name: "failed" }))
              yield* failureOf("it", on.run({ command: on.rig.commands.impossible, name: "refused" }))
              yield* same("what those leave that failed", yield* added, [])
              yield* on.run({ command: on.rig.commands.write(5), name: "done" })
              const left = yield* added
              yield* holds("one that succeeds should leave its output", left.length === 1, left)
            })
          )
        : undefined,

      "attempts leave no timer, socket or pipe behind, however they end": promise((on) =>
        Effect.gen(function* () {
          const { commands } = on.rig
          const attempts = Effect.fnUntraced(function* (count: number) {
            for (let index = 0; index < count; index++) {
              yield* on.run({ command: commands.write(1), name: `done-${index}` })
              yield* failureOf("it", on.run({ command: commands.fail(3, "no"), name: `failed-${index}` }))
              // What goes on may be run by this process, in a rig.
              if (stop === "never") continue
              const { fiber } = yield* hanging(on, { name: `stopped-${index}` })
              yield* within(timing, "the interruption", Fiber.interrupt(fiber))
            }
          })
          // What is kept open for the next attempt is there once, however many attempts there are.
          yield* attempts(1)
          const before = yield* resources
          yield* attempts(several)
          let grown: ReadonlyArray<string> = []
          yield* eventually(
            timing,
            "they should close what they opened",
            Effect.map(resources, (now) => {
              grown = [...now].flatMap(([kind, count]) =>
                count - (before.get(kind) ?? 0) >= several ? [`${count - (before.get(kind) ?? 0)} ${kind}`] : []
              )
              return grown.length === 0
            })
          ).pipe(Effect.catch(() => holds(`what ${several} of each kind left should be nothing`, false, grown)))
        })
      ),

      "an interruption does not disturb another attempt, not even at the same chunk": promise((on) =>
        Effect.gen(function* () {
          const one = yield* hanging(on, { name: "one", attempt: 1 })
          const other = yield* hanging(on, { name: "other", attempt: 2 })
          yield* within(timing, "the interruption", Fiber.interrupt(one.fiber))
          yield* isStopped(on, [one], 1)
          yield* Effect.sleep(timing.quiet)
          yield* holds("the other should go on", other.fiber.pollUnsafe() === undefined, other.fiber.pollUnsafe())
          yield* holds("the other should be running", (yield* on.rig.running) >= 1, yield* on.rig.running)
          yield* within(timing, "its interruption", Fiber.interrupt(other.fiber))
        })
      ),

      "what comes late, after an interruption, changes nothing": promise((on) =>
        Effect.gen(function* () {
          const attempt = yield* hanging(on)
          yield* within(timing, "the interruption", Fiber.interrupt(attempt.fiber))
          const signals = attempt.signals.length
          const size = yield* on.rig.size(attempt.output)
          yield* Effect.sleep(timing.quiet)
          yield* same("the signals told after it", attempt.signals.slice(signals), [])
          if (stop === "always") {
            yield* same("what it left at its place", size, Option.none())
            yield* same("what appeared there later", yield* on.rig.size(attempt.output), size)
          }
        })
      ),

      "an answer to an attempt that was interrupted, or timed out, is given to no other one": promise((on) =>
        Effect.gen(function* () {
          const { late } = on.rig.commands
          const afterMs = 600
          const one = yield* on.prepare({ command: late(111, afterMs), name: "one", attempt: 1 })
          const began = yield* Clock.currentTimeMillis
          const timedOut = yield* within(timing, "a time limit", Effect.timeoutOption(one.execute, afterMs / 4))
          yield* same("what it gives when its time is over", timedOut, Option.none())
          const told = one.signals.length
          const other = yield* on.prepare({ command: late(222, afterMs), name: "other", attempt: 2 })
          const result = yield* within(timing, "the next attempt", other.execute)
          yield* isWritten(on, other.output, result, 222)
          const assignedTo = other.signals.filter(({ _tag }) => _tag === "Assigned").length
          if (assigned) yield* same("how often the next one was assigned", assignedTo, 1)
          // The first one would be done by now, wherever it went on.
          const passed = (yield* Clock.currentTimeMillis) - began
          yield* Effect.sleep(Duration.sum(Duration.millis(Math.max(0, afterMs - passed)), timing.quiet))
          yield* same("the signals that the first one told after its end", one.signals.slice(told), [])
          if (stop === "always") yield* same("what it left", yield* on.rig.size(one.output), Option.none())
          yield* same("what the next one wrote", yield* on.rig.size(other.output), Option.some(222))
        })
      ),

      "reap of nothing, or of what is not there, does nothing": promise((on) =>
        Effect.gen(function* () {
          const attempt = yield* hanging(on)
          yield* same("without handles", yield* within(timing, "reap", on.adapter.reap("job-a", [])), { leftover: [] })
          yield* within(timing, "reap", on.adapter.reap("job-a", ["never~there", ""]))
          yield* holds("the attempt should go on", attempt.fiber.pollUnsafe() === undefined, attempt.fiber.pollUnsafe())
          yield* within(timing, "the interruption", Fiber.interrupt(attempt.fiber))
        })
      ),

      "reap ends what a handle names, and nothing else; once is enough, and twice no harm": reap
        ? promise((on) =>
            Effect.gen(function* () {
              const one = yield* hanging(on, { chunkId: 1 })
              const other = yield* hanging(on, { chunkId: 2 })
              const handles = one.signals.flatMap((signal) =>
                signal._tag === "Assigned" && signal.handle !== undefined ? [signal.handle] : []
              )
              const reaped = yield* within(timing, "reap", on.adapter.reap("job-a", [...handles, ...handles]))
              yield* same("what is left", reaped, { leftover: [] })
              yield* same("how many run", yield* on.rig.running, 1)
              yield* failureOf("the attempt", within(timing, "the attempt", Fiber.join(one.fiber)))
              const again = yield* within(timing, "reap", on.adapter.reap("job-a", handles))
              yield* same("what is left then", again, { leftover: [] })
              yield* holds("the other should go on", other.fiber.pollUnsafe() === undefined, other.fiber.pollUnsafe())
              yield* within(timing, "the interruption", Fiber.interrupt(other.fiber))
            })
          )
        : undefined
    }
  })
}
