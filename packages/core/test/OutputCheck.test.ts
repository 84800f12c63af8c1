import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as OutputCheck from "../src/OutputCheck.ts"
import type { OutputTarget, WorkerJob, WorkerResult } from "../src/WorkerAdapter.ts"
import { OutputInvalid, type WorkerError } from "../src/WorkerError.ts"
import * as Workspace from "../src/Workspace.ts"
import * as Fakes from "./Fakes.ts"

const attempt = { jobId: "trailer", run: 1, attempt: 2 }
const place: OutputTarget = { _tag: "File", path: "/job/part_7.mov" }

const chunk = (output: OutputTarget = place): WorkerJob => ({
  id: "trailer/7/1.2",
  command: "render",
  meta: { _tag: "Chunk", ...attempt, output, chunkId: 7, startFrame: 0, frameCount: 10, format: {} }
})
const merge: WorkerJob = {
  id: "trailer/merge/1.2",
  command: "join",
  meta: { _tag: "Merge", ...attempt, output: place }
}

const result = (more: Partial<WorkerResult> = {}): WorkerResult => ({
  exitCode: 0,
  stdout: "",
  stderr: "",
  durationMs: 1,
  ...more
})
const written = { location: place.path, bytes: 100, sha256: "ab", frames: 10 }

const check = (job: WorkerJob, result: WorkerResult) =>
  Effect.flatMap(OutputCheck.OutputCheck, (service) => service.check(job, result))

const assertInvalid = (error: WorkerError, expected: string, found: string): void => {
  assert.deepStrictEqual(error.reason, new OutputInvalid({ expected, found }))
}

describe("OutputCheck.layerTrusting", () => {
  it.effect("takes what the worker says it wrote", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* check(chunk(), result({ output: written })), written)
    }).pipe(Effect.provide(OutputCheck.layerTrusting))
  )

  it.effect("fails an attempt that names no output, saying which and where it should be", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(check(chunk(), result({ workerId: "w-1" })))
      assertInvalid(error, "a file at /job/part_7.mov", "no output")
      assert.include(error.message, "chunk 7 of job trailer, attempt 2")
      assert.strictEqual(error.workerId, "w-1")
      const artifact = yield* Effect.flip(check(chunk({ _tag: "Artifact", key: "jobs/7.mov" }), result()))
      assertInvalid(artifact, "a file at jobs/7.mov", "no output")
      assert.isFalse("workerId" in artifact)
    }).pipe(Effect.provide(OutputCheck.layerTrusting))
  )

  it.effect("names the merge command where that is what ran", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(check(merge, result()))
      assert.include(error.message, "the merge command of job trailer, attempt 2")
      assert.isFalse("chunkId" in error)
    }).pipe(Effect.provide(OutputCheck.layerTrusting))
  )
})

describe("OutputCheck.layerPresence", () => {
  const onMachine = (files: Record<string, number>, workspace: Partial<Workspace.Workspace["Service"]> = {}) => {
    const machine = Fakes.machine()
    for (const [path, bytes] of Object.entries(files)) machine.files.set(path, bytes)
    return Effect.provide(
      OutputCheck.layerPresence.pipe(
        Layer.provide(Layer.succeed(Workspace.Workspace, { ...machine.workspace, ...workspace }))
      )
    )
  }

  it.effect("takes an output that is there, with the size that it has, also from who did not say one", () =>
    Effect.gen(function* () {
      for (const bytes of [100, 0]) {
        const output = yield* check(chunk(), result({ output: { ...written, bytes } }))
        assert.deepStrictEqual(output, written)
      }
    }).pipe(onMachine({ [place.path]: 100 }))
  )

  it.effect.each([99, 101, 1])("fails an output of %s bytes of which the worker told 100", (bytes) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(check(chunk(), result({ output: written })))
      assertInvalid(error, "the 100 bytes that the worker told at /job/part_7.mov", `${bytes} bytes`)
      assert.include(error.message, "chunk 7 of job trailer, attempt 2")
    }).pipe(onMachine({ [place.path]: bytes }))
  )

  it.effect("fails an attempt that names no output, though a file is there", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(check(chunk(), result()))
      assertInvalid(error, "a file at /job/part_7.mov", "no output")
    }).pipe(onMachine({ [place.path]: 123 }))
  )

  it.effect("fails an output that is not there, or is empty", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(check(chunk(), result({ output: written })))
      assertInvalid(missing, "a file at /job/part_7.mov", "no file")
      const empty = yield* Effect.flip(check(chunk(), result({ output: { location: "/job/empty", bytes: 100 } })))
      assertInvalid(empty, "a file at /job/part_7.mov", "an empty file")
      assert.include(empty.message, "chunk 7 of job trailer, attempt 2")
    }).pipe(onMachine({ "/job/empty": 0 }))
  )

  it.effect("says why it could not look", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(check(chunk(), result({ output: written })))
      assertInvalid(
        error,
        "a file at /job/part_7.mov",
        "/job leads out of the job's folder: name outputs relative to it"
      )
    }).pipe(
      onMachine(
        {},
        {
          stat: () => Effect.fail(new Workspace.WorkspaceError({ path: "/job", reason: "Outside", cause: undefined }))
        }
      )
    )
  )
})
