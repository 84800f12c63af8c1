/**
 * Orchestrators that are killed with SIGKILL, at every fail point and at random moments; `pnpm chaos` does it many times
 * more. Nothing paid for is lost, and nothing is left.
 */
import { assert, describe, it } from "@effect/vitest"
import { FailPoints } from "@helios-infra/testkit"
import { Effect, Random } from "effect"
import process from "node:process"
import * as Postgres from "../../packages/repository-sql/test/Postgres.ts"
import * as Chaos from "./Chaos.ts"
import { stores } from "./Stores.ts"

/** How many are killed at random moments, over all stores. */
const kills = Number(process.env["CHAOS_KILLS"] ?? 24)

/** Points that a job comes to in each run; to some of them often. */
const points = FailPoints.repositoryPoints.filter(
  (point) => !/append (?:OutputLost|StopRequested|AttemptEnded)|request|delete/.test(point)
)

const everyPoint: ReadonlyArray<Chaos.Death> = points.map((at) => ({
  at,
  time: /Attempt|Chunk/.test(at) ? 3 : 1
}))

const atRandom = Effect.gen(function* () {
  const seed = process.env["CHAOS_SEED"] ?? "kills"
  return yield* Effect.replicateEffect(
    Effect.map(Random.nextIntBetween(20, 900), (afterMs): Chaos.Death => ({ afterMs })),
    Math.ceil(kills / 3)
  ).pipe(Random.withSeed(seed))
})

describe("a job whose orchestrator is killed", { timeout: 60_000 + kills * 5000 }, () => {
  for (const [where, store] of Object.entries(stores)) {
    it.live(`at every point of its life and at any moment is completed, kept ${where}`, () =>
      Effect.gen(function* () {
        const deaths = [...everyPoint, ...(yield* atRandom)]
        const survived = yield* Chaos.survive(yield* store, deaths)
        // Some moments come after the job's end.
        assert.isAtLeast(survived, everyPoint.length)
      }).pipe(Effect.provide(Postgres.layer))
    )
  }
})
