/**
 * Several adapters as one: a job that is rendered on this machine first and on Lambda for the rest, or in another region
 * when one is full.
 *
 * ```
 *            ┌─▶ the first adapter that has a free slot, does not rest, and has tried this chunk least ─▶ how it ends
 * attempt ───┤                                                                                             │
 *            └──────────────────────────── Throttled, or Refused as Unsupported ◀─────────────────────────┘
 * ```
 *
 * A pool is an ordinary adapter: it can be run, wrapped, and be one of the adapters of another pool. It starts nothing
 * twice, waits for nothing and repeats nothing that counts as tried: where no adapter has room the attempt is `Throttled`,
 * and whatever else fails is tried again by the scheduler, which the pool then sends elsewhere.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RetryPolicy from "./RetryPolicy.ts"
import type { WorkerAdapterInfo, WorkerJob, WorkerResult, WorkerSignal } from "./WorkerAdapter.ts"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import { type Refused, Throttled, type WorkerError } from "./WorkerError.ts"

type Adapter = WorkerAdapter.WorkerAdapter["Service"]

/** The adapters of a pool in the order in which they are asked. One that is given twice counts once. */
export type Adapters = readonly [Adapter, ...ReadonlyArray<Adapter>]

/** How a pool behaves. */
export interface Options {
  /** Its name, as its own errors give it; those of its adapters keep theirs. Default: theirs, with `+` between them. */
  readonly name?: string | undefined
  /**
   * What makes an attempt go on to the next adapter at once, beside `Throttled`: being refused for one of these reasons, or
   * the loss of its worker. The next one writes to the same place, so add `"WorkerLost"` only where a worker that is lost
   * can be trusted to be gone. Default: `["Unsupported"]`.
   */
  readonly passOn?: ReadonlyArray<Refused["why"] | "WorkerLost"> | undefined
}

/** After how many losses of workers in a row an adapter is taken for sick. */
const lossesUntilSick = 3

/** When to ask again, in milliseconds, where adapters do not rest and all slots are taken. */
const untilSlotMs = 5000

/** Of how many attempts that ended a pool knows which adapter had them: a retry comes soon, or not at all. */
const remembered = 4096

/**
 * Local first, Lambda for the rest: an attempt goes to the first adapter that has a free slot.
 *
 * An adapter has as many slots as its `info.concurrency`; the last one takes the rest, up to its `info.maxConcurrency`.
 * The pool's concurrency is all of theirs added. Attempts of all jobs that share the pool count.
 *
 * ```ts
 * import * as AdapterPool from "@helios-infra/core/AdapterPool"
 * import type { WorkerAdapter } from "@helios-infra/core/WorkerAdapter"
 *
 * export const everywhere = (local: WorkerAdapter["Service"], lambda: WorkerAdapter["Service"]) =>
 *   AdapterPool.overflow([local, lambda])
 * ```
 *
 * Throws a `TypeError` where there are no adapters.
 */
export const overflow = (adapters: Adapters, options: Options = {}): Adapter => make(adapters, "overflow", options)

/**
 * The first adapter as long as it takes attempts, then the next: one that is throttled rests for as long as it says.
 *
 * The first one has as many slots as its `info.maxConcurrency`, the others, which stand in, as many as their
 * `info.concurrency`. The pool's concurrency is that of the first.
 *
 * Throws a `TypeError` where there are no adapters.
 */
export const fallback = (adapters: Adapters, options: Options = {}): Adapter => make(adapters, "fallback", options)

type AdapterLayer<E, R> = Layer.Layer<WorkerAdapter.WorkerAdapter, E, R>

/** The layers of a pool's adapters; each may fail, and need, what it will. */
export type Layers<E = unknown, R = unknown> = readonly [AdapterLayer<E, R>, ...ReadonlyArray<AdapterLayer<E, R>>]

/**
 * {@link overflow} of layers.
 *
 * ```ts
 * import * as AdapterPool from "@helios-infra/core/AdapterPool"
 * import * as AwsLambdaAdapter from "@helios-infra/adapter-aws/AwsLambdaAdapter"
 * import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
 *
 * export const workers = AdapterPool.layerOverflow([
 *   LocalWorkerAdapter.layer({ concurrency: 4 }),
 *   AwsLambdaAdapter.layer({ functionName: "render", concurrency: 100 })
 * ])
 * ```
 */
