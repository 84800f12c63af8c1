/**
 * Journals for core's tests: those that jobs can have written, and events that none would write.
 */
import { Arbitrary, Schema } from "effect"
import * as JobEvent from "../src/JobEvent.ts"
import type { JobSpec } from "../src/JobSpec.ts"
import { RenderFailed, WorkerError } from "../src/WorkerError.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** A job with a chunk for each number of frames. Ids are neither positions nor in frame order. */
export const spec = (frames: ReadonlyArray<number>): JobSpec => {
  let end = 0
  const chunks = frames.map((frameCount, index) => {
    const startFrame = end
    end += frameCount
    const id = 3 * index + 1
    return { id, startFrame, frameCount, outputFile: `${id}.mov`, command: `render -o ${id}.mov` }
  })
  return { metadata: { totalFrames: end, fps: 30 }, chunks: chunks.toReversed() }
}

/** Every kind of event but `JobCreated`, with any content. */
export const AnyEvent = Schema.Union([
  JobEvent.JobEvent.cases.RunStarted,
  JobEvent.JobEvent.cases.StopRequested,
  JobEvent.JobEvent.cases.AttemptStarted,
  JobEvent.JobEvent.cases.AttemptAssigned,
  JobEvent.JobEvent.cases.AttemptEnded,
  JobEvent.JobEvent.cases.ChunkAccepted,
  JobEvent.JobEvent.cases.OutputLost,
  JobEvent.JobEvent.cases.Stitched,
  JobEvent.JobEvent.cases.RunEnded
])

/** Events over few chunks, of which some exist, in no sensible order. */
export const wild = Arbitrary.all({
  event: Arbitrary.schema(AnyEvent),
  chunk: Arbitrary.schema(between(0, 5)),
  run: Arbitrary.schema(between(1, 3))
}).pipe(
  Arbitrary.map(({ chunk, event, run }): JobEvent.JobEvent => {
    if ("chunk" in event) return { ...event, chunk }
    return "run" in event ? { ...event, run } : event
  })
)

/** Gives events their places in a journal, and the run that they name or follow. */
export const number = (events: ReadonlyArray<JobEvent.JobEvent>): ReadonlyArray<JobEvent.JobRecord> => {
  let run = 0
  return events.map((event, index) => {
    if ("run" in event) run = event.run
    return { revision: index + 1, run, at: index, event }
  })
}

export interface Journal {
  readonly spec: JobSpec
  readonly records: ReadonlyArray<JobEvent.JobRecord>
}

const Step = Schema.Struct({ move: between(0, 15), pick: between(0, 59), waits: Schema.Literals([0, 1, 250, 4000]) })

const owner = { host: "here", pid: 1 }

/** What a job does, step by step: some steps end a run or lose its process, most bring a chunk on. */
const write = ({ frames, steps }: { frames: ReadonlyArray<number>; steps: ReadonlyArray<typeof Step.Type> }) => {
  const jobSpec = spec(frames)
  const records: Array<JobEvent.JobRecord> = []
  const chunks = jobSpec.chunks.map(({ id }) => ({ id, attempt: 0, running: false, accepted: false }))
  let at = 1_000
  let run = 0
  let under = false

  const append = (...events: ReadonlyArray<JobEvent.JobEvent>): void => {
    for (const event of events) records.push({ revision: records.length + 1, run, at, event })
  }
  const begin = (): void => {
    run++
    under = true
    for (const chunk of chunks) Object.assign(chunk, { attempt: 0, running: false })
    const asked = [{}, { outputFile: `${run}.mp4` }, { outputFile: "film.bin", container: "mov" }][run % 3]
    append({ _tag: "RunStarted", run, owner, ...asked })
  }
  const failed = (chunkId: number, attempt: number) =>
    new WorkerError({
      adapter: "fake",
      jobId: "job",
      chunkId,
      attempt,
      reason: new RenderFailed({ exitCode: 1, stderrTail: "no" })
    })

  append({ _tag: "JobCreated", version: 1, spec: jobSpec })
  for (const { move, pick, waits } of steps) {
    at += waits
    const chunk = chunks[pick % chunks.length]
    if (chunk === undefined) break
    const { attempt, id } = chunk
    if (!under) {
      if (move > 0) {
        begin()
      } else {
        // Cancelled while nobody ran it.
        run++
        append({ _tag: "RunEnded", run, how: "cancelled", leftover: [] })
      }
    } else if (move === 0) {
      under = false
      if (pick % 2 === 0) {
        for (const { attempt, id, running } of chunks) {
          if (running) append({ _tag: "AttemptEnded", chunk: id, attempt, how: "interrupted" })
        }
      }
      const how = (["paused", "failed", "cancelled"] as const)[pick % 3] ?? "paused"
      if (how !== "failed") append({ _tag: "StopRequested", how })
      const error = how === "failed" ? { error: { _tag: "ChunkFailed", message: "no" } } : {}
      append({ _tag: "RunEnded", run, how, ...error, leftover: pick % 5 === 0 ? ["a process"] : [] })
    } else if (move === 1) {
      // Its process died without a word, while it stopped or before, and somebody runs it on.
      if (pick % 4 === 0) append({ _tag: "StopRequested", how: "cancelled" })
      begin()
    } else if (move === 2) {
      if (!chunk.accepted) continue
      chunk.accepted = false
      append({ _tag: "OutputLost", chunk: id, attempt: 1, found: "nothing" })
    } else if (chunks.every(({ accepted }) => accepted)) {
      append(
        { _tag: "Stitched", outputFile: "/out.mp4", bytes: 1 },
        { _tag: "RunEnded", run, how: "completed", leftover: [] }
      )
      break
    } else if (!chunk.running) {
      if (chunk.accepted) continue
      chunk.running = true
      append({ _tag: "AttemptStarted", chunk: id, attempt: ++chunk.attempt })
    } else if (move === 3) {
      append({ _tag: "AttemptAssigned", chunk: id, attempt, workerId: "w", handle: "h" })
    } else if (move < 7) {
      chunk.running = false
      const error = failed(id, attempt)
      append(
        move === 4
          ? { _tag: "AttemptEnded", chunk: id, attempt, how: "failed", error, retryInMs: 1000 }
          : move === 5
            ? { _tag: "AttemptEnded", chunk: id, attempt, how: "not-stopped", error, detail: "w still runs" }
            : { _tag: "AttemptEnded", chunk: id, attempt, how: "interrupted" }
      )
    } else {
      Object.assign(chunk, { running: false, accepted: true })
      const output = { location: `/out/${id}-${run}.${attempt}`, bytes: 1 + records.length }
      const by = attempt % 2 === 0 ? { workerId: `w${attempt}` } : {}
      append({ _tag: "ChunkAccepted", chunk: id, attempt, output, durationMs: waits, ...by })
    }
  }
  return { spec: jobSpec, records }
}

/** Journals of 1 to 4 chunks over several runs, as far as they got. */
export const legal: Arbitrary.Arbitrary<Journal> = Arbitrary.all({
  frames: Arbitrary.array(Arbitrary.schema(between(1, 20)), { minLength: 1, maxLength: 4 }),
  steps: Arbitrary.array(Arbitrary.schema(Step), { maxLength: 60 })
}).pipe(Arbitrary.map(write))

/** How long the journals of a property are, and how many it is checked with. */
export const many = { arbitrary: { runs: 150, size: 60 } } as const
