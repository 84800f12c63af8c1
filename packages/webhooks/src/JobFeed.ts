/**
 * From a job's journal to the events that are sent: a pure fold, so that whoever reads the journal again, in this process
 * or the next, makes the same events of it.
 *
 * ```
 * JobRecord ─▶ 0, 1 or 2 drafts ─identify─▶ WebhookEvent
 * ```
 *
 * It holds what is known of each chunk in a few bytes, and no event.
 */
import type { JobEvent, JobRecord } from "@helios-infra/core/JobEvent"
import type { Chunk } from "@helios-infra/core/JobSpec"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import type { Failure, Progress, WebhookEvent, WebhookEventType } from "./WebhookEvent.ts"

/** What is made of a journal. */
export interface Options {
  /** The types that are wanted. */
  readonly types: ReadonlySet<WebhookEventType>
  /** How much time there is between two `job.progress` at least, in milliseconds. */
  readonly progressEveryMs: number
  /** Whether errors come with what they say, and with what commands printed. */
  readonly messages: boolean
  /** Whether accepted chunks come with where their outputs are. */
  readonly outputs: boolean
}

type Without<Event, Keys extends PropertyKey> = Event extends unknown ? Omit<Event, Keys> : never

/** An event without an id. */
export type Draft = Without<WebhookEvent, "id">

/** A job that is being read. */
export interface JobFeed {
  /** What the next record of the journal amounts to, in the order in which it is sent. */
  readonly next: (record: JobRecord) => ReadonlyArray<Draft>
  /** When the job was created, in milliseconds since the epoch; undefined before its first record. */
  readonly createdAt: () => number | undefined
  /** Whether a run is under way, as far as the journal knows. */
  readonly isRunning: () => boolean
}

/** How long a message is at most, in characters: payloads are small. */
const longestMessage = 4000

/** What a URL holds beside its path is often a signature. */
const withoutQuery = (location: string): string =>
  /^[a-z][a-z\d+.-]+:\/\//i.test(location) ? location.replace(/[?#].*$/s, "").replace(/\/\/[^/@]*@/, "//") : location

