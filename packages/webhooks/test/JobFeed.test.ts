import { assert, describe, it } from "@effect/vitest"
import type { JobEvent } from "@helios-infra/core"
import { JobFeed, WebhookEvent } from "@helios-infra/webhooks"
import { Arbitrary, Effect, Schema } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import * as Jobs from "./Jobs.ts"

const all: JobFeed.Options = {
  types: new Set(WebhookEvent.types),
  progressEveryMs: 1000,
  messages: false,
  outputs: false
}

/** Events as the records of a journal, 400 ms apart. */
const records = (...events: ReadonlyArray<JobEvent.JobEvent>): ReadonlyArray<JobEvent.JobRecord> => {
  let run = 0
  return events.map((event, index) => {
    if ("run" in event) run = event.run
    return { revision: index + 1, run, at: 1_800_000_000_000 + index * 400, event }
  })
}

const draftsOf = (journal: ReadonlyArray<JobEvent.JobRecord>, options: Partial<JobFeed.Options> = {}) => {
  const feed = JobFeed.make("job", { ...all, ...options })
  return journal.flatMap(feed.next)
}

const eventsOf = (journal: ReadonlyArray<JobEvent.JobRecord>, options: Partial<JobFeed.Options> = {}) =>
  Effect.forEach(draftsOf(journal, options), (draft) => JobFeed.identify(journal[0]?.at ?? 0, draft))

/** Paused once, with a failure and a lost output, then done. */
const film = records(
  Jobs.created(2),
  Jobs.started(1),
  { _tag: "AttemptStarted", chunk: 0, attempt: 1 },
  Jobs.failed(0),
  Jobs.accepted(0, 2),
  { _tag: "StopRequested", how: "paused" },
  Jobs.ended(1, "paused"),
  Jobs.started(2),
  { _tag: "OutputLost", chunk: 0, attempt: 2, found: "nothing at https://bucket.example/?very-secret" },
  Jobs.accepted(1),
  Jobs.accepted(0),
  Jobs.stitched,
  Jobs.ended(2, "completed")
)

const progress = (chunks: number) => ({
  frames: { done: chunks * 10, total: 20 },
  chunks: { done: chunks, total: 2 }
})

