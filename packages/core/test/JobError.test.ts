import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { ArtifactError } from "../src/ArtifactStorage.ts"
import { ChunkFailed } from "../src/ChunkScheduler.ts"
import * as JobError from "../src/JobError.ts"
import { NotFound, RepositoryError } from "../src/JobRepository.ts"
import { JobSpecError } from "../src/JobSpec.ts"
import { InputsNotConsumed, StitchError } from "../src/VideoStitcher.ts"
import { RenderFailed, WorkerError } from "../src/WorkerError.ts"
import { WorkspaceError } from "../src/Workspace.ts"

const reasonsOf = (jobId: string) => {
  const reason = new RenderFailed({ exitCode: 1, stderrTail: "no such codec" })
  const failed = { adapter: "local", jobId, attempt: 2, reason }
  return {
    invalidRequest: new JobError.InvalidRequest({ fix: "say where the final file goes" }),
    invalidSpec: new JobSpecError({ issues: [{ path: "chunks", message: "is missing" }], more: 0 }),
    cancelled: new JobError.JobCancelled(),
    paused: new JobError.JobPaused(),
    chunkFailed: new ChunkFailed({ chunkId: 7, attempts: 3, last: new WorkerError({ ...failed, chunkId: 7 }) }),
    mergeFailed: new WorkerError(failed),
    stitchFailed: new StitchError({ reason: new InputsNotConsumed({ read: 2, total: 5 }) }),
    workspaceFailed: new WorkspaceError({ path: `/jobs/${jobId}/7.mov`, reason: "NoSpace", cause: undefined }),
    artifactFailed: new ArtifactError({ key: "assets/7", reason: "Unauthorized", cause: new Error("no such role") }),
    repositoryFailed: new RepositoryError({ jobId, reason: new NotFound() })
  }
}
type Name = keyof ReturnType<typeof reasonsOf>

// Ids that texts hold for other reasons.
const ids = ["trailer", "it", "was", "a", "1", "chunk", "job", "mov"]
const names: ReadonlyArray<Name> = [
  "invalidRequest",
  "invalidSpec",
  "cancelled",
  "paused",
  "chunkFailed",
  "mergeFailed",
  "stitchFailed",
  "workspaceFailed",
  "artifactFailed",
  "repositoryFailed"
]

const errorOf = (jobId: string, name: Name) => new JobError.JobError({ jobId, reason: reasonsOf(jobId)[name] })

describe("JobError messages", () => {
  it("are there for every reason", () => {
    const tags = Object.values(reasonsOf("trailer")).map((reason) => reason._tag)
    assert.deepStrictEqual(
      new Set(tags),
      new Set(JobError.JobReason.members.map((member) => member.fields._tag.ast.literal))
    )
  })

  it.each(names)("name the job once, whatever it is called: %s", (name) => {
    for (const id of ids) {
      const { message } = errorOf(id, name)
      assert.match(message, new RegExp(`\\bjob ${id}[:,]`), id)
      assert.strictEqual(message.split(`job ${id}:`).length + message.split(`job ${id},`).length, 3, message)
    }
  })

  it.each([
    ["invalidRequest", "job trailer: say where the final file goes"],
    ["invalidSpec", "- chunks: is missing"],
    ["cancelled", "job trailer: it was cancelled"],
    ["paused", "job trailer: it was paused: run it again to go on"],
    [
      "chunkFailed",
      "chunk 7 failed after 3 attempts; the last: chunk 7 of job trailer, attempt 2 on local: the command"
    ],
    ["mergeFailed", "the merge command of job trailer, attempt 2 on local: the command exited with 1:\nno such codec"],
    ["stitchFailed", "job trailer: stitching failed: the stitcher ended after reading 2 of 5 chunks"],
    ["workspaceFailed", "job trailer: no space left for /jobs/trailer/7.mov: free some, then run the job again"],
    ["artifactFailed", 'job trailer: artifact "assets/7": the storage\'s credentials do not allow this: '],
    ["repositoryFailed", "job trailer: there is no such job"]
  ] as const)("say what happened and what to do: %s", (name, words) =>
    assert.include(errorOf("trailer", name).message, words)
  )

  it("are the reason's where the job has no id yet", () => {
    const reason = reasonsOf("").invalidSpec
    assert.strictEqual(new JobError.JobError({ reason }).message, reason.message)
  })
})

describe("JobError", () => {
  it.each(names)("comes back from JSON as the error it was (%s)", (name) => {
    const json = Schema.fromJsonString(Schema.toCodecJson(JobError.JobError))
    const error = errorOf("trailer", name)
    const received = Schema.decodeSync(json)(Schema.encodeSync(json)(error))
    assert.instanceOf(received, JobError.JobError)
    assert.strictEqual(Object.getPrototypeOf(received.reason), Object.getPrototypeOf(error.reason))
    assert.strictEqual(received.message, error.message)
  })

  it.effect("is caught by its reason", () =>
    Effect.gen(function* () {
      const failing: Effect.Effect<never, JobError.JobError> = Effect.fail(errorOf("trailer", "chunkFailed"))
      const chunk = yield* failing.pipe(
        Effect.catchReason("JobError", "ChunkFailed", ({ chunkId }) => Effect.succeed(chunkId))
      )
      assert.strictEqual(chunk, 7)
    })
  )
})
