import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import type { JobEvent } from "../src/JobEvent.ts"
import * as JobState from "../src/JobState.ts"
import * as Progress from "../src/Progress.ts"
import * as Journals from "./Journals.ts"

const spec = Journals.spec([10, 10, 20]) // chunks 1 and 4 have 10 frames, chunk 7 has 20

const runStarted = (run = 1): JobEvent => ({ _tag: "RunStarted", run, owner: { host: "here" } })
const started = (chunk: number, attempt = 1): JobEvent => ({ _tag: "AttemptStarted", chunk, attempt })
const failed = (chunk: number, attempt = 1): JobEvent => ({
  _tag: "AttemptEnded",
  chunk,
  attempt,
  how: "failed",
  retryInMs: 0
})
const accepted = (chunk: number, attempt = 1): JobEvent => ({
  _tag: "ChunkAccepted",
  chunk,
  attempt,
  output: { location: "/out", bytes: 1 },
  durationMs: 1
})
const lost = (chunk: number): JobEvent => ({ _tag: "OutputLost", chunk, attempt: 1, found: "nothing" })
const runEnded = (run: number, how: "completed" | "failed" | "cancelled" | "paused"): JobEvent => ({
  _tag: "RunEnded",
  run,
  how,
  leftover: []
})

/** A job that has just been created, and a clock that events are given. */
const follow = () => {
  const tracker = Progress.make("job", spec)
  let at = 0
  let revision = 0
  let run = 0
  const apply = (...events: ReadonlyArray<JobEvent>): void => {
    for (const event of events) {
      if ("run" in event) run = event.run
      tracker.apply({ revision: ++revision, run, at, event })
    }
  }
  apply({ _tag: "JobCreated", version: 1, spec })
  return {
    apply,
    pass: (ms: number): void => {
      at += ms
    },
    frames: (chunkId: number, attempt: number, done: number, toldIn = run): void =>
      tracker.framesDone({ run: toldIn, chunkId, attempt, done }),
    now: () => tracker.snapshot(at)
  }
}

