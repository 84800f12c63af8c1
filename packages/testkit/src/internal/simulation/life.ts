/**
 * The life of one job in a world: orchestrators that try it round after round while things go wrong, then one that
 * has nothing go wrong and must complete it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { JobError } from "@helios-infra/core/JobError"
import type { RunOptions } from "@helios-infra/core/JobManager"
import type { JobState } from "@helios-infra/core/JobState"
import * as Dice from "./dice.ts"
import {
  type Deed,
  finalFile,
  jobId,
  longestMs,
  outputFile,
  type Round,
  type Scenario,
  straggling
} from "./scenario.ts"
import * as Store from "./store.ts"
import * as Timeline from "./timeline.ts"
import type { Orchestrator, World } from "./world.ts"

/** How what an orchestrator was asked for ended; `died` when it did before. */
type Ended<A> = Exit.Exit<A, JobError> | "died"

/** How long a round may take at most: as if every attempt that is allowed were a straggler, one after the other. */
const roundLimitOf = ({ attemptTimeoutMs, chunks, retries }: Scenario): number =>
  3_600_000 + chunks.length * (retries + 1) * (100_000 + Math.min(attemptTimeoutMs ?? Infinity, longestMs * straggling))

/** The whole of time. */
const endOfTimeMs = 30 * 86_400_000

/** Lives a world's life to its end: what its scenario says, or the job's one run and nothing else. */
export const live = (world: World, how: "eventful" | "plain" = "eventful"): void => {
  const { timeline, watch } = world
  const control = Timeline.machine(timeline, "the world", Dice.make(`${world.scenario.seed}/world`).random, world.tell)
  let over = false
  control.run(how === "eventful" ? lifeOf(world, control) : plainLife(world, control), (exit) => {
    over = true
    if (Exit.isFailure(exit)) watch.broke("live", `the simulation itself failed: ${Cause.pretty(exit.cause)}`)
  })
  const end = timeline.run(() => over, endOfTimeMs, watch.rested)
  if (end !== "over") watch.broke("live", `the story does not end: it is ${end}`)
}

const optionsOf = (scenario: Scenario): RunOptions => ({
  outputFile,
  concurrency: scenario.concurrency,
  retries: scenario.retries,
  retryDelay: scenario.retryDelayMs,
  attemptTimeout: scenario.attemptTimeoutMs,
  stallTimeout: scenario.stallTimeoutMs,
  throttleTimeout: scenario.throttleTimeoutMs
})

/** Asks an orchestrator for something, and waits until it is done or the orchestrator dead. */
const asking =
  ({ tell }: World, control: Timeline.Machine) =>
  <A>(
    { machine }: Orchestrator,
    what: string,
    effect: Effect.Effect<A, JobError>,
    /** Given what interrupts it. */
    begun: (interrupt: () => void) => void = () => {}
  ): Effect.Effect<Ended<A>> =>
    Effect.callback((resume) => {
      if (!machine.alive()) return resume(Effect.succeed("died"))
      const ended = (how: Ended<A>) => control.tell(() => resume(Effect.succeed(how)))
      tell(`${machine.name} is asked to ${what}`)
      machine.onKill(() => ended("died"))
      const interrupt = machine.run(effect, (exit) => {
        tell(`${machine.name}: ${what}: ${inWords(exit)}`)
        ended(exit)
      })
      begun(interrupt)
    })

const plainLife = Effect.fnUntraced(function* (world: World, control: Timeline.Machine) {
  const ask = asking(world, control)
  const one = world.boot()
  yield* ask(one, "create", one.jobs.create(world.spec, { id: jobId }))
  const ended = yield* ask(one, "run", one.jobs.run(jobId, optionsOf(world.scenario)))
  world.watch.returned(one.machine, "run")
  if (ended !== "died" && Exit.isSuccess(ended)) world.watch.completed()
})