/** Begins with a job's first record. */
export const make = (jobId: string, options: Options): JobFeed => {
  let chunks: ReadonlyMap<number, Chunk> = new Map()
  const accepted = new Set<number>()
  let createdAt: number | undefined
  let running = false
  let startedAt: number | undefined
  let framesTotal = 0
  let framesDone = 0
  let progressAt = 0
  let final: { readonly outputFile?: string; readonly bytes?: number } = {}

  const progress = (): Progress => ({
    frames: { done: framesDone, total: framesTotal },
    chunks: { done: accepted.size, total: chunks.size }
  })

  const failure = (reason: string, message: string): Failure => ({
    reason,
    ...(options.messages ? { message: message.slice(0, longestMessage) } : undefined)
  })

  const outcome = (
    { error, how, leftover }: Extract<JobEvent, { readonly _tag: "RunEnded" }>,
    end: { readonly jobId: string; readonly run: number; readonly durationMs: number; readonly progress: Progress }
  ) => {
    const left = { leftover: leftover.length }
    switch (how) {
      case "completed":
        return { type: "job.completed", data: { ...end, ...final } } as const
      case "failed": {
        const { _tag, chunkId, message } = error ?? { _tag: "Unknown", message: "" }
        const which = chunkId === undefined ? undefined : { chunkId }
        return { type: "job.failed", data: { ...end, ...which, error: failure(_tag, message), ...left } } as const
      }
      case "cancelled":
        return { type: "job.cancelled", data: { ...end, ...left } } as const
      case "paused":
        return { type: "job.paused", data: { ...end, ...left } } as const
    }
  }

  const all = ({ at, event, revision, run }: JobRecord): ReadonlyArray<Draft> => {
    const common = { version: 1, sequence: revision, timestamp: DateTime.formatIso(DateTime.makeUnsafe(at)) } as const
    const inRun = { jobId, run }
    switch (event._tag) {
      case "JobCreated": {
        const { height, totalFrames, fps, width } = event.spec.metadata
        chunks = new Map(event.spec.chunks.map((chunk) => [chunk.id, chunk]))
        createdAt = at
        framesTotal = totalFrames
        const size = {
          ...(width === undefined ? undefined : { width }),
          ...(height === undefined ? undefined : { height })
        }
        return [
          { ...common, type: "job.created", data: { jobId, frames: totalFrames, chunks: chunks.size, fps, ...size } }
        ]
      }
      case "RunStarted":
        running = true
        startedAt = at
        progressAt = at
        final = {}
        return [{ ...common, type: run > 1 ? "job.resumed" : "job.started", data: { ...inRun, progress: progress() } }]
      case "AttemptEnded": {
        const { attempt, chunk: chunkId, error, retryInMs } = event
        if (error === undefined) return []
        const again = retryInMs === undefined ? undefined : { retryInMs: Math.max(0, retryInMs) }
        const data = { ...inRun, chunkId, attempt, error: failure(error.reason._tag, error.message), ...again }
        return [{ ...common, type: "job.attempt.failed", data }]
      }
      case "ChunkAccepted": {
        const { attempt, durationMs, output } = event
        const chunk = chunks.get(event.chunk)
        if (chunk === undefined || accepted.has(chunk.id)) return []
        accepted.add(chunk.id)
        const { frameCount, id: chunkId, startFrame } = chunk
        framesDone += frameCount
        const data = {
          ...inRun,
          chunkId,
          attempt,
          startFrame,
          frameCount,
          durationMs: Math.max(0, durationMs),
          bytes: Math.max(0, output.bytes),
          ...(options.outputs ? { output: withoutQuery(output.location) } : undefined),
          progress: progress()
        }
        const draft: Draft = { ...common, type: "job.chunk.accepted", data }
        // The clock may have been put back since.
        if (at >= progressAt && at - progressAt < options.progressEveryMs) return [draft]
        progressAt = at
        return [draft, { ...common, type: "job.progress", data: { ...inRun, progress: progress() } }]
      }
      case "OutputLost": {
        const chunk = chunks.get(event.chunk)
        if (chunk === undefined || !accepted.delete(chunk.id)) return []
        framesDone -= chunk.frameCount
        return [{ ...common, type: "job.chunk.lost", data: { ...inRun, chunkId: chunk.id, progress: progress() } }]
      }
      case "Stitched":
        final = {
          ...(event.outputFile === undefined ? undefined : { outputFile: withoutQuery(event.outputFile) }),
          ...(event.bytes === undefined ? undefined : { bytes: event.bytes })
        }
        return []
      case "RunEnded": {
        const began = startedAt ?? at
        running = false
        startedAt = undefined
        return [
          { ...common, ...outcome(event, { ...inRun, durationMs: Math.max(0, at - began), progress: progress() }) }
        ]
      }
      case "StopRequested":
      case "AttemptStarted":
      case "AttemptAssigned":
        return []
    }
  }

  return {
    next: (record) => all(record).filter(({ type }) => options.types.has(type)),
    createdAt: () => createdAt,
    isRunning: () => running
  }
}

/** The SHA-256 of a text, in lower-case hexadecimal. */
export const digest = (text: string): Effect.Effect<string> =>
  Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).pipe(
    Effect.map((bytes) => Hex.encode(new Uint8Array(bytes)))
  )

/**
 * Gives an event its id, which is made of what it is and of nothing else: the same whoever makes it, and another one for
 * the same place in the history of another job, of one that was deleted and had the same name as well.
 */
export const identify = (createdAt: number, draft: Draft): Effect.Effect<WebhookEvent> => {
  const { data, sequence, type } = draft
  const which = "run" in data ? [data.run, "chunkId" in data ? data.chunkId : null] : []
  return Effect.map(digest(JSON.stringify([data.jobId, createdAt, sequence, type, ...which])), (hash) => ({
    id: `evt_${hash.slice(0, 32)}`,
    ...draft
  }))
}