describe("Progress", () => {
  it("keeps what an attempt told before its start was in the journal", () => {
    const job = follow()
    job.apply(runStarted(1))
    job.frames(1, 1, 5)
    assert.deepStrictEqual(job.now().running, [])
    job.apply(started(1, 1))
    assert.strictEqual(job.now().running[0]?.frames.done, 5)
  })

  it("takes no notice of what an earlier run told", () => {
    const job = follow()
    job.apply(runStarted(1), started(1, 1))
    job.frames(1, 1, 5)
    job.apply(runEnded(1, "paused"), runStarted(2), started(1, 1))
    job.frames(1, 1, 9, 1)
    assert.strictEqual(job.now().running[0]?.frames.done, 0)
    job.frames(1, 1, 2)
    assert.strictEqual(job.now().running[0]?.frames.done, 2)
  })

  it("begins at nothing", () => {
    assert.deepStrictEqual(follow().now(), {
      jobId: "job",
      run: 0,
      status: "pending",
      fraction: 0,
      frames: { done: 0, total: 40 },
      chunks: { done: 0, total: 3 },
      running: [],
      etaMs: undefined
    })
  })

  it("counts the frames of accepted chunks and those of running ones", () => {
    const job = follow()
    job.apply(runStarted(), started(1), started(4), accepted(1), started(7))
    job.frames(4, 1, 3)
    job.frames(7, 1, 7)
    const { chunks, fraction, frames, run, running, status } = job.now()
    assert.deepStrictEqual(frames, { done: 20, total: 40 })
    assert.strictEqual(fraction, 0.5)
    assert.deepStrictEqual(chunks, { done: 1, total: 3 })
    assert.deepStrictEqual(running, [
      { chunkId: 4, attempt: 1, frames: { done: 3, total: 10 } },
      { chunkId: 7, attempt: 1, frames: { done: 7, total: 20 } }
    ])
    assert.strictEqual(run, 1)
    assert.strictEqual(status, "running")
  })

  it("moves by whole chunks where workers tell no frames", () => {
    const job = follow()
    job.apply(runStarted(), started(1))
    assert.strictEqual(job.now().fraction, 0)
    job.apply(accepted(1))
    assert.strictEqual(job.now().fraction, 0.25)
  })

  it("stays where it was while a chunk is tried again", () => {
    const job = follow()
    job.apply(runStarted(), started(1))
    job.frames(1, 1, 8)
    assert.strictEqual(job.now().fraction, 0.2)
    job.apply(failed(1))
    assert.strictEqual(job.now().fraction, 0.2)
    assert.deepStrictEqual(job.now().running, [])
    job.apply(started(1, 2))
    job.frames(1, 2, 4)
    assert.strictEqual(job.now().fraction, 0.2)
    assert.strictEqual(job.now().running[0]?.frames.done, 4)
    job.frames(1, 2, 9)
    assert.strictEqual(job.now().fraction, 0.225)
  })

  it("stays where it was when an output is lost, and when a run is paused and run on", () => {
    const job = follow()
    job.apply(runStarted(), accepted(1), accepted(4))
    assert.strictEqual(job.now().fraction, 0.5)
    job.apply(lost(1))
    assert.strictEqual(job.now().fraction, 0.5)
    assert.strictEqual(job.now().chunks.done, 1)
    job.apply(runEnded(1, "paused"), runStarted(2))
    assert.strictEqual(job.now().fraction, 0.5)
  })

  it("does not hear what an attempt tells that is over, or that it does not know of", () => {
    const job = follow()
    job.frames(1, 1, 5)
    job.apply(runStarted(), started(1), failed(1), started(1, 2))
    job.frames(1, 1, 9)
    job.frames(4, 1, 9)
    job.frames(99, 1, 9)
    assert.strictEqual(job.now().frames.done, 0)
    job.apply(accepted(1, 2))
    job.frames(1, 2, 5)
    job.apply(runEnded(1, "paused"))
    job.frames(1, 2, 5)
    assert.strictEqual(job.now().frames.done, 10)
  })

  it("believes no nonsense", () => {
    const job = follow()
    job.apply(runStarted(), started(1))
    job.frames(1, 1, 4)
    for (const nonsense of [Number.NaN, -1, -Infinity, 3, 0]) job.frames(1, 1, nonsense)
    assert.strictEqual(job.now().frames.done, 4)
    for (const more of [11, 1e9, Infinity]) job.frames(1, 1, more)
    assert.strictEqual(job.now().frames.done, 10)
    job.apply(started(99), accepted(99))
    const { chunks, frames, running } = job.now()
    assert.deepStrictEqual({ chunks, frames }, { chunks: { done: 0, total: 3 }, frames: { done: 10, total: 40 } })
    assert.deepStrictEqual(
      running.map(({ chunkId }) => chunkId),
      [1]
    )
  })

  it("counts no frame twice when an attempt goes on at a chunk that has been accepted", () => {
    const job = follow()
    job.apply(runStarted(), started(7), accepted(7), started(7, 2))
    job.frames(7, 2, 20)
    assert.strictEqual(job.now().frames.done, 20)
    job.apply(accepted(7, 2))
    assert.strictEqual(job.now().frames.done, 20)
    assert.strictEqual(job.now().chunks.done, 1)
  })

  it("is 1 when the job is completed, and at most 0.99 before", () => {
    const job = follow()
    job.apply(runStarted(), accepted(1), accepted(4), accepted(7))
    assert.strictEqual(job.now().fraction, 0.99)
    job.apply({ _tag: "Stitched", outputFile: "/film.mp4" })
    assert.strictEqual(job.now().fraction, 0.99)
    job.apply(runEnded(1, "completed"))
    assert.strictEqual(job.now().fraction, 1)
    assert.strictEqual(job.now().status, "completed")
    assert.isUndefined(job.now().etaMs)
  })
})

describe("Progress etaMs", () => {
  it("is not known before something was done, nor when nothing runs", () => {
    const job = follow()
    job.apply(runStarted())
    assert.isUndefined(job.now().etaMs)
    job.pass(1000)
    assert.isUndefined(job.now().etaMs)
    job.apply(started(1))
    job.frames(1, 1, 5)
    assert.isDefined(job.now().etaMs)
    job.apply(runEnded(1, "paused"))
    assert.isUndefined(job.now().etaMs)
  })

  it("comes from the speed so far, and falls as time passes at that speed", () => {
    const job = follow()
    job.apply(runStarted(), started(7))
    const etas: Array<number | undefined> = []
    for (let frames = 1; frames <= 20; frames++) {
      job.pass(100)
      job.frames(7, 1, frames)
      etas.push(job.now().etaMs)
    }
    assert.deepStrictEqual(
      etas,
      Array.from({ length: 20 }, (_, i) => (40 - (i + 1)) * 100)
    )
  })

  it("grows while nothing happens", () => {
    const job = follow()
    job.apply(runStarted(), started(1))
    job.pass(1000)
    job.frames(1, 1, 10)
    assert.strictEqual(job.now().etaMs, 3000)
    job.pass(1000)
    assert.strictEqual(job.now().etaMs, 6000)
  })

  it("is 0 when all frames are done and the file is not", () => {
    const job = follow()
    job.apply(runStarted())
    job.pass(1000)
    job.apply(accepted(1), accepted(4), accepted(7))
    assert.strictEqual(job.now().etaMs, 0)
  })

  it("after a resume comes from the new run alone", () => {
    const job = follow()
    job.apply(runStarted(1))
    job.pass(1_000_000)
    job.apply(accepted(1), runEnded(1, "paused"))
    job.pass(1_000_000)
    job.apply(runStarted(2), started(4))
    assert.isUndefined(job.now().etaMs)
    job.pass(1000)
    job.frames(4, 1, 5)
    assert.strictEqual(job.now().etaMs, 5000) // 25 frames left, 5 a second
  })

  it("after a resume counts what was lost as work to do, not as work undone in this run", () => {
    const job = follow()
    job.apply(runStarted(1), accepted(1), accepted(4), runEnded(1, "paused"))
    job.apply(runStarted(2), lost(1), started(7))
    job.pass(1000)
    job.frames(7, 1, 5)
    assert.strictEqual(job.now().etaMs, 5000) // 25 frames left, 5 a second
  })

  it("is never negative, whatever the clock says", () => {
    const job = follow()
    job.apply(runStarted(), started(1))
    job.frames(1, 1, 5)
    job.pass(-1000)
    assert.isUndefined(job.now().etaMs)
  })
})

