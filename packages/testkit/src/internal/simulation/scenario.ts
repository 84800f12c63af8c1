/**
 * What happens to a job, drawn from a seed: the job, its workers, what goes wrong with them, and who does what when.
 *
 * Everything a scenario says is plain data; each concern is drawn from dice of its own.
 */
import * as FailPoints from "../../FailPoints.ts"
import * as Dice from "./dice.ts"

/** Ways in which an attempt can go wrong, or look as if it had. */
export const faults = [
  "straggles",
  "is throttled",
  "is lost",
  "is cut off and writes late",
  "never answers",
  "falls silent for a while",
  "fails",
  "is refused",
  "writes garbage",
  "writes nothing",
  "throws",
  "ends without a result",
  "ignores that it should stop"
] as const

/** One of {@link faults}. */
export type Fault = (typeof faults)[number]

/** What somebody does while a job runs. */
const deeds = [
  "kills the orchestrator",
  "interrupts the run",
  "closes the orchestrator",
  "cancels",
  "cancels from elsewhere",
  "pauses",
  "pauses from elsewhere",
  "drains",
  "drains from elsewhere",
  "takes over",
  "recovers elsewhere",
  "removes an accepted output",
  "damages an accepted output",
  "deletes"
] as const

/** One of {@link deeds}. */
export type Deed = (typeof deeds)[number]

/** Something that somebody does, counted from the beginning of a round. */
export interface Event {
  readonly afterMs: number
  readonly deed: Deed
}

/** One orchestrator's try at the job. */
export interface Round {
  readonly how: "run" | "resume" | "recover"
  /** Where it dies, when it comes there for the `nth` time. */
  readonly crash: { readonly point: FailPoints.FailPoint; readonly nth: number } | undefined
  readonly events: ReadonlyArray<Event>
  /** How long it takes until somebody tries again. */
  readonly thenWaitMs: number
}

/** What goes wrong with the store, as probabilities for each call, and how slow it is at worst. */
export interface StoreFaults {
  readonly failsBefore: number
  /** It was done, and the answer is lost. */
  readonly failsAfter: number
  readonly slow: number
  readonly slowMs: number
}

/** A whole scenario. */
export interface Scenario {
  readonly seed: string
  /** How many frames each chunk has. */
  readonly chunks: ReadonlyArray<number>
  readonly concurrency: number
  readonly retries: number
  readonly retryDelayMs: number
  readonly attemptTimeoutMs: number | undefined
  readonly stallTimeoutMs: number | undefined
  readonly throttleTimeoutMs: number | undefined
  /** Half of the attempts take no longer. */
  readonly medianMs: number
  readonly spread: number
  readonly stop: "always" | "best-effort" | "never"
  /** The slots of each adapter through which the workers are reached, where there are several, and how those are one. */
  readonly pool:
    | { readonly kind: "overflow" | "fallback"; readonly slots: readonly [number, ...Array<number>] }
    | undefined
  /** Probability of each fault for each attempt. */
  readonly faults: Partial<Readonly<Record<Fault, number>>>
  /** When the platform takes no work, and what it says about that. */
  readonly storms: ReadonlyArray<{
    readonly fromMs: number
    readonly untilMs: number
    readonly retryAfterMs: number | undefined
  }>
  /** Whether workers tell frames that are not true, and whether they answer and tell more after their end. */
  readonly liars: boolean
  readonly echoes: boolean
  /** What becomes of strays that are to be reaped. */
  readonly reap: "ends them" | "is slow" | "fails" | "cannot"
  readonly stitchMs: number
  readonly stitchFails: number
  /** Probability that the disk has no place for an output, or cannot be looked at. */
  readonly diskFails: number
  readonly store: StoreFaults
  readonly fencing: boolean
  readonly rounds: ReadonlyArray<Round>
  /** Whether what happens at one moment happens in any order. */
  readonly shuffled: boolean
  readonly watched: boolean
}

/** A scenario in which nothing happens but the job. */
export const uneventful = (seed: string): Scenario => ({
  seed,
  chunks: [1],
  concurrency: 1,
  retries: 0,
  retryDelayMs: 1_000,
  attemptTimeoutMs: undefined,
  stallTimeoutMs: undefined,
  throttleTimeoutMs: undefined,
  medianMs: 1_000,
  spread: 0,
  stop: "always",
  pool: undefined,
  faults: {},
  storms: [],
  liars: false,
  echoes: false,
  reap: "ends them",
  stitchMs: 0,
  stitchFails: 0,
  diskFails: 0,
  store: noTrouble,
  fencing: true,
  rounds: [],
  shuffled: false,
  watched: false
})

const noTrouble: StoreFaults = { failsBefore: 0, failsAfter: 0, slow: 0, slowMs: 0 }

/** The job's id, the file that it is to make, and where that is. */
export const jobId = "film"
export const outputFile = "film.mp4"
export const finalFile = "/job/film.mp4"

/** How long an attempt takes at most that is no straggler. */
export const longestMs = 120_000

/** How much longer a straggler takes. */
export const straggling = 10