export function layerOverflow<const L extends Layers>(
  layers: L,
  options?: Options
): AdapterLayer<Layer.Error<L[number]>, Layer.Services<L[number]>>
export function layerOverflow<E, R>(layers: Layers<E, R>, options: Options = {}): AdapterLayer<E, R> {
  return layerOf(layers, (adapters) => overflow(adapters, options))
}

/** {@link fallback} of layers. */
export function layerFallback<const L extends Layers>(
  layers: L,
  options?: Options
): AdapterLayer<Layer.Error<L[number]>, Layer.Services<L[number]>>
export function layerFallback<E, R>(layers: Layers<E, R>, options: Options = {}): AdapterLayer<E, R> {
  return layerOf(layers, (adapters) => fallback(adapters, options))
}

const layerOf = <E, R>([first, ...others]: Layers<E, R>, pool: (adapters: Adapters) => Adapter): AdapterLayer<E, R> =>
  Layer.effect(
    WorkerAdapter.WorkerAdapter,
    Effect.zipWith(built(first), Effect.forEach(others, built), (first, others) => pool([first, ...others]))
  )

const built = <E, R>(layer: Layer.Layer<WorkerAdapter.WorkerAdapter, E, R>) =>
  Effect.map(Layer.build(layer), Context.get(WorkerAdapter.WorkerAdapter))

// ---------------------------------------------
// the pool
// ---------------------------------------------

/** A pause after something that happens again and again: longer each time. */
interface Rest {
  /** Over at this time, in milliseconds since the epoch. */
  until: number
  times: number
}

/** An adapter, and how it fares. */
interface Member {
  readonly adapter: Adapter
  readonly origin: Origin
  readonly slots: number
  running: number
  /** It takes no more work just now. */
  readonly throttled: Rest
  /** How many workers in a row it has lost. */
  lost: number
  readonly sick: Rest
}

/** How many slots there are, and how many attempts suit the pool. */
const kinds = {
  overflow: { takesTheRest: (index: number, count: number) => index === count - 1, suits: sum },
  fallback: { takesTheRest: (index: number) => index === 0, suits: ([first = 1]: ReadonlyArray<number>) => first }
}

function sum(numbers: ReadonlyArray<number>): number {
  return numbers.reduce((total, number) => total + number, 0)
}

