/**
 * Reads the stream of events that a worker sends while it renders, tells them as signals, and gives the answer at its
 * end.
 *
 * Bounded in memory whatever comes: one line at a time, and no line longer than `maxLineBytes`.
 */
import type { WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import * as WorkerAnswer from "@helios-infra/core/WorkerAnswer"
import { Refused, Transport, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ndjson from "effect/encoding/Ndjson"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** The longest line, in bytes: an answer holds bounded tails, so it is far below. */
export const maxLineBytes = 8 * 1024 ** 2

/** How long the end of a stream is waited for after the answer, so that its connection can be used again. */
const linger = Duration.seconds(1)

/** How much of what came last an error shows, in bytes. */
const tailLimit = 200

/** A stream of events. */
export interface Events {
  readonly stream: Stream.Stream<Uint8Array, HttpClientError>
  /** How long it may be silent. */
  readonly idleTimeout: Duration.Duration
  /** The frames of the chunk. */
  readonly frameCount: number
  /** Whose it is, in the words of errors. */
  readonly from: string
  readonly signal: (signal: WorkerSignal) => void
}

/** An answer, and what was told before it came. */
export interface Answer {
  readonly reply: WorkerProtocol.WorkerReply
  readonly told: WorkerAnswer.Told
}

/** Why there was no answer, and who would have given it. */
export interface NoAnswer {
  readonly reason: WorkerReason
  readonly workerId: string | undefined
}

/** Reads events up to the answer. */
export const read = Effect.fnUntraced(function* (events: Events): Effect.fn.Return<Answer, NoAnswer> {
  const { frameCount, from, idleTimeout, signal } = events
  const answer = yield* Deferred.make<WorkerProtocol.WorkerReply>()
  let workerId: string | undefined
  let told: WorkerAnswer.Told = {}
  let frames = 0
  let seen = 0
  let tail = ""

  const said = () => (tail === "" ? "it sent nothing" : `the last that it sent: ${tail.trim()}`)
  const transport = (what: string, cause?: unknown) =>
    new Transport({ cause: new Error(what, cause === undefined ? undefined : { cause }) })
  const silent = transport(
    `${from} was silent for ${Duration.format(idleTimeout)}, and workers say every ${WorkerProtocol.heartbeatMs / 1000} seconds that they live: it or the way to it is gone (raise idleTimeout if something on the way holds events back)`
  )

  const tell = (event: WorkerProtocol.WorkerEvent): Effect.Effect<void> => {
    switch (event.event) {
      case "heartbeat":
        if (workerId === undefined && event.workerId !== undefined) {
          workerId = event.workerId
          told = { ...told, workerId }
          signal({ _tag: "Assigned", workerId })
        }
        signal({ _tag: "Heartbeat" })
        return Effect.void
      case "progress": {
        // What a worker miscounts is not passed on: progress never goes back.
        const done = Math.min(event.frames, frameCount)
        if (done > frames) {
          frames = done
          signal({ _tag: "Frames", done })
        }
        return Effect.void
      }
      case "log":
        told = { ...told, [event.stream]: true }
        signal({ _tag: "Line", stream: event.stream, text: event.text })
        return Effect.void
      case "result":
        return Effect.asVoid(Deferred.succeed(answer, event.reply))
    }
  }

  const reading = events.stream.pipe(
    Stream.timeoutOrElse({ duration: idleTimeout, orElse: () => Stream.fail(silent) }),
    Stream.tap((bytes) =>
      Effect.sync(() => {
        tail = new TextDecoder().decode(bytes.subarray(-tailLimit))
      })
    ),
    Stream.pipeThroughChannel(Ndjson.decode({ maxLineBytes, ignoreEmptyLines: true })),
    Stream.runForEach((json) =>
      // What follows the answer is not looked at.
      Deferred.isDoneUnsafe(answer)
        ? Effect.void
        : Effect.matchEffect(WorkerProtocol.eventOf(json), {
            onFailure: () => Effect.fail(WorkerAnswer.notOurs(json, from)),
            onSuccess: (event) => {
              seen += 1
              return Option.isSome(event) ? tell(event.value) : Effect.void
            }
          })
    ),
    Effect.catchTags({
      HttpClientError: ({ reason }) =>
        Effect.fail(
          transport(
            `the connection to ${from} broke after ${seen} events, before the answer; ${said()}`,
            "cause" in reason ? reason.cause : reason
          )
        ),
      NdjsonError: ({ reason }) =>
        Effect.fail(
          reason === "LineTooLarge"
            ? new Refused({
                why: "TooLarge",
                fix: `${from} sent a line of more than ${maxLineBytes} bytes: outputs belong into a storage`
              })
            : transport(`${from} sent what is no event, after ${seen} events; ${said()}`)
        )
    }),
    Effect.andThen(
      Effect.suspend(() =>
        Effect.fail(
          new WorkerLost({
            ...(workerId === undefined ? undefined : { workerId }),
            detail: `${from} ended its answer after ${seen} events, without a result; ${said()}`
          })
        )
      )
    )
  )

  const reply = yield* Effect.raceFirst(
    Effect.catch(reading, (reason) => {
      const answered = Deferred.isDoneUnsafe(answer)
      return answered ? Deferred.await(answer) : Effect.fail({ reason, workerId })
    }),
    Effect.tap(Deferred.await(answer), () => Effect.sleep(linger))
  )
  return { reply, told }
})