const points: ReadonlyArray<FailPoints.FailPoint> = [
  ...FailPoints.repositoryPoints.filter((point) => !/request|delete|create/.test(point)),
  // Where most happens, more often.
  "before append AttemptStarted",
  "before append ChunkAccepted",
  "after append ChunkAccepted",
  "after append ChunkAccepted",
  ...FailPoints.workspacePoints.filter((point) => !point.endsWith(" publish"))
]

/** Draws the scenario of a seed. */
export const draw = (seed: string): Scenario => {
  const job = Dice.make(`${seed}/job`)
  const chunks = Array.from({ length: job.pick(1, 2, 3, 3, 4, 5, 6, 8) }, () => job.int(1, 12))
  const medianMs = job.pick(500, 5_000, 20_000, 20_000)

  const policy = Dice.make(`${seed}/policy`)
  const attemptTimeoutMs = policy.pick(undefined, 300_000, 150_000)
  const stallTimeoutMs = policy.pick(undefined, 40_000)
  const limits = {
    concurrency: policy.pick(1, 2, 2, 3, 4, 8),
    retries: policy.pick(0, 1, 2, 2, 4),
    retryDelayMs: policy.pick(0, 1_000, 1_000, 10_000),
    throttleTimeoutMs: policy.pick(undefined, 60_000),
    attemptTimeoutMs,
    stallTimeoutMs
  }

  const fault = Dice.make(`${seed}/faults`)
  const drawn = new Map<Fault, number>()
  const some = fault.pick(0, 0.15, 0.35, 0.6)
  for (const name of faults) {
    const [chosen, probability] = [fault.chance(some), fault.pick(0.05, 0.15, 0.4)]
    if (!chosen) continue
    // What nobody could ever end is no fault of the orchestrator.
    if (name === "never answers" && attemptTimeoutMs === undefined && stallTimeoutMs === undefined) continue
    // Who is refused ends the job at once; whoever ignores that it should stop must first be told to.
    drawn.set(
      name,
      name === "is refused" ? probability / 5 : name === "ignores that it should stop" ? 0.5 : probability
    )
  }
  const sky = Dice.make(`${seed}/storms`)
  const storms = Array.from({ length: sky.pick(0, 0, 0, 1, 2) }, () => {
    const fromMs = sky.int(0, 120_000)
    const retryAfterMs = sky.pick(undefined, 0, 5_000, 600_000)
    return {
      fromMs,
      untilMs: fromMs + sky.int(1_000, 200_000),
      // Who never waits would try again a thousand times.
      retryAfterMs: limits.retryDelayMs === 0 ? retryAfterMs || 1_000 : retryAfterMs
    }
  })

  const store = Dice.make(`${seed}/store`)
  const troubled = store.chance(0.3)
  const pool = Dice.make(`${seed}/pool`)
  const other = Dice.make(`${seed}/other`)
  return {
    seed,
    chunks,
    ...limits,
    medianMs,
    spread: job.pick(0, 0.3, 0.8),
    stop: fault.pick("always", "always", "best-effort", "never"),
    pool: pool.pick(undefined, undefined, {
      kind: pool.pick("overflow", "fallback"),
      slots: pool.pick([1, 1], [1, 3], [2, 1, 1])
    }),
    faults: Object.fromEntries(drawn),
    storms,
    liars: other.chance(0.3),
    echoes: other.chance(0.3),
    reap: other.pick("ends them", "ends them", "is slow", "fails", "cannot"),
    stitchMs: other.pick(0, 2_000, 30_000),
    stitchFails: other.pick(0, 0, 0, 0.3),
    diskFails: other.pick(0, 0, 0, 0, 0.03),
    store: troubled
      ? {
          failsBefore: store.pick(0, 0.01, 0.05),
          failsAfter: store.pick(0, 0.01, 0.05),
          slow: store.pick(0, 0.2, 0.9),
          slowMs: store.pick(100, 1_500, 15_000)
        }
      : noTrouble,
    fencing: true,
    rounds: drawRounds(seed, (chunks.length * medianMs) / limits.concurrency),
    shuffled: other.chance(0.5),
    watched: other.chance(0.6)
  }
}

