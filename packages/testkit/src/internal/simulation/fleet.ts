/**
 * The workers of a simulation: they live outside of every orchestrator, go on when nobody listens any more, and do to
 * their orchestrators whatever the scenario says. Chance is drawn for each chunk's nth attempt alone.
 */
import type { OutputRef, WorkerJob, WorkerResult, WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
import {
  OutputInvalid,
  Refused,
  RenderFailed,
  Throttled,
  Transport,
  type WorkerError,
  WorkerLost,
  type WorkerReason
} from "@helios-infra/core/WorkerError"
import * as Effect from "effect/Effect"
import { bytesPerFrame, type FakeFile, video } from "../../FakeFiles.ts"
import * as Dice from "./dice.ts"
import type { Fault, Scenario } from "./scenario.ts"
import * as Scenarios from "./scenario.ts"
import type { Machine, Timeline } from "./timeline.ts"

/** One attempt, from its beginning on. */
export interface Attempt {
  readonly number: number
  readonly machine: Machine
  readonly job: WorkerJob
  readonly chunkId: number
  readonly run: number
  readonly attempt: number
  readonly place: string
  readonly handle: string
  readonly beganAt: number
  /** Whether its orchestrator has been answered, or has stopped waiting. */
  settled: boolean
  /** Whether it was refused for want of room. */
  throttled: boolean
  /** When it was told to stop. */
  stoppedAt: number | undefined
  /** Whether it was told that it goes on. */
  notStopped: boolean
  /** What it has written. */
  wrote: FakeFile | undefined
}

/** What an attempt does when nobody stops it. */
export interface Plan {
  /** How long the work takes. */
  readonly takesMs: number
  readonly fault: Fault | undefined
  /** What it fails with at its end, or when it is cut off; `undefined` where it answers with its output. */
  readonly fails: WorkerReason | undefined
  /** How often it gives a sign of life. */
  readonly signEveryMs: number
  /** How long it takes to stop. */
  readonly stopsAfterMs: number
}

/** What becomes of the attempts. */
export interface Fleet {
  readonly attempts: ReadonlyArray<Attempt>
  readonly adapter: (machine: Machine) => WorkerAdapter.WorkerAdapter["Service"]
  /** The attempts for which an orchestrator waits. */
  readonly waitedFor: (machine: Machine, run: number) => ReadonlyArray<Attempt>
}

/** Where the fleet is. */
export interface Surroundings {
  readonly scenario: Scenario
  readonly timeline: Timeline
  readonly files: Map<string, FakeFile>
  /** Whether nothing goes wrong any more. */
  readonly calm: () => boolean
  readonly tell: (line: string) => void
  readonly onBegin: (attempt: Attempt) => void
  /** What the nth attempt at a chunk does, in place of what chance says. */
  readonly plan?: ((chunkId: number, nth: number) => Plan) | undefined
}

/** Makes the workers. */
export const make = (around: Surroundings): Fleet => {
  const { files, scenario, tell, timeline } = around
  const attempts: Array<Attempt> = []
  /** How to end what still runs, by handle. */
  const live = new Map<string, () => void>()
  const timesOf = new Map<number, number>()

  const begin = (machine: Machine, job: WorkerJob): Attempt => {
    const { attempt, output, run } = job.meta
    const number = attempts.length + 1
    const one: Attempt = {
      number,
      machine,
      job,
      chunkId: WorkerAdapter.chunkId(job) ?? -1,
      run,
      attempt,
      place: output._tag === "File" ? output.path : output.key,
      handle: `worker-${number}`,
      beganAt: timeline.now(),
      settled: false,
      throttled: false,
      stoppedAt: undefined,
      notStopped: false,
      wrote: undefined
    }
    attempts.push(one)
    around.onBegin(one)
    return one
  }

  const execute =
    (machine: Machine) =>
    (job: WorkerJob, signal: (signal: WorkerSignal) => void): Effect.Effect<WorkerResult, WorkerError> =>
      Effect.callback((resume) => {
        if (!machine.alive()) return
        const one = begin(machine, job)
        const nth = (timesOf.get(one.chunkId) ?? 0) + 1
        timesOf.set(one.chunkId, nth)
        const plan = around.plan?.(one.chunkId, nth) ?? planOf(scenario, one, nth, timeline.now(), around.calm())
        const name = `chunk ${one.chunkId} run ${one.run} attempt ${one.attempt} (${one.handle} of ${machine.name})`
        tell(`${name} begins${plan.fault === undefined ? "" : `; it ${plan.fault}`}`)

        const timers: Array<() => void> = []
        const over = () => {
          timers.forEach((cancel) => cancel())
          live.delete(one.handle)
        }
        // What one attempt says arrives in the order in which it is said, whatever else comes between.
        const mail: Array<() => void> = []
        const send = (news: () => void) => {
          mail.push(news)
          machine.tell(() => mail.shift()?.())
        }
        const say = (news: WorkerSignal) => send(() => signal(news))
        const answer = (effect: Effect.Effect<WorkerResult, WorkerError>, what: string) => {
          if (one.settled) {
            tell(`${name} answers late: ${what}`)
            return
          }
          one.settled = true
          tell(`${name} answers: ${what}`)
          send(() => resume(effect))
        }
        const fail = (reason: WorkerReason) => {
          one.throttled = reason._tag === "Throttled"
          answer(Effect.fail(WorkerAdapter.failure("fleet", job, reason, one.handle)), reason.message)
        }
        const write = (): OutputRef | undefined => {
          const file = outputOf(one, plan.fault, nth)
          if (file === undefined) return undefined
          files.set(one.place, file)
          one.wrote = file
          const whole = plan.fault === "writes garbage" && nth % 2 === 0
          return { location: one.place, bytes: whole ? one.wrote.bytes + 1 : file.bytes }
        }
        const done = () => {
          over()
          if (plan.fault === "throws") {
            answer(Effect.die(new Error("the adapter is broken")), "a defect")
          } else if (plan.fault === "ends without a result") {
            answer(Effect.interrupt, "an interruption")
          } else if (plan.fault === "never answers") {
            tell(`${name} is over and says nothing`)
          } else if (plan.fails !== undefined && plan.fault !== "is cut off and writes late") {
            fail(plan.fails)
          } else {
            const output = write()
            const result = { exitCode: 0, stdout: "", stderr: "", durationMs: timeline.now() - one.beganAt }
            answer(
              Effect.succeed({ ...result, workerId: one.handle, ...(output === undefined ? {} : { output }) }),
              output === undefined ? "done, without an output" : `done, ${output.bytes} bytes`
            )
          }
          if (scenario.echoes) {
            say({ _tag: "Frames", done: 1_000 })
            say({ _tag: "Heartbeat" })
            if (one.settled) send(() => resume(Effect.fail(WorkerAdapter.failure("fleet", job, lost, one.handle))))
          }
        }

        live.set(one.handle, () => {
          over()
          // Whoever was taken over, and still waits for it, finds it gone.
          if (!one.settled) fail(new WorkerLost({ detail: "it was reaped" }))
        })
        say({ _tag: "Assigned", workerId: one.handle, handle: one.handle })
        const signs = (at: number, nth: number): void => {
          const next = at + plan.signEveryMs
          // Half of its time says nothing.
          const silent = plan.fault === "falls silent for a while" && nth > 1
          if (next >= plan.takesMs || silent || nth > 60) return
          timers.push(
            timeline.after(plan.signEveryMs, () => {
              const done = framesTold(one, next / plan.takesMs, scenario.liars, nth)
              say(nth % 3 === 0 ? { _tag: "Heartbeat" } : { _tag: "Frames", done })
              signs(next, nth + 1)
            })
          )
        }
        if (plan.fault !== "never answers") signs(0, 1)
        if (plan.fault === "is cut off and writes late") {
          timers.push(timeline.after(plan.takesMs / 3, () => fail(new Transport({ cause: new Error("cut off") }))))
        }
        timers.push(timeline.after(plan.takesMs, done))

        // Told to stop.
        return Effect.callback<void>((stopped) => {
          // Its answer is on its way.
          if (one.settled) return stopped(Effect.void)
          one.stoppedAt = timeline.now()
          const atOnce = scenario.stop === "always" || (scenario.stop === "best-effort" && nth % 2 === 0)
          if (!atOnce) {
            tell(`${name} cannot be stopped, and goes on`)
            one.notStopped = true
            one.settled = true
            signal({ _tag: "NotStopped", detail: `${one.handle} goes on` })
            stopped(Effect.void)
            return
          }
          timeline.after(plan.stopsAfterMs, () => {
            over()
            if (!machine.alive()) return
            one.settled = true
            tell(`${name} has stopped`)
            machine.tell(() => stopped(Effect.void))
          })
        })
      })

  const reap = (machine: Machine) => (_jobId: string, handles: ReadonlyArray<string>) =>
    Effect.callback<WorkerAdapter.Reaped, WorkerError>((resume) => {
      const how = around.calm() ? "ends them" : scenario.reap
      tell(`${machine.name} reaps ${handles.join(", ") || "nothing"}: it ${how}`)
      if (how === "fails") return resume(Effect.die(new Error("there is no reaper")))
      timeline.after(how === "is slow" ? 45_000 : 0, () => {
        if (how !== "cannot") for (const handle of handles) live.get(handle)?.()
        const leftover = how === "cannot" ? handles.filter((handle) => live.has(handle)) : []
        machine.tell(() => resume(Effect.succeed({ leftover })))
      })
    })

  return {
    attempts,
    adapter: (machine) =>
      WorkerAdapter.make({
        info: { name: "fleet", where: "remote", stop: scenario.stop, concurrency: 2 },
        execute: execute(machine),
        reap: reap(machine)
      }),
    waitedFor: (machine, run) =>
      attempts.filter((one) => one.machine === machine && one.run === run && !one.settled && machine.alive())
  }
}

const lost = new WorkerLost({ detail: "its machine was taken away" })

/** What chance says that an attempt does. */
const planOf = (scenario: Scenario, one: Attempt, nth: number, now: number, calm: boolean): Plan => {
  const dice = Dice.make(`${scenario.seed}/attempt/${one.chunkId}/${nth}`)
  const takesMs = Math.round(
    Math.min(Scenarios.longestMs, Math.max(10, dice.logNormal(scenario.medianMs, scenario.spread)))
  )
  const stall = scenario.stallTimeoutMs
  const signEveryMs = Math.max(1, Math.min(takesMs / 3, stall === undefined ? Infinity : stall / 2))
  const plain = { takesMs, signEveryMs, fault: undefined, fails: undefined, stopsAfterMs: dice.pick(0, 0, 200, 3_000) }
  if (calm) return { ...plain, stopsAfterMs: 0 }
  const storm = scenario.storms.find(({ fromMs, untilMs }) => fromMs <= now && now < untilMs)
  if (storm !== undefined) {
    const { retryAfterMs } = storm
    const fails = new Throttled(retryAfterMs === undefined ? {} : { retryAfterMs })
    return { ...plain, takesMs: 50, fault: "is throttled", fails }
  }
  const fault = Scenarios.faults.find((fault) => dice.chance(scenario.faults[fault] ?? 0))
  const part = Math.round(takesMs * dice.between(0, 1))
  switch (fault) {
    case "straggles":
      return { ...plain, fault, takesMs: takesMs * Scenarios.straggling }
    case "is throttled":
      return { ...plain, fault, takesMs: 50, fails: new Throttled(dice.pick({}, { retryAfterMs: 2_000 })) }
    case "is lost":
      return { ...plain, fault, takesMs: part, fails: lost }
    case "fails":
      return { ...plain, fault, takesMs: part, fails: new RenderFailed({ exitCode: 1, stderrTail: "no" }) }
    case "is refused":
      return { ...plain, fault, takesMs: 20, fails: new Refused({ why: "TooLarge", fix: "make chunks smaller" }) }
    case "is cut off and writes late":
      return { ...plain, fault, takesMs: takesMs * 2, fails: new Transport({ cause: new Error("cut off") }) }
    case "falls silent for a while":
      return { ...plain, fault, takesMs: takesMs + 2 * (stall ?? 10_000) }
    case "writes nothing":
      return { ...plain, fault, fails: new OutputInvalid({ expected: "an output", found: "none" }) }
    case "ignores that it should stop":
      return { ...plain, fault, takesMs: takesMs * 3, stopsAfterMs: dice.pick(30_000, 100_000) }
    case undefined:
    case "never answers":
    case "writes garbage":
    case "throws":
    case "ends without a result":
      return { ...plain, fault }
  }
}

/** What an attempt writes when it comes to its end. */
const outputOf = ({ job }: Attempt, fault: Fault | undefined, nth: number): FakeFile | undefined => {
  if (job.meta._tag !== "Chunk") return undefined
  const { frameCount, startFrame } = job.meta
  const whole = video(startFrame, frameCount)
  if (fault !== "writes garbage") return whole
  switch (nth % 6) {
    case 0: // The answer lies about the size.
      return whole
    case 1:
      return undefined
    case 2:
      return { ...whole, bytes: 0 }
    case 3:
      return { ...whole, bytes: whole.bytes - bytesPerFrame / 2 }
    case 4:
      return video(startFrame, frameCount - 1)
    default:
      return { ...whole, picture: "32x32" }
  }
}

/** The frames that a worker says it has done. */
const framesTold = ({ job }: Attempt, share: number, lies: boolean, nth: number): number => {
  const frames = job.meta._tag === "Chunk" ? job.meta.frameCount : 0
  if (!lies) return Math.floor(frames * share)
  return [frames * 2, -3, 0, Number.NaN, Number.POSITIVE_INFINITY][nth % 5] ?? 0
}
