/**
 * What an attempt tells while it runs, as lines of a stream of events that is written only as fast as it is read.
 *
 * ```
 * signals ─▶ [ frames: the last number │ lines: so many, the rest are counted │ the answer ] ─▶ NDJSON
 * ```
 *
 * Nothing waits for the reader, and nothing grows because there is none: what a command prints while the connection is
 * slower than it is left out, and how much that was is said. All of it is in the attempt's log anyway.
 */
import type { WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"

/** What waits to be sent. */
export interface EventOutbox {
  /** Adds what an attempt tells. Never throws. */
  readonly signal: (signal: WorkerSignal) => void
  /** Adds the answer; the stream ends with it. */
  readonly end: (reply: WorkerProtocol.WorkerReply) => void
  /** All events, to be read once. */
  readonly content: Stream.Stream<Uint8Array>
}

// How much of what a command prints waits at most.
const mostLines = 256
const mostCharacters = 128 * 1024

const elapsedMs = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/** Makes one. A heartbeat is sent at once, and then every so often. */
export const make = (options: { readonly workerId: string; readonly heartbeat: Duration.Duration }): EventOutbox => {
  const every = Duration.toMillis(options.heartbeat)
  const filled = Latch.makeUnsafe(false)
  let frames: number | undefined
  let lines: Array<WorkerProtocol.WorkerEvent> = []
  let characters = 0
  let leftOut = 0
  let reply: WorkerProtocol.WorkerReply | undefined
  let ended = false
  /** When the next heartbeat is due; none was sent where it is `undefined`. */
  let due: number | undefined

  const signal = (signal: WorkerSignal): void => {
    switch (signal._tag) {
      case "Frames":
        frames = signal.done
        break
      case "Line": {
        const { stream, text } = signal
        if (lines.length >= mostLines || characters + text.length > mostCharacters) leftOut++
        else {
          lines.push({ event: "log", stream, text })
          characters += text.length
        }
        break
      }
      case "Assigned":
      case "Heartbeat":
      case "NotStopped":
        return
    }
    filled.openUnsafe()
  }

  /** Takes all that waits. */
  const take = (now: number): ReadonlyArray<WorkerProtocol.WorkerEvent> => {
    filled.closeUnsafe()
    const events: Array<WorkerProtocol.WorkerEvent> = []
    if (due === undefined) events.push({ event: "heartbeat", workerId: options.workerId })
    else if (now >= due) events.push({ event: "heartbeat" })
    if (events.length > 0) due = now + every
    events.push(...lines)
    if (leftOut > 0) events.push({ event: "log", stream: "stderr", text: leftOutText(leftOut) })
    if (frames !== undefined) events.push({ event: "progress", frames })
    lines = []
    characters = 0
    leftOut = 0
    frames = undefined
    if (reply !== undefined) {
      events.push({ event: "result", reply })
      ended = true
    }
    return events
  }

  const next = Effect.gen(function* () {
    if (ended) return undefined
    let now = yield* elapsedMs
    let events = take(now)
    while (events.length === 0) {
      yield* Effect.timeoutOption(filled.await, Duration.millis(Math.max(0, (due ?? now) - now)))
      now = yield* elapsedMs
      events = take(now)
    }
    const texts = yield* Effect.forEach(events, WorkerProtocol.encodeEvent)
    return [new TextEncoder().encode(texts.join("")), undefined] as const
  })

  return {
    signal,
    end: (answer) => {
      reply = answer
      filled.openUnsafe()
    },
    content: Stream.unfold(undefined, () => next)
  }
}

const leftOutText = (count: number): string =>
  `[${count} lines are left out here: the command prints faster than they can be sent]`