/** `span` is about how long the job takes when nothing happens. */
const drawRounds = (seed: string, span: number): ReadonlyArray<Round> => {
  const theme = Dice.make(`${seed}/rounds`)
  const count = theme.pick(1, 2, 2, 3, 4, 5)
  // Every try ends its orchestrator before it has got anywhere.
  const poisoned = theme.chance(0.06)
  // Somebody wants the job to stop, and its orchestrator dies over it.
  const stubborn = theme.chance(0.08)
  return Array.from({ length: poisoned ? 4 : count }, (_, index) => {
    const dice = Dice.make(`${seed}/round/${index}`)
    const drawn = dice.chance(0.5)
      ? { point: dice.pick<FailPoints.FailPoint>("before openWriter", ...points), nth: dice.pick(1, 1, 2, 3) }
      : undefined
    const events = Array.from({ length: dice.pick(0, 1, 1, 2, 3) }, () => ({
      afterMs: Math.round(dice.between(0, span * dice.pick(0.2, 1, 1.5))),
      // To delete a job ends its story: not often.
      deed: dice.chance(0.03) ? "deletes" : dice.pick(...someDeeds)
    }))
    const how: Round["how"] = index === 0 ? "run" : dice.pick("resume", "recover")
    const thenWaitMs = Math.round(dice.pick(0, 0, dice.between(0, 60_000), dice.between(0, 600_000)))
    const round = { how, crash: drawn, events: events.toSorted((a, b) => a.afterMs - b.afterMs), thenWaitMs }
    if (poisoned) {
      const point = dice.pick<FailPoints.FailPoint>(
        "after append RunStarted",
        "before append ChunkAccepted",
        "after place"
      )
      return { ...round, how: index === 0 ? "run" : "recover", crash: { point, nth: 1 }, events: [] }
    }
    if (stubborn && index === 0) {
      const deed = dice.pick<Deed>("cancels", "cancels from elsewhere", "pauses from elsewhere", "drains")
      const point = dice.pick<FailPoints.FailPoint>("after append StopRequested", "before append RunEnded")
      return { ...round, crash: { point, nth: 1 }, events: [{ afterMs: Math.round(dice.between(0, span / 2)), deed }] }
    }
    return round
  })
}

const someDeeds: readonly [Deed, ...ReadonlyArray<Deed>] = [
  "kills the orchestrator",
  ...deeds.filter((deed) => deed !== "deletes")
]

const seconds = (millis: number): string => `${Math.round(millis / 100) / 10} s`

/** A scenario in words, a line for each thing. */
export const describe = (scenario: Scenario): ReadonlyArray<string> => {
  const { attemptTimeoutMs, chunks, faults, rounds, stallTimeoutMs, store, storms, throttleTimeoutMs } = scenario
  const frames = chunks.reduce((sum, count) => sum + count, 0)
  const limits = [
    attemptTimeoutMs === undefined ? undefined : `attempts end after ${seconds(attemptTimeoutMs)}`,
    stallTimeoutMs === undefined ? undefined : `silent ones after ${seconds(stallTimeoutMs)}`,
    throttleTimeoutMs === undefined ? undefined : `throttled ones give up after ${seconds(throttleTimeoutMs)}`
  ].filter((limit) => limit !== undefined)
  const storeFaults = [
    store.failsBefore > 0 ? `fails ${percent(store.failsBefore)}` : undefined,
    store.failsAfter > 0 ? `loses its answer ${percent(store.failsAfter)}` : undefined,
    store.slow > 0 ? `takes up to ${seconds(store.slowMs)} ${percent(store.slow)}` : undefined
  ].filter((fault) => fault !== undefined)
  const entries: ReadonlyArray<[string, number]> = Object.entries(faults)
  return [
    `${chunks.length} chunks with ${frames} frames, ${scenario.concurrency} at a time, each about ${seconds(scenario.medianMs)} (spread ${scenario.spread}), ${scenario.retries} retries from ${seconds(scenario.retryDelayMs)}`,
    ...(limits.length === 0 ? [] : [limits.join(", ")]),
    `workers can be stopped: ${scenario.stop}${scenario.liars ? "; they lie about their frames" : ""}${scenario.echoes ? "; they go on talking after their end" : ""}; reaping ${scenario.reap}`,
    ...(scenario.pool === undefined
      ? []
      : [`they are reached through adapters with ${scenario.pool.slots.join(", ")} slots: ${scenario.pool.kind}`]),
    ...entries.map(([fault, probability]) => `an attempt ${fault}: ${percent(probability)}`),
    ...storms.map(
      ({ fromMs, retryAfterMs, untilMs }) =>
        `the platform takes no work from ${seconds(fromMs)} to ${seconds(untilMs)}${retryAfterMs === undefined ? "" : `, and says to come again after ${seconds(retryAfterMs)}`}`
    ),
    `stitching takes ${seconds(scenario.stitchMs)}${scenario.stitchFails > 0 ? ` and fails ${percent(scenario.stitchFails)}` : ""}`,
    ...(scenario.diskFails > 0 ? [`the disk fails ${percent(scenario.diskFails)}`] : []),
    ...(storeFaults.length === 0 ? [] : [`the store ${storeFaults.join(", ")}`]),
    ...(scenario.fencing ? [] : ["the store does not fence"]),
    ...(scenario.shuffled ? ["what happens at one moment happens in any order"] : []),
    ...rounds.map(({ crash, events, how, thenWaitMs }, index) =>
      [
        `round ${index + 1}: ${how}`,
        crash === undefined ? undefined : `dies at "${crash.point}"${crash.nth === 1 ? "" : `, time ${crash.nth}`}`,
        ...events.map(({ afterMs, deed }) => `after ${seconds(afterMs)} somebody ${deed}`),
        `next try after ${seconds(thenWaitMs)}`
      ]
        .filter((part) => part !== undefined)
        .join("; ")
    )
  ]
}

const percent = (probability: number): string => `${Math.round(probability * 1000) / 10} % of the time`
