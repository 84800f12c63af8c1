/** A user's worker adapter as the service that core runs attempts with. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { WorkerAdapter } from "../../promise/WorkerAdapter.ts"
import * as PromiseBacking from "../../PromiseBacking.ts"
import * as Core from "../../WorkerAdapter.ts"
import {
  OutputInvalid,
  Refused,
  RenderFailed,
  Transport,
  WorkerError,
  WorkerLost,
  WorkerReason
} from "../../WorkerError.ts"
import * as Defect from "../Defect.ts"
import * as UserPromise from "./UserPromise.ts"

/** How much of the end of what a command printed is kept, in characters. */
const tailLimit = 4096

/** The service: the one behind the adapter where a package backs it with one, else {@link calling}. */
export const make = (adapter: WorkerAdapter): Core.WorkerAdapter["Service"] =>
  Option.getOrElse(PromiseBacking.adapterOf(adapter), () => calling(adapter))

/** Calls the adapter for every attempt. */
const calling = (adapter: WorkerAdapter): Core.WorkerAdapter["Service"] => {
  const info = adapter.info ?? {}
  const name = nameOf(adapter)

  const execute = Effect.fnUntraced(function* (
    job: Core.WorkerJob,
    signal: (signal: Core.WorkerSignal) => void
  ): Effect.fn.Return<Core.WorkerResult, WorkerError> {
    const startedAt = yield* Clock.currentTimeMillis
    const reports = makeReports(signal)
    const answer: unknown = yield* UserPromise.call(
      (signal) => adapter.execute(job, { signal, report: reports.take }),
      () => signal({ _tag: "NotStopped", detail: `the promise of ${name} did not settle after its signal was aborted` })
    ).pipe(
      Effect.mapError((thrown) => errorOf(name, job, thrown)),
      Effect.ensuring(Effect.sync(reports.close))
    )
    if (!isResult(answer)) {
      const detail = `its adapter gave ${Defect.describe(answer)} in place of { exitCode, stdout, stderr, durationMs }`
      return yield* Core.failure(name, job, new WorkerLost({ detail }))
    }
    const result = completed(answer, job, (yield* Clock.currentTimeMillis) - startedAt)
    // What an adapter did not tell line by line is its attempt's log all the same.
    if (!reports.sawLines()) {
      for (const stream of ["stdout", "stderr"] as const) {
        if (result[stream] !== "") signal({ _tag: "Line", stream, text: result[stream].trimEnd() })
      }
    }
    if (answer.exitCode === 0) return result
    return yield* Core.failure(
      name,
      job,
      new RenderFailed({
        exitCode: Number.isSafeInteger(answer.exitCode) ? answer.exitCode : null,
        stderrTail: result.stderr === "" ? result.stdout : result.stderr
      }),
      result.workerId
    )
  })

  const reap = (jobId: string, handles: ReadonlyArray<string>): Effect.Effect<Core.Reaped> =>
    UserPromise.call((signal): unknown => adapter.reap?.(jobId, handles, { signal })).pipe(
      Effect.map((answer) => (isReaped(answer) ? answer : { leftover: [] })),
      Effect.catch(({ message }) =>
        Effect.succeed({ leftover: [`what ${name} could not look for, and may still run: ${message}`] })
      )
    )

  return Core.make({
    info: {
      name,
      where: info.where ?? "local",
      stop: info.stop ?? "best-effort",
      concurrency: info.concurrency ?? processors(),
      maxConcurrency: info.maxConcurrency
    },
    execute,
    reap
  })
}

const isReaped = Schema.is(Schema.Struct({ leftover: Schema.Array(Schema.String) }))

/** What it says, else the name of its class. */
const nameOf = (adapter: WorkerAdapter): string => {
  const said: unknown = adapter.info?.name
  if (Predicate.isString(said) && said !== "") return said
  const made: unknown = adapter.constructor
  const name = Predicate.isFunction(made) ? made.name : ""
  return name === "" || name === "Object" ? "the worker adapter" : name
}

/** As many as the runtime says: browsers, Node, Deno and Bun do. */
const processors = (): number =>
  // oxlint-disable-next-line eslint/no-undef -- asked for first
  typeof navigator === "undefined" ? 1 : navigator.hardwareConcurrency

// ---
// what comes back
// ---

type Answer = { readonly exitCode: number | null }

const isResult = (answer: unknown): answer is Answer =>
  Predicate.hasProperty(answer, "exitCode") && (answer.exitCode === null || Predicate.isNumber(answer.exitCode))

