/**
 * A whole fleet on virtual time: one job, its workers, its store and everything that goes wrong with them, drawn from a
 * seed, and core's real `JobManager` in the middle of it. What must always hold is checked at every moment; the same
 * seed gives the same story, byte for byte.
 *
 * ```ts
 * import * as Simulation from "@helios-infra/testkit/Simulation"
 * import * as Effect from "effect/Effect"
 *
 * // Fails with the seed, the scenario and the story when something broke.
 * const report = await Effect.runPromise(Simulation.check("7"))
 * process.stdout.write(`${report.attempts} attempts in ${report.runs} runs\n`)
 * ```
 *
 * Nothing is real: no process, no file, no network, no clock. What adapters and stores do wrong by themselves is for
 * their contract suites; here it is what orchestrators make of it. Jobs are one at a time, and joined by a stitcher;
 * merge commands and artifact storages are not simulated.
 */
import type { JobRecord } from "@helios-infra/core/JobEvent"
import type { JobStatus } from "@helios-infra/core/JobState"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Broken, inJournal, invariants } from "./internal/simulation/journalInvariants.ts"
import * as Life from "./internal/simulation/life.ts"
import * as Replay from "./internal/simulation/replay.ts"
import * as Scenarios from "./internal/simulation/scenario.ts"
import * as World from "./internal/simulation/world.ts"

export type { Broken, Invariant } from "./internal/simulation/journalInvariants.ts"
export type { Deed, Event, Fault, Round, Scenario, StoreFaults } from "./internal/simulation/scenario.ts"
export type { Parts } from "./internal/simulation/world.ts"
export {
  /** What must always hold, by its name. */
  invariants
} from "./internal/simulation/journalInvariants.ts"

/** What a simulation is to do otherwise. */
export interface Options extends World.Changes {
  /** Changes what was drawn. */
  readonly scenario?: ((drawn: Scenarios.Scenario) => Scenarios.Scenario) | undefined
}

/** What happened. */
export interface Report {
  readonly seed: string
  /** The scenario in words. */
  readonly scenario: ReadonlyArray<string>
  /** Everything that happened, a line each, with its virtual time. */
  readonly story: ReadonlyArray<string>
  /** The job's journal. */
  readonly journal: ReadonlyArray<JobRecord>
  readonly status: JobStatus | undefined
  readonly runs: number
  readonly attempts: number
  /** How many orchestrators were killed. */
  readonly deaths: number
  /** How much virtual time went by, in milliseconds. */
  readonly tookMs: number
  /** What must always hold and did not; empty when all is well. */
  readonly broken: ReadonlyArray<Broken>
}

/** Something that must always hold did not, in the simulation of a seed. */
export class SimulationFailed extends Schema.TaggedError<SimulationFailed>()("SimulationFailed", {
  seed: Schema.String,
  scenario: Schema.Array(Schema.String),
  broken: Schema.Array(
    Schema.Struct({ invariant: Schema.String, detail: Schema.String, at: Schema.Finite, promise: Schema.String })
  ),
  story: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const lines = [
      `seed ${this.seed} breaks what must always hold:`,
      ...this.broken.map(({ at, detail, invariant, promise }) => `- ${invariant} (${promise}), at ${at} ms: ${detail}`),
      "the scenario:",
      ...this.scenario.map((line) => `  ${line}`),
      "the story:",
      ...this.story.map((line) => `  ${line}`)
    ]
    return lines.join("\n")
  }
}

/** Simulates a seed, and tells what happened. */
export const run = (seed: number | string, options: Options = {}): Effect.Effect<Report> =>
  Effect.sync(() => {
    const drawn = Scenarios.draw(String(seed))
    const scenario = options.scenario?.(drawn) ?? drawn
    const world = World.make(scenario, options)
    Life.live(world)
    const job = world.store.jobs.get(Scenarios.jobId)
    return {
      seed: String(seed),
      scenario: Scenarios.describe(scenario),
      story: world.story,
      journal: job?.records ?? [],
      status: job?.fold.state()?.status,
      runs: job?.run ?? 0,
      attempts: world.fleet.attempts.length,
      deaths: world.orchestrators.filter(({ machine }) => !machine.alive()).length,
      tookMs: world.timeline.now(),
      broken: world.watch.broken
    }
  })