const make = (
  adapters: ReadonlyArray<Adapter>,
  kind: keyof typeof kinds,
  { name, passOn = ["Unsupported"] }: Options
): Adapter => {
  const different = [...new Set(adapters)]
  if (different.length === 0) throw new TypeError(`AdapterPool.${kind}: give it one adapter at least`)
  const { suits, takesTheRest } = kinds[kind]
  const members = different.map((adapter, index): Member => {
    const { info } = adapter
    return {
      adapter,
      origin: originOf(info),
      slots: WorkerAdapter.concurrencyOf(info, takesTheRest(index, different.length) ? Infinity : undefined),
      running: 0,
      throttled: { until: 0, times: 0 },
      lost: 0,
      sick: { until: 0, times: 0 }
    }
  })
  const info = infoOf(
    different.map(({ info }) => info),
    {
      name,
      suits: suits(different.map(({ info }) => WorkerAdapter.concurrencyOf(info))),
      slots: sum(members.map(({ slots }) => slots))
    }
  )
  const tries = makeTries()

  /** Whether it may have an attempt now that it has made `times` times. */
  const hasRoom = (member: Member, times: number, now: number): boolean => {
    if (member.running >= member.slots || member.throttled.until > now) return false
    if (member.lost < lossesUntilSick || members.every(({ lost }) => lost >= lossesUntilSick)) return true
    // One attempt finds out whether it is well again; none that it has had, which may have few tries left.
    return member.sick.until <= now && member.running === 0 && times === 0
  }

  const choose = (asked: ReadonlyArray<Member>, triedBy: ReadonlyArray<Member>, now: number): Member | undefined => {
    let best: Member | undefined
    let fewest = Infinity
    for (const member of members) {
      const times = triedBy.length === 0 ? 0 : triedBy.filter((other) => other === member).length
      if (times >= fewest || asked.includes(member) || !hasRoom(member, times, now)) continue
      best = member
      fewest = times
    }
    return best
  }

  /** How an attempt ends that no adapter takes, after those that passed it on. */
  const noTaker = (job: WorkerJob, passed: ReadonlyArray<WorkerError>, now: number): WorkerError => {
    const lost = passed.find(({ reason }) => reason._tag === "WorkerLost")
    const last = passed.length === members.length ? passed.at(-1) : undefined
    const error = lost ?? last
    if (error !== undefined) return error
    const rests = members
      .flatMap(({ sick, throttled }) => [throttled.until - now, sick.until - now])
      .filter((left) => left > 0)
    const retryAfterMs = rests.length === 0 ? untilSlotMs : Math.ceil(Math.min(...rests))
    return WorkerAdapter.failure(info.name, job, new Throttled({ retryAfterMs }))
  }

  const isPassedOn = ({ reason }: WorkerError): boolean =>
    passOn.some((one) => one === (reason._tag === "Refused" ? reason.why : reason._tag))

  const execute: Adapter["execute"] = (job, signal) =>
    Clock.clockWith((clock) =>
      Effect.uninterruptibleMask((restore) => {
        const triedBy = tries.of(job)

        const ask = (
          asked: ReadonlyArray<Member>,
          passed: ReadonlyArray<WorkerError>
        ): Effect.Effect<WorkerResult, WorkerError> => {
          const member = choose(asked, triedBy, clock.currentTimeMillisUnsafe())
          if (member === undefined) return Effect.fail(noTaker(job, passed, clock.currentTimeMillisUnsafe()))
          let runsOn = false
          const tell = (said: WorkerSignal): void => {
            if (said._tag === "NotStopped") runsOn = true
            signal(member.origin.mark(said))
          }
          member.running++
          const attempt = restore(Effect.suspend(() => member.adapter.execute(job, tell)))
          return Effect.flatMap(Effect.exit(attempt), (exit) => {
            member.running--
            const error = errorOf(exit)
            learn(member, exit, error, clock.currentTimeMillisUnsafe())
            if (error?.reason._tag === "Throttled") return ask([...asked, member], passed)
            tries.add(job, member)
            if (error !== undefined && !runsOn && isPassedOn(error)) return ask([...asked, member], [...passed, error])
            return exit
          })
        }
        return ask([], [])
      })
    )

  const reap: Adapter["reap"] = Effect.fn("AdapterPool.reap")(function* (jobId, handles) {
    const reaped = yield* Effect.forEach(
      members,
      ({ adapter, origin }) =>
        Effect.suspend(() => adapter.reap(jobId, origin.own(handles))).pipe(
          Effect.map(({ leftover }) => leftover),
          // One that cannot does not keep the others from saying what they have done.
          Effect.catchCause((cause) => {
            const left = `what ${adapter.info.name} has of an earlier run could not be looked for, and may still run`
            return Effect.as(Effect.logWarning(`${left}, of job ${jobId}`, cause), [left])
          })
        ),
      { concurrency: "unbounded" }
    )
    const strangers = handles.filter((handle) => members.every(({ origin }) => origin.own([handle]).length === 0))
    const names = different.map(({ info }) => info.name).join(", ")
    return {
      leftover: [
        ...reaped.flat(),
        ...strangers.map(
          (handle) => `${JSON.stringify(handle)} of an adapter that is none of ${names}: it may still run`
        )
      ]
    }
  })

  return WorkerAdapter.make({ info, execute, reap })
}

/** The weakest that all of them promise. */
const infoOf = (
  members: ReadonlyArray<WorkerAdapterInfo>,
  { name, slots, suits }: { readonly name: string | undefined; readonly slots: number; readonly suits: number }
): WorkerAdapterInfo => {
  const limits = members.flatMap(({ maxDuration }) => (maxDuration === undefined ? [] : [maxDuration]))
  const stops = new Set(members.map(({ stop }) => stop))
  return {
    name: name ?? members.map(({ name }) => name).join("+"),
    where: members.some(({ where }) => where === "remote") ? "remote" : "local",
    stop: stops.has("never") ? "never" : stops.has("best-effort") ? "best-effort" : "always",
    concurrency: suits,
    ...(slots === Infinity ? undefined : { maxConcurrency: slots }),
    ...(limits.length === 0
      ? undefined
      : { maxDuration: limits.map(Duration.fromInputUnsafe).reduce((a, b) => Duration.min(a, b)) }),
    heartbeats: members.every(({ heartbeats }) => heartbeats === true),
    members
  }
}