const member = (answer: Answer, key: keyof Core.WorkerResult): unknown =>
  Predicate.hasProperty(answer, key) ? answer[key] : undefined

const textOf = (answer: Answer, key: keyof Core.WorkerResult): string | undefined => {
  const text = member(answer, key)
  return Predicate.isString(text) ? text : undefined
}

const decodeOutput = Schema.decodeUnknownOption(Core.OutputRef)

/** The result with everything in it that users may leave out. */
const completed = (answer: Answer, job: Core.WorkerJob, elapsed: number): Core.WorkerResult => {
  const given = Option.getOrUndefined(decodeOutput(member(answer, "output")))
  const said = textOf(answer, "outputFile")
  const { output } = job.meta
  const place = output._tag === "File" ? output.path : output.key
  const location = said === undefined || said === job.outputFile ? place : said
  const duration = member(answer, "durationMs")
  const workerId = textOf(answer, "workerId")
  return {
    exitCode: 0,
    stdout: (textOf(answer, "stdout") ?? "").slice(-tailLimit),
    stderr: (textOf(answer, "stderr") ?? "").slice(-tailLimit),
    durationMs: Predicate.isNumber(duration) && Number.isFinite(duration) ? duration : elapsed,
    outputFile: location,
    output: given ?? { location, bytes: 0 },
    ...(workerId === undefined ? undefined : { workerId })
  }
}

const decodeReason = Schema.is(WorkerReason)

/** A reason goes into the job's journal: it may hold no more than a tail of what a command printed. */
const bounded = (reason: WorkerReason): WorkerReason => {
  switch (reason._tag) {
    case "RenderFailed":
      return reason.stderrTail.length <= tailLimit
        ? reason
        : new RenderFailed({ ...reason, stderrTail: reason.stderrTail.slice(-tailLimit) })
    case "WorkerLost":
      return keeps(reason.detail) ? reason : new WorkerLost({ ...reason, detail: Defect.brief(reason.detail) })
    case "Refused":
      return keeps(reason.fix) ? reason : new Refused({ ...reason, fix: Defect.brief(reason.fix) })
    case "OutputInvalid":
      return keeps(reason.expected) && keeps(reason.found)
        ? reason
        : new OutputInvalid({ expected: Defect.brief(reason.expected), found: Defect.brief(reason.found) })
    case "Transport": {
      const text = Predicate.isError(reason.cause) ? reason.cause.message : reason.cause
      return !Predicate.isString(text) || keeps(text) ? reason : new Transport({ cause: new Error(Defect.brief(text)) })
    }
    case "Stalled":
    case "Throttled":
    case "TimedOut":
      return reason
  }
}

const keeps = (text: string): boolean => Defect.brief(text) === text

/** Our own errors keep their reason; any other value is a lost worker, which is tried again. */
const errorOf = (name: string, job: Core.WorkerJob, thrown: UserPromise.Thrown): WorkerError => {
  const { value } = thrown
  if (value instanceof WorkerError) return Core.failure(value.adapter, job, bounded(value.reason), value.workerId)
  if (decodeReason(value)) return Core.failure(name, job, bounded(value))
  const reason = new WorkerLost({ detail: `its adapter threw: ${thrown.message}` })
  return Core.failure(name, job, UserPromise.causedBy(reason, thrown))
}

// ---
// what it tells meanwhile
// ---

const decodeSignal = Schema.decodeUnknownOption(
  Schema.Union([
    Schema.TaggedStruct("Assigned", {
      workerId: Schema.optionalKey(Schema.String),
      handle: Schema.optionalKey(Schema.String)
    }),
    Schema.TaggedStruct("Heartbeat", {}),
    Schema.TaggedStruct("Frames", { done: Schema.Finite }),
    Schema.TaggedStruct("Line", { stream: Schema.Literals(["stdout", "stderr"]), text: Schema.String }),
    Schema.TaggedStruct("NotStopped", { detail: Schema.String })
  ])
)

/** Passes on what is well formed, until the attempt is over. */
const makeReports = (signal: (signal: Core.WorkerSignal) => void) => {
  let open = true
  let lines = false
  return {
    take: (said: unknown): void => {
      const told = decodeSignal(said)
      if (!open || Option.isNone(told)) return
      lines ||= told.value._tag === "Line"
      signal(told.value)
    },
    close: (): void => {
      open = false
    },
    sawLines: () => lines
  }
}
