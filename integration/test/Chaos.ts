/**
 * A job whose orchestrator is killed again and again: real processes, real children, real kills.
 *
 * Each worker writes down that it began, so that who rendered what how often is not taken from the journal. It leaves a
 * child behind in a session of its own as well, which nobody may forget.
 */
import { path as ffmpegPath } from "@ffmpeg-installer/ffmpeg"
import { assert } from "@effect/vitest"
import { LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository, JobState, OutputCheck, WorkerAdapter } from "@helios-infra/core"
import type { FailPoints } from "@helios-infra/testkit"
import { Effect, Layer, Stream } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFile, mkdir, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import process from "node:process"
import { type Orders, repository, type Store } from "./fixtures/mortal.ts"
import * as Program from "./Program.ts"
import { folder, hashesOf, plan, processesOf, render } from "./RealMachine.ts"

/** When an orchestrator dies: some milliseconds after it was started, or by itself at a point in its life. */
export type Death = { readonly afterMs: number } | { readonly at: FailPoints.FailPoint; readonly time: number }

const program = Program.make("mortal")

const chunks = 10

const worker = `#!/bin/sh
echo "$1" >> "$2/starts"
setsid sleep 300 > /dev/null 2>&1 &
sleep 0.05
shift 2
exec "$@"
`

/** A job of small chunks in a folder of its own. */
const prepare = Effect.fnUntraced(function* (root: string, jobId: string) {
  const dir = join(root, jobId)
  const script = join(dir, "worker.sh")
  yield* Effect.promise(() => mkdir(dir).then(() => writeFile(script, worker)))
  const command = `sh '${script}' {id} '${dir}' ${render({})}`
  const spec = yield* plan(command, { totalFrames: chunks * 6, chunks: { count: chunks } })
  return { dir, spec }
})

/** How often each chunk was begun, as the workers themselves say. */
const startsIn = (dir: string) =>
  Effect.promise(() => readFile(join(dir, "starts"), "utf8").catch(() => "")).pipe(
    Effect.map((text) => {
      const starts = new Map<number, number>()
      for (const line of text.split("\n").slice(0, -1)) starts.set(Number(line), (starts.get(Number(line)) ?? 0) + 1)
      return starts
    })
  )

/** Starts an orchestrator; gives whether it died, and not of itself. */
const live = Effect.fnUntraced(function* (orders: Orders, death: Death | undefined) {
  const told: Orders = death !== undefined && "at" in death ? { ...orders, death } : orders
  const child = spawn(process.execPath, [yield* program, JSON.stringify(told)], { stdio: ["ignore", "ignore", "pipe"] })
  let said = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text))
  const exited = Effect.promise(() => once(child, "close"))
  const killed =
    death !== undefined && "afterMs" in death
      ? Effect.andThen(
          Effect.sleep(death.afterMs),
          Effect.sync(() => child.kill("SIGKILL"))
        )
      : Effect.void
  yield* Effect.all([exited, killed], { concurrency: "unbounded" }).pipe(
    Effect.timeout("60 seconds"),
    Effect.onError(() => Effect.sync(() => child.kill("SIGKILL")))
  )
  if (child.exitCode === 0) return "completed"
  assert.strictEqual(child.signalCode, "SIGKILL", `it ended by itself: ${said}`)
  return "killed"
})

/** Frames of the same job that nobody disturbed. */
const undisturbed = Effect.runSync(
  Effect.cached(
    Effect.scoped(
      Effect.gen(function* () {
        const root = yield* folder
        const { dir, spec } = yield* prepare(root, "film")
        const store: Store = { type: "file", dir: join(root, "jobs") }
        const orders = { store, jobId: "film", jobDir: dir, spec, ffmpegPath }
        assert.strictEqual(yield* live(orders, undefined), "completed")
        return yield* hashesOf(join(dir, "film.mp4"))
      })
    )
  )
)

/** What the repository says of a job now, read by this process. */
const stateOf = (store: Store, jobId: string) =>
  JobRepository.JobRepository.use((repository) => Stream.runCollect(repository.read(jobId))).pipe(
    Effect.map((records) => JobState.fold(jobId, records)),
    // Killed before it was created.
    Effect.catchReason("RepositoryError", "NotFound", () => Effect.undefined),
    Effect.provide(repository(store)),
    Effect.orDie
  )

/** Deletes a job as somebody would who has its files and its repository. */
const remove = (store: Store, jobId: string, dir: string) => {
  const nobody = WorkerAdapter.layer({
    info: { name: "nobody", where: "local", stop: "always" },
    execute: () => Effect.die("nothing is rendered here")
  })
  const services = JobManager.layer.pipe(
    Layer.provide([repository(store), nobody, OutputCheck.layerTrusting]),
    Layer.provide(LocalWorkspace.layer({ dir }))
  )
  return JobManager.JobManager.use((jobs) => jobs.delete(jobId)).pipe(Effect.provide(services), Effect.orDie)
}

/**
 * Lets orchestrators die, one for each death, and resumes their job until it is done; begins another job whenever one is
 * done before its time. Fails where anything is not as it must be; gives how many were killed.
 */
export const survive = Effect.fnUntraced(function* (store: Store, deaths: ReadonlyArray<Death>) {
  const root = yield* folder
  const expected = yield* undisturbed
  const left = [...deaths]
  let kills = 0
  for (let number = 1; left.length > 0; number++) {
    const jobId = `film-${number}`
    const { dir, spec } = yield* prepare(root, jobId)
    const orders = { store, jobId, jobDir: dir, spec, ffmpegPath }
    for (let done = false; !done;) {
      const before = yield* stateOf(store, jobId)
      const accepted = before?.chunks.filter(({ status }) => status === "accepted").map(({ id }) => id) ?? []
      const startsBefore = yield* startsIn(dir)
      const death = left.shift()
      const how = yield* live(orders, death)
      const story = `${jobId}, ${JSON.stringify(death)}: ${how}`
      done = how === "completed"
      if (how === "killed") kills++
      const starts = yield* startsIn(dir)
      for (const id of accepted) {
        assert.strictEqual(starts.get(id), startsBefore.get(id), `${story}: chunk ${id} was accepted, and begun again`)
      }
    }
    assert.strictEqual((yield* stateOf(store, jobId))?.status, "completed", jobId)
    assert.deepStrictEqual(yield* hashesOf(join(dir, `${jobId}.mp4`)), expected, jobId)
    assert.deepStrictEqual(yield* processesOf(`${jobId}_`), [], jobId)
    yield* remove(store, jobId, dir)
    const names = yield* Effect.promise(() => readdir(dir))
    assert.deepStrictEqual(names.toSorted(), [`${jobId}.mp4`, "starts", "worker.sh"])
  }
  return kills
}, Effect.scoped)