/** Simulates a seed, and fails when something that must always hold does not. */
export const check = (seed: number | string, options: Options = {}): Effect.Effect<Report, SimulationFailed> =>
  Effect.flatMap(run(seed, options), (report) =>
    report.broken.length === 0
      ? Effect.succeed(report)
      : Effect.fail(
          new SimulationFailed({
            ...report,
            broken: report.broken.map((one) => ({ ...one, promise: invariants[one.invariant] }))
          })
        )
  )

/** Simulates many seeds, one after the other, and gives the reports of those that failed. */
export const many = (
  seeds: Iterable<number | string>,
  options: Options & {
    /** Told of every seed that is done. */
    readonly onReport?: ((report: Report) => void) | undefined
  } = {}
): Effect.Effect<ReadonlyArray<Report>> =>
  Effect.gen(function* () {
    const failed: Array<Report> = []
    for (const seed of seeds) {
      const report = yield* run(seed, options)
      options.onReport?.(report)
      if (report.broken.length > 0) failed.push(report)
      // Others have their turn between two seeds.
      yield* Effect.yieldNow
    }
    return failed
  })

/** How a job that was really run is run again. */
export interface ReplayOptions {
  /** How many attempts at once. Default: the most that the journal has. */
  readonly concurrency?: number | undefined
  /** How many retries its chunks were allowed, where it is known; a journal with more is broken. */
  readonly retries?: number | undefined
  /** The first delay before a chunk is tried again, in milliseconds. Default: 1 000. */
  readonly retryDelayMs?: number | undefined
}

/** What a journal shows, and what became of its job when it was run again. */
export interface Replayed {
  /** What must always hold and did not, in the journal or in the run. */
  readonly broken: ReadonlyArray<Broken>
  /** How long the job really took, from the beginning of its first run to the end of its last, in milliseconds. */
  readonly tookMs: number
  /** How long it takes in one run, in milliseconds. */
  readonly makespanMs: number
  readonly concurrency: number
  readonly attempts: number
  readonly status: JobStatus | undefined
  readonly story: ReadonlyArray<string>
}

/**
 * Checks the journal of a real job, and runs the job again in one simulated run: attempts take as long and end as the
 * journal says, and nothing else happens. With another `concurrency` it says how long the job would have taken.
 *
 * Attempts that were interrupted are left out: that was their run's end, not theirs.
 */
export const replay = (records: ReadonlyArray<JobRecord>, options: ReplayOptions = {}): Effect.Effect<Replayed> =>
  Effect.sync(() => {
    const found = inJournal(Scenarios.jobId, records, { retries: options.retries })
    const history = Replay.read(records)
    if (history === undefined) {
      const none: Broken = { invariant: "journal", detail: "there is no JobCreated in it", at: 0 }
      const nothing = { tookMs: 0, makespanMs: 0, concurrency: 0, attempts: 0, status: undefined, story: [] }
      return { ...nothing, broken: [...found, none] }
    }
    const { concurrency, failures, plan, spec, stitchMs, tookMs } = history
    const scenario = {
      ...Scenarios.uneventful("replay"),
      concurrency: options.concurrency ?? concurrency,
      // One run sees the failures of all.
      retries: Math.max(failures, ...spec.chunks.map(({ id }) => failuresOf(records, id))),
      retryDelayMs: options.retryDelayMs ?? 1_000,
      stitchMs
    }
    const world = World.make(scenario, {}, { spec, plan })
    Life.live(world, "plain")
    return {
      broken: [...found, ...world.watch.broken],
      tookMs,
      makespanMs: world.timeline.now(),
      concurrency: scenario.concurrency,
      attempts: world.fleet.attempts.length,
      status: world.store.jobs.get(Scenarios.jobId)?.fold.state()?.status,
      story: world.story
    }
  })

const failuresOf = (records: ReadonlyArray<JobRecord>, chunk: number): number =>
  records.filter(({ event }) => event._tag === "AttemptEnded" && event.chunk === chunk && event.error !== undefined)
    .length