const errorOf = (exit: Exit.Exit<WorkerResult, WorkerError>): WorkerError | undefined =>
  Exit.isSuccess(exit) ? undefined : Option.getOrUndefined(Exit.findErrorOption(exit))

/** What an attempt's end says of its adapter. */
const learn = (
  member: Member,
  exit: Exit.Exit<WorkerResult, WorkerError>,
  error: WorkerError | undefined,
  now: number
): void => {
  // What is neither was thrown.
  switch (error?.reason._tag ?? (Exit.isSuccess(exit) ? "Done" : Exit.hasInterrupts(exit) ? "Stopped" : "WorkerLost")) {
    case "Throttled":
      rest(member.throttled, now, error?.reason._tag === "Throttled" ? error.reason.retryAfterMs : undefined)
      break
    case "WorkerLost":
    case "Transport":
      if (++member.lost >= lossesUntilSick) rest(member.sick, now)
      break
    case "Done":
    case "RenderFailed":
    case "OutputInvalid":
      // A worker has been at work, and has answered.
      member.throttled.times = 0
      member.sick.times = 0
      member.lost = 0
      break
    case "Refused":
    case "Stalled":
    case "Stopped":
    case "TimedOut":
  }
}

/** Rests for `told` milliseconds, or for longer each time where nobody says. */
const rest = (one: Rest, now: number, told = 0): void => {
  // Attempts that run at the same time find out the same.
  if (one.until <= now) one.times++
  const first = Duration.toMillis(RetryPolicy.defaults.retryDelay)
  const most = Duration.toMillis(RetryPolicy.defaults.maxRetryDelay)
  one.until = Math.max(one.until, now + (told > 0 ? told : Math.min(most, first * 2 ** (one.times - 1))))
}

// ---------------------------------------------
// who has tried which chunk
// ---------------------------------------------

/**
 * Which members have had attempts at a chunk, among the attempts that ended last. Almost none is tried again: to write
 * them down costs nothing, and they are looked through when one is.
 */
const makeTries = () => {
  const ended: Array<{
    readonly jobId: string
    readonly run: number
    readonly chunkId: number | undefined
    readonly member: Member
  }> = []
  let next = 0
  return {
    of: (job: WorkerJob): ReadonlyArray<Member> => {
      const { attempt, jobId, run } = job.meta
      if (attempt === 1) return []
      const chunkId = WorkerAdapter.chunkId(job)
      return ended
        .filter((one) => one.chunkId === chunkId && one.run === run && one.jobId === jobId)
        .map(({ member }) => member)
    },
    add: (job: WorkerJob, member: Member): void => {
      ended[next] = { jobId: job.meta.jobId, run: job.meta.run, chunkId: WorkerAdapter.chunkId(job), member }
      next = (next + 1) % remembered
    }
  }
}

// ---------------------------------------------
// whose a handle is
// ---------------------------------------------

/** Marks the handles that an adapter tells, and finds them again. */
interface Origin {
  readonly mark: (said: WorkerSignal) => WorkerSignal
  readonly own: (handles: ReadonlyArray<string>) => ReadonlyArray<string>
}

/**
 * A handle begins with the name of the adapter that made it, so that it is found again by whatever pool that adapter is in
 * later, at whatever place. Handles of adapters with one name go to all of them: who does not know one leaves it alone.
 */
const originOf = (info: WorkerAdapterInfo): Origin => {
  if (info.members !== undefined) {
    // Marked already, by who made them.
    const origins = info.members.map(originOf)
    const isOwn = (handle: string) => origins.some(({ own }) => own([handle]).length > 0)
    return { mark: (said) => said, own: (handles) => handles.filter(isOwn) }
  }
  const prefix = `${info.name.replaceAll(/[%:]/g, encodeURIComponent)}:`
  return {
    mark: (said) =>
      said._tag === "Assigned" && said.handle !== undefined ? { ...said, handle: prefix + said.handle } : said,
    own: (handles) => handles.flatMap((handle) => (handle.startsWith(prefix) ? [handle.slice(prefix.length)] : []))
  }
}
