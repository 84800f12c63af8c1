/**
 * Virtual time, and the machines that live in it: everything of a simulation happens here, in one synchronous loop.
 *
 * Time passes only when nothing is left to do at the present moment, however many fibers one thing leads to; so nothing
 * happens later than it would for want of a turn, and nothing depends on the real clock. Effect's `TestClock` has neither:
 * it waits for what it woke by the real clock, and for anything else not at all.
 *
 * A machine runs Effects on a scheduler and a clock of its own. Killing it is what `kill -9` is: its fibers stop where
 * they are, for ever, and no finalizer runs.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import type * as Dice from "./dice.ts"

/** Where everything happens. Times are milliseconds from the beginning. */
export interface Timeline {
  readonly now: () => number
  /** Does something at this moment, after what is being done. */
  readonly soon: (task: () => void) => void
  /** Does something later; what it gives keeps it from happening. */
  readonly after: (millis: number, task: () => void) => () => void
  /**
   * Lets everything happen until it is over, or until a time; `rested` is called whenever there is nothing left to do at
   * one moment. `stuck`: nothing will ever happen again. `spinning`: at one moment there is no end of things to do.
   */
  readonly run: (over: () => boolean, until: number, rested: () => void) => "over" | "late" | "stuck" | "spinning"
}

/** How many things may happen at one moment. */
const mostAtOnce = 1_000_000

/** Makes a timeline. What is to be done at one moment is done in the order in which it came, or as `shuffle` picks. */
export const make = (shuffle?: Dice.Dice): Timeline => {
  let now = 0
  const ready: Array<() => void> = []
  /** By time, the latest first; of the same time, those that came first are behind. */
  const timers: Array<{ readonly at: number; readonly task: () => void }> = []

  const after = (millis: number, task: () => void) => {
    const timer = { at: now + Math.max(0, millis), task }
    if (timer.at === Infinity) return () => {}
    let [low, high] = [0, timers.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((timers[middle]?.at ?? 0) > timer.at) low = middle + 1
      else high = middle
    }
    timers.splice(low, 0, timer)
    return () => {
      const index = timers.indexOf(timer)
      if (index >= 0) timers.splice(index, 1)
    }
  }

  const next = (): (() => void) | undefined => {
    if (shuffle === undefined || ready.length < 2) return ready.shift()
    return ready.splice(shuffle.int(0, ready.length - 1), 1)[0]
  }

  const run: Timeline["run"] = (over, until, rested) => {
    while (true) {
      let done = 0
      for (let task = next(); task !== undefined; task = next()) {
        if (++done > mostAtOnce) return "spinning"
        task()
      }
      rested()
      if (over()) return "over"
      const timer = timers.pop()
      if (timer === undefined) return "stuck"
      if (timer.at > until) {
        timers.push(timer)
        return "late"
      }
      now = timer.at
      timer.task()
    }
  }

  return { now: () => now, soon: (task) => void ready.push(task), after, run }
}

/** A process that runs Effects. */
export interface Machine {
  readonly name: string
  readonly alive: () => boolean
  /** Ends it without a word. */
  readonly kill: () => void
  readonly onKill: (told: () => void) => void
  /**
   * Begins an effect, at the next opportunity; nothing is told of one that was killed. What it gives interrupts the
   * effect.
   */
  readonly run: <A, E>(effect: Effect.Effect<A, E>, ended?: (exit: Exit.Exit<A, E>) => void) => () => void
  /** Tells it something, unless it is dead by the time that it would hear it. */
  readonly tell: (news: () => void) => void
}

/** Makes a machine; `log` gets what its programs say. */
export const machine = (
  timeline: Timeline,
  name: string,
  random: Random.Random,
  log: (line: string) => void
): Machine => {
  let alive = true
  const killed: Array<() => void> = []
  const ifAlive = (task: () => void) => () => {
    if (alive) task()
  }
  const tell: Machine["tell"] = (news) => timeline.soon(ifAlive(news))

  const scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield,
    makeDispatcher: () => ({ scheduleTask: tell, flush: () => {} })
  }
  const millis = () => timeline.now()
  const nanos = () => BigInt(Math.round(timeline.now() * 1_000_000))
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.callback<void>((resume) => {
        const cancel = timeline.after(
          Duration.toMillis(duration),
          ifAlive(() => resume(Effect.void))
        )
        return Effect.sync(cancel)
      })
  }
  const logger = Logger.make(({ message }) => log([message].flat().map(String).join(" ")))
  const context = Context.empty().pipe(
    Context.add(Scheduler.Scheduler, scheduler),
    Context.add(Clock.Clock, clock),
    Context.add(Random.Random, random),
    Context.add(Logger.CurrentLoggers, new Set([logger])),
    Context.add(References.TracerEnabled, false)
  )
  const fork = Effect.runForkWith(context)

  return {
    name,
    alive: () => alive,
    kill: () => {
      if (!alive) return
      alive = false
      killed.forEach((told) => told())
    },
    onKill: (told) => void killed.push(told),
    run: (effect, ended) => {
      let interrupt = () => {}
      tell(() => {
        const fiber = fork(effect)
        interrupt = () => fiber.interruptUnsafe()
        fiber.addObserver((exit) => {
          if (alive) ended?.(exit)
        })
      })
      return () => tell(() => interrupt())
    },
    tell
  }
}
