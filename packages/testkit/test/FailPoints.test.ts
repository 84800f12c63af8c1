import { assert, describe, it } from "@effect/vitest"
import { type JobEvent, JobManager, JobRepository, Workspace } from "@helios-infra/core"
import { FailPoints, FakeFiles, FakeMachine, jobRepositoryContract } from "@helios-infra/testkit"
import { Effect, Exit, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"

const { JobRepository: Repository, layerMemory } = JobRepository

const around = (reached: (point: FailPoints.FailPoint) => Effect.Effect<void>) =>
  Layer.effect(
    Repository,
    Effect.map(Repository, (repository) => FailPoints.around(repository, reached))
  ).pipe(Layer.provide(layerMemory))

const job = {
  metadata: { totalFrames: 2, fps: 30 },
  chunks: [0, 1].map((id) => ({
    id,
    startFrame: id,
    frameCount: 1,
    outputFile: `${id}.mov`,
    command: `render -o ${id}.mov`
  }))
}

/** Everything in memory, with points around repository and workspace. */
const machine = (reached: (point: FailPoints.FailPoint) => Effect.Effect<void>) =>
  JobManager.layer.pipe(
    Layer.provideMerge(around(reached)),
    Layer.provide(
      Layer.effect(
        Workspace.Workspace,
        Effect.map(Workspace.Workspace, (workspace) => FailPoints.aroundWorkspace(workspace, reached))
      )
    ),
    Layer.provideMerge(FakeMachine.layer())
  )

const isStitched = ({ event }: JobEvent.JobRecord) => event._tag === "Stitched"

jobRepositoryContract(
  "a repository with points around it",
  around(() => Effect.void)
)

describe("FailPoints.around", () => {
  it.effect("tells every step of a job's life, before and after it", () => {
    const reached: Array<FailPoints.FailPoint> = []
    return Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      yield* jobs.create(job, { id: "film" })
      yield* jobs.run("film", { outputFile: "film.mp4", concurrency: 1 })
      yield* jobs.delete("film")
      const first = [...new Set(reached)]
      const expected: ReadonlyArray<FailPoints.FailPoint> = [
        "before create",
        "after create",
        "before openWriter",
        "after openWriter",
        "before append RunStarted",
        "after append RunStarted"
      ]
      assert.deepStrictEqual(
        first.filter((point) => expected.includes(point)),
        expected
      )
      for (const step of [
        "stage",
        "place",
        "append AttemptStarted",
        "append ChunkAccepted",
        "publishFinal",
        "append RunEnded",
        "remove",
        "closeWriter",
        "delete"
      ] as const) {
        const [before, after] = [reached.indexOf(`before ${step}`), reached.indexOf(`after ${step}`)]
        assert.isTrue(before >= 0 && before < after, `${step}: ${before}, ${after}`)
      }
      assert.isTrue(reached.indexOf("after publishFinal") < reached.indexOf("before append RunEnded"))
      assert.isTrue(reached.lastIndexOf("after append ChunkAccepted") < reached.indexOf("before publishFinal"))
      const all = new Set([...FailPoints.repositoryPoints, ...FailPoints.workspacePoints])
      assert.deepStrictEqual(
        first.filter((point) => !all.has(point)),
        []
      )
    }).pipe(Effect.provide(machine((point) => Effect.sync(() => reached.push(point)))))
  })

  it.effect("reaches each kind of event of one append once, and none of its ends when it fails", () => {
    const reached: Array<FailPoints.FailPoint> = []
    return Effect.gen(function* () {
      const repository = yield* Repository
      yield* repository.create("film", { _tag: "JobCreated", version: 1, spec: job })
      const stale = yield* repository.openWriter("film", { takeOver: "always" })
      yield* repository.openWriter("film", { takeOver: "always" })
      reached.length = 0
      const started = { _tag: "AttemptStarted", chunk: 0, attempt: 1 } as const
      const result = yield* Effect.exit(
        stale.append([started, { ...started, chunk: 1 }, { _tag: "StopRequested", how: "paused" }])
      )
      assert.isTrue(Exit.isFailure(result))
      assert.deepStrictEqual(reached, ["before append AttemptStarted", "before append StopRequested"])
    }).pipe(Effect.provide(around((point) => Effect.sync(() => reached.push(point)))))
  })

  it.effect("keeps what comes after a point from happening while that does not end", () =>
    Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      yield* jobs.create(job, { id: "film" })
      const running = yield* Effect.forkChild(jobs.run("film", { outputFile: "film.mp4" }))
      yield* Effect.yieldNow
      const files = yield* FakeFiles.FakeFiles
      yield* Effect.repeat(Effect.yieldNow, { until: () => files.has("/job/film.mp4"), times: 1000 })
      const records = yield* Stream.runCollect((yield* Repository).read("film"))
      assert.isTrue(files.has("/job/film.mp4"))
      assert.isFalse(records.some(isStitched))
      assert.isUndefined(running.pollUnsafe())
      // Nobody waits for ever for the final file to get its name.
      yield* TestClock.adjust("11 minutes")
      assert.isTrue(Exit.isFailure(yield* Fiber.await(running)))
      assert.isFalse((yield* Stream.runCollect((yield* Repository).read("film"))).some(isStitched))
    }).pipe(Effect.provide(machine((point) => (point === "after publishFinal" ? Effect.never : Effect.void))))
  )
})