describe("Progress laws", () => {
  const Told = Schema.Struct({
    chunk: Schema.Literals([1, 4, 7, 10, 99]),
    attempt: Schema.Literals([1, 1, 2, 3]),
    done: Schema.Union([
      Schema.Int.check(Schema.isBetween({ minimum: -1, maximum: 25 })),
      Schema.Literals([Number.MAX_VALUE, 0.5])
    ])
  })
  const told = Arbitrary.array(Arbitrary.array(Arbitrary.schema(Told), { maxLength: 3 }), { maxLength: 60 })

  it.prop(
    "never goes back, is 1 for completed jobs only, and otherwise agrees with the fold of the journal",
    [Journals.legal, told],
    ([{ records, spec }, signals]) => {
      const tracker = Progress.make("job", spec)
      const folding = JobState.makeFold("job")
      const total = spec.metadata.totalFrames
      let before = 0
      for (const [index, record] of records.entries()) {
        tracker.apply(record)
        folding.apply(record)
        for (const { attempt, chunk, done } of signals[index] ?? []) {
          tracker.framesDone({ run: record.run, chunkId: chunk, attempt, done })
        }
        const state = folding.state()
        assert.isDefined(state)
        const progress = tracker.snapshot(record.at)
        assert.strictEqual(progress.status, state.status)
        assert.strictEqual(progress.run, state.run)
        assert.strictEqual(progress.chunks.done, state.chunks.filter(({ status }) => status === "accepted").length)
        assert.strictEqual(progress.chunks.total, state.chunks.length)
        assert.deepStrictEqual(
          new Set(progress.running.map(({ chunkId }) => chunkId)),
          new Set(state.chunks.filter(({ status }) => status === "running").map(({ id }) => id))
        )
        assert.isAtLeast(progress.fraction, Math.max(before, state.progress))
        assert.strictEqual(progress.fraction === 1, state.status === "completed")
        if (state.status !== "completed") assert.isAtMost(progress.fraction, 0.99)
        assert.isAtMost(progress.frames.done, total)
        for (const { frames } of progress.running) assert.isTrue(frames.done >= 0 && frames.done <= frames.total)
        if (progress.etaMs !== undefined) assert.isTrue(Number.isFinite(progress.etaMs) && progress.etaMs >= 0)
        before = progress.fraction
      }
    },
    Journals.many
  )

  it.prop(
    "never goes back and never passes the end, whatever a journal says",
    [Arbitrary.array(Journals.wild, { maxLength: 40 }), told],
    ([events, signals]) => {
      const tracker = Progress.make("job", spec)
      let before = 0
      let completed = false
      for (const [index, record] of Journals.number(events).entries()) {
        tracker.apply(record)
        for (const { attempt, chunk, done } of signals[index] ?? []) {
          tracker.framesDone({ run: record.run, chunkId: chunk, attempt, done })
        }
        const { chunks, fraction, frames } = tracker.snapshot(record.at)
        completed ||= record.event._tag === "RunEnded" && record.event.how === "completed"
        if (!completed) assert.isTrue(fraction >= before && fraction <= 0.99)
        assert.isAtMost(frames.done, frames.total)
        assert.isAtMost(chunks.done, chunks.total)
        before = fraction
      }
    },
    { arbitrary: { runs: 300, size: 40 } }
  )
})

describe("Progress.isAtRest", () => {
  it.each(["pending", "running", "paused", "completed", "failed", "cancelled"] as const)("%s", (status) =>
    assert.strictEqual(Progress.isAtRest({ ...follow().now(), status }), status !== "pending" && status !== "running")
  )
})