describe("JobFeed", () => {
  it("tells what happened to a job, in order", () => {
    const types = new Set(WebhookEvent.types.filter((type) => type !== "job.progress"))
    assert.deepStrictEqual<ReadonlyArray<unknown>>(
      draftsOf(film, { types }).map(({ data, sequence, type }) => [sequence, type, data]),
      [
        [1, "job.created", { jobId: "job", frames: 20, chunks: 2, fps: 30, width: 1280, height: 720 }],
        [2, "job.started", { jobId: "job", run: 1, progress: progress(0) }],
        [
          4,
          "job.attempt.failed",
          { jobId: "job", run: 1, chunkId: 0, attempt: 1, error: { reason: "RenderFailed" }, retryInMs: 1000 }
        ],
        [
          5,
          "job.chunk.accepted",
          {
            jobId: "job",
            run: 1,
            chunkId: 0,
            attempt: 2,
            startFrame: 0,
            frameCount: 10,
            durationMs: 5,
            bytes: 100,
            progress: progress(1)
          }
        ],
        [7, "job.paused", { jobId: "job", run: 1, durationMs: 2000, progress: progress(1), leftover: 0 }],
        [8, "job.resumed", { jobId: "job", run: 2, progress: progress(1) }],
        [9, "job.chunk.lost", { jobId: "job", run: 2, chunkId: 0, progress: progress(0) }],
        [
          10,
          "job.chunk.accepted",
          {
            jobId: "job",
            run: 2,
            chunkId: 1,
            attempt: 1,
            startFrame: 10,
            frameCount: 10,
            durationMs: 5,
            bytes: 100,
            progress: progress(1)
          }
        ],
        [
          11,
          "job.chunk.accepted",
          {
            jobId: "job",
            run: 2,
            chunkId: 0,
            attempt: 1,
            startFrame: 0,
            frameCount: 10,
            durationMs: 5,
            bytes: 100,
            progress: progress(2)
          }
        ],
        [
          13,
          "job.completed",
          {
            jobId: "job",
            run: 2,
            durationMs: 2000,
            progress: progress(2),
            outputFile: "/films/film.mp4",
            bytes: 1000
          }
        ]
      ]
    )
  })

  it("tells of a failure because of which chunk, and of a job that nobody ran", () => {
    const failed = draftsOf(records(Jobs.created(2), Jobs.started(1), Jobs.ended(1, "failed"))).at(-1)
    assert.deepStrictEqual<unknown>(failed?.data, {
      jobId: "job",
      run: 1,
      durationMs: 400,
      progress: progress(0),
      chunkId: 1,
      error: { reason: "ChunkFailed" },
      leftover: 1
    })
    const cancelled = draftsOf(records(Jobs.created(2), Jobs.ended(1, "cancelled"))).at(-1)
    assert.deepInclude(cancelled, { type: "job.cancelled" })
    assert.include(cancelled?.data, { durationMs: 0 })
  })

  it("sends nothing that may be secret unless it is asked for, and a URL's query never", () => {
    const urls = records(
      ...film.slice(0, 11).map(({ event }) => event),
      { _tag: "Stitched", outputFile: "https://user:very-secret@bucket.example/film.mp4?signature=very-secret#x" },
      Jobs.ended(2, "completed"),
      Jobs.started(3),
      Jobs.ended(3, "failed")
    )
    const text = JSON.stringify(draftsOf(urls))
    assert.notInclude(text, "very-secret")
    assert.notInclude(text, "bucket.example/part")
    assert.include(text, "https://bucket.example/film.mp4")

    const outputs = JSON.stringify(draftsOf(urls, { outputs: true }))
    assert.include(outputs, '"output":"https://bucket.example/part_0"')
    assert.notInclude(outputs, "very-secret")

    const messages = draftsOf(urls, { messages: true }).map(({ data }) => ("error" in data ? data.error.message : ""))
    assert.include(messages.join(), "exited with 1:\nit printed very-secret")
    const error = { _tag: "ChunkFailed", message: "x".repeat(100_000) }
    const long = records(Jobs.created(1), Jobs.started(1), {
      _tag: "RunEnded",
      run: 1,
      how: "failed",
      error,
      leftover: []
    })
    assert.isBelow(JSON.stringify(draftsOf(long, { messages: true })).length, 6000)
  })

  it("tells progress at most as often as it may, and the same for whoever reads the journal again", () => {
    const times = [0, 10, 900, 1000, 1999, 2000, 2001, 9000]
    const journal = [
      ...records(Jobs.created(8), Jobs.started(1)).map((record) => ({ ...record, at: 0 })),
      ...times.map((at, chunk) => ({ revision: chunk + 3, run: 1, at, event: Jobs.accepted(chunk) }))
    ]
    const progress = () => draftsOf(journal, { types: new Set(["job.progress"]) }).map(({ sequence }) => sequence)
    assert.deepStrictEqual(progress(), [6, 8, 10])
    assert.deepStrictEqual(progress(), progress())
  })

  it("goes on telling progress where the clock was put back", () => {
    const journal = [
      ...records(Jobs.created(8), Jobs.started(1)).map((record) => ({ ...record, at: 1_000_000 })),
      ...[10, 20, 1020].map((at, chunk) => ({ revision: chunk + 3, run: 1, at, event: Jobs.accepted(chunk) }))
    ]
    const drafts = draftsOf(journal, { types: new Set(["job.progress"]) })
    assert.deepStrictEqual(
      drafts.map(({ sequence }) => sequence),
      [3, 5]
    )
  })

  it.effect("gives every event an id of its own, which is the same each time and of another job another", () =>
    Effect.gen(function* () {
      const ids = (yield* eventsOf(film)).map(({ id }) => id)
      assert.strictEqual(new Set(ids).size, ids.length)
      for (const id of ids) assert.match(id, /^evt_[\da-f]{32}$/)
      assert.deepStrictEqual(
        (yield* eventsOf(film)).map(({ id }) => id),
        ids
      )
      // Deleted, and created again under the same name.
      const again = film.map((record) => ({ ...record, at: record.at + 1 }))
      for (const { id } of yield* eventsOf(again)) assert.notInclude(ids, id)
    })
  )

  it.effect.prop(
    "makes events of the schema from any journal, also from one that no job would write",
    [
      Arbitrary.array(
        Arbitrary.schema(
          Schema.Struct({
            pick: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 })),
            chunk: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
            run: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 }))
          })
        ),
        { maxLength: 40 }
      )
    ],
    ([steps]) =>
      Effect.gen(function* () {
        const journal = records(
          Jobs.created(3),
          ...steps.map(({ chunk, pick, run }): JobEvent.JobEvent => {
            const made = [
              Jobs.started(run),
              Jobs.accepted(chunk, run),
              Jobs.accepted(chunk, run),
              Jobs.failed(chunk),
              Jobs.stitched,
              Jobs.ended(run, "failed"),
              Jobs.ended(run, "completed"),
              Jobs.ended(run, "paused")
            ][pick]
            return made ?? { _tag: "OutputLost", chunk, attempt: 1, found: "nothing" }
          })
        )
        const events = yield* eventsOf(journal)
        for (const event of events) {
          yield* Schema.decodeUnknownEffect(WebhookEvent.WebhookEvent, { onExcessProperty: "error" })(event)
          if ("progress" in event.data) {
            const { chunks, frames } = event.data.progress
            assert.strictEqual(frames.done, chunks.done * 10)
            assert.isAtMost(chunks.done, 3)
          }
        }
        const places = events.map(({ sequence }) => sequence)
        assert.deepStrictEqual(
          places,
          places.toSorted((a, b) => a - b)
        )
        assert.strictEqual(new Set(events.map(({ id }) => id)).size, events.length)
        assert.notInclude(JSON.stringify(events), "very-secret")
      })
  )
})

describe("WebhookEvent", () => {
  it("is published as JSON Schema, as it is (with UPDATE_SCHEMA=1 that is written anew)", () => {
    const { definitions, schema } = Schema.toJsonSchemaDocument(WebhookEvent.WebhookEvent)
    const document = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      title: "Events of @helios-infra/webhooks, version 1",
      ...schema,
      ...(Object.keys(definitions).length === 0 ? undefined : { $defs: definitions })
    }
    const file = path.join(import.meta.dirname, "../../../docs/webhook-events-v1.json")
    if (process.env.UPDATE_SCHEMA === "1") writeFileSync(file, `${JSON.stringify(document, undefined, 2)}\n`)
    assert.deepStrictEqual(JSON.parse(readFileSync(file, "utf8")), document)
  })
})