const lifeOf = Effect.fnUntraced(function* (world: World, control: Timeline.Machine) {
  const { fleet, scenario, store, tell, timeline, watch } = world
  const options = optionsOf(scenario)
  const roundLimitMs = roundLimitOf(scenario)
  const ask = asking(world, control)
  const job = () => store.jobs.get(jobId)
  const status = () => job()?.fold.state()?.status

  /** Waits until nobody who lives runs the job. */
  const untilIdle = Effect.sleep("1 second").pipe(
    Effect.repeat({
      while: () => {
        const found = job()
        return found !== undefined && Store.isRun(found)
      }
    }),
    Effect.timeoutOption(roundLimitMs),
    Effect.map((waited) => {
      if (Option.isNone(waited))
        watch.broke("live", `a run has not ended after ${Duration.format(Duration.millis(Math.round(roundLimitMs)))}`)
    })
  )

  /** What must hold when a run has come back, whichever way. */
  const ran = ({ machine }: Orchestrator, what: string, ended: Ended<JobState>): void => {
    watch.returned(machine, what)
    if (ended === "died" || !Exit.isSuccess(ended)) return
    const told = ended.value.status
    if (told !== "completed") watch.broke("outcome", `${what} of ${machine.name} succeeds, and the job is ${told}`)
  }

  const recover = (orchestrator: Orchestrator): Effect.Effect<void> =>
    Effect.gen(function* () {
      const before = job()?.fold.state()
      const stopping = before?.stopping
      const ended = yield* ask(
        orchestrator,
        "recover",
        orchestrator.jobs.recover({ run: (_, more) => orchestrator.jobs.start(jobId, { ...options, ...more }) })
      )
      if (ended === "died" || !Exit.isSuccess(ended)) return
      for (const one of ended.value) {
        tell(`${orchestrator.machine.name} recovered ${one.jobId}: ${one.how}`)
        if (stopping !== undefined && one.how === "resumed") {
          watch.broke("wishes", `the job was to be ${stopping}, and is run on by recover`)
        }
      }
    })

  const play = Effect.fnUntraced(function* (round: Round, index: number) {
    tell(`-- round ${index + 1}`)
    const main = world.boot()
    if (!world.wasCreated()) yield* ask(main, "create", main.jobs.create(world.spec, { id: jobId }))
    if (round.crash !== undefined) main.dieAt(round.crash.point, round.crash.nth)
    if (scenario.watched) watchProgress(main)
    let interrupt = () => {}
    const running =
      round.how === "recover"
        ? Effect.andThen(recover(main), untilIdle)
        : Effect.gen(function* () {
            const { jobs } = main
            const what = round.how
            const running = what === "run" ? jobs.run(jobId, options) : jobs.resume(jobId, options)
            const ended = yield* ask(main, what, running, (how) => {
              interrupt = how
            })
            ran(main, what, ended)
          })
    const doing = yield* Effect.forkChild(running)
    yield* Effect.forEach(
      round.events,
      ({ afterMs, deed }) => Effect.delay(act({ main, interrupt: () => interrupt() }, deed), afterMs),
      { concurrency: "unbounded", discard: true }
    ).pipe(
      Effect.timeoutOption(roundLimitMs),
      Effect.map((done) => {
        if (Option.isNone(done)) watch.broke("live", `what was asked for in round ${index + 1} was never answered`)
      })
    )
    const finished = yield* Effect.timeoutOption(Fiber.join(doing), roundLimitMs)
    if (Option.isNone(finished)) watch.broke("live", `round ${index + 1} did not end`)
    yield* untilIdle
    yield* Effect.sleep(round.thenWaitMs)
  })

  const watchProgress = ({ jobs, machine }: Orchestrator): void => {
    const told = watch.watcher(`a watcher on ${machine.name}`)
    machine.run(
      Effect.ignore(Stream.runForEach(jobs.watch(jobId, { every: "1 second" }), (one) => Effect.sync(() => told(one))))
    )
  }

  /** An orchestrator beside the one that runs the job. */
  const elsewhere = () => world.boot()

  const act = Effect.fnUntraced(function* (
    { interrupt, main }: { readonly main: Orchestrator; readonly interrupt: () => void },
    deed: Deed
  ): Effect.fn.Return<void> {
    const asked = job()?.records.length ?? 0
    tell(`somebody ${deed}`)
    switch (deed) {
      case "kills the orchestrator":
        main.machine.kill()
        return
      case "interrupts the run":
        interrupt()
        return
      case "closes the orchestrator":
        // As a process does that is told to end: what is awaited and what goes on in the background.
        interrupt()
        yield* ask(main, "close", main.close)
        return
      case "cancels":
      case "cancels from elsewhere": {
        const by = deed === "cancels" ? main : elsewhere()
        const ended = yield* ask(by, "cancel", by.jobs.cancel(jobId))
        stopped(by, ended, "cancel", asked)
        return
      }
      case "pauses":
      case "pauses from elsewhere":
      case "drains":
      case "drains from elsewhere": {
        const by = deed === "pauses" || deed === "drains" ? main : elsewhere()
        const mode = deed.startsWith("drains") ? "drain" : "interrupt"
        const ended = yield* ask(by, mode, by.jobs.pause(jobId, { mode }))
        stopped(by, ended, mode, asked)
        return
      }
      case "takes over": {
        const other = elsewhere()
        const ended = yield* ask(other, "take over", other.jobs.resume(jobId, { ...options, takeOver: "always" }))
        ran(other, "take over", ended)
        return
      }
      case "recovers elsewhere":
        yield* recover(elsewhere())
        return
      case "removes an accepted output":
      case "damages an accepted output":
        spoil(deed === "damages an accepted output")
        return
      case "deletes": {
        watch.deleted()
        const ended = yield* ask(main, "delete", main.jobs.delete(jobId))
        // Whoever dies or fails while it deletes may have begun; who was refused has not.
        if (ended === "died" || (Exit.isFailure(ended) && !isRefused(ended))) watch.deleting()
      }
    }
  })

  /** What must hold when somebody was told that the job has stopped; others may have run it on since. */
  const stopped = ({ machine }: Orchestrator, ended: Ended<JobState>, what: string, asked: number): void => {
    if (ended === "died" || !Exit.isSuccess(ended)) return
    const ends = (job()?.records.slice(asked) ?? []).filter(({ event }) => event._tag === "RunEnded")
    if (ends.length === 0 && ended.value.status === "running") {
      watch.broke("left", `${what} of ${machine.name} is over, and nothing has ended`)
    }
  }

  /** Somebody meddles with the files. */
  const spoil = (damages: boolean): void => {
    const state = job()?.fold.state()
    if (state === undefined || state.status === "completed") return
    // The last of them, which the stitcher may not have read yet.
    const accepted = state.chunks.findLast(({ output }) => output !== undefined && world.files.has(output.location))
    const output = accepted?.output
    const file = output === undefined ? undefined : world.files.get(output.location)
    if (output === undefined || file === undefined) return
    watch.spoiled(output.location)
    tell(`${output.location} is ${damages ? "damaged" : "gone"}`)
    if (damages) world.files.set(output.location, { ...file, bytes: file.bytes - 7 })
    else world.files.delete(output.location)
  }

  const isDeleted = () => world.wasCreated() && job() === undefined
  for (const [index, round] of scenario.rounds.entries()) {
    yield* play(round, index)
    if (status() === "completed" || isDeleted()) break
    // What hangs goes on hanging.
    if (watch.broken.some(({ invariant }) => invariant === "live")) return
  }

  tell("-- the end")
  world.calmDown()
  // Who was taken over, and does not know it yet, learns of it when it next has something to say.
  yield* Effect.sleep("2 minutes").pipe(
    Effect.repeat({ while: () => fleet.attempts.some((one) => !one.settled && one.machine.alive()), times: 60 })
  )
  for (const { machine } of world.orchestrators) {
    watch.returned(machine, "everything")
    machine.kill()
  }
  if (isDeleted()) return tell("the job was deleted")
  const last = world.boot()
  if (job() === undefined) yield* ask(last, "create", last.jobs.create(world.spec, { id: jobId }))
  const wasCompleted = status() === "completed"
  const attemptsBefore = fleet.attempts.length
  if (scenario.watched) watchProgress(last)
  yield* recover(last)
  yield* untilIdle
  const began = timeline.now()
  const ended = yield* ask(last, "resume", last.jobs.resume(jobId, options))
  ran(last, "resume", ended)
  const limit = scenario.chunks.length * longestMs + scenario.stitchMs + 120_000
  if (ended === "died" || !Exit.isSuccess(ended)) {
    watch.broke("live", `a job that was resumed without faults failed: ${ended === "died" ? ended : inWords(ended)}`)
  } else if (timeline.now() - began > limit) {
    watch.broke("live", `it took ${timeline.now() - began} ms; ${limit} ms are enough`)
  }
  if (wasCompleted && fleet.attempts.length > attemptsBefore) {
    watch.broke("outcome", `the job was completed, and ${fleet.attempts.length - attemptsBefore} attempts were made`)
  }
  // Who dies, or loses the answer, between the end of a run and the removal of its files leaves them to `delete`.
  if (status() === "completed" && !wasCompleted) watch.completed()
  tell(`the job is ${status()}, ${finalFile} is ${world.files.has(finalFile) ? "" : "not "}there`)
})

const inWords = (exit: Exit.Exit<unknown, JobError>): string =>
  Exit.match(exit, {
    onSuccess: (value) => (isState(value) ? `the job is ${value.status}` : "done"),
    onFailure: (cause) => {
      const error = Option.getOrUndefined(Cause.findErrorOption(cause))
      if (error !== undefined) return error.message
      return Cause.hasInterruptsOnly(cause) ? "interrupted" : Cause.pretty(cause)
    }
  })

const isRefused = (exit: Exit.Exit<unknown, JobError>): boolean =>
  Option.exists(
    Exit.findErrorOption(exit),
    ({ reason }) => reason._tag === "RepositoryError" && reason.reason._tag === "Running"
  )

const isState = (value: unknown): value is JobState => typeof value === "object" && value !== null && "status" in value
