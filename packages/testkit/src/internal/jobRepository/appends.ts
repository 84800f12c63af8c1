/** What is appended: whole batches, one after the other, as they were given. */
import { WorkerError } from "@helios-infra/core/WorkerError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { background, holds, same, within } from "../check.ts"
import { type Bench, open, type Promises } from "./bench.ts"
import { everyEvent, journal, lost, nastyTexts, revisions, textsOf, upTo } from "./journals.ts"

/** The promises. */
export const promises = ({ keepsAll, timing, withJob }: Bench): Promises => ({
  "append gives the records of its events, and read gives the same": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      const before = yield* Clock.currentTimeMillis
      const events = [...everyEvent, ...nastyTexts.map(lost)]
      const records = yield* writer.append(events)
      yield* same(
        "the revisions and runs",
        records.map(({ revision, run }) => ({ revision, run })),
        events.map((_, index) => ({ revision: index + 2, run: 1 }))
      )
      const found = yield* journal(jobs, "job", 1)
      for (const [index, event] of events.entries()) {
        const expected = JSON.stringify(event)
        yield* same(`what append gives for ${event._tag}`, JSON.stringify(records[index]?.event), expected)
        yield* same(`what read gives for ${event._tag}`, JSON.stringify(found[index]?.event), expected)
        yield* same("its time", found[index]?.at, records[index]?.at)
        yield* holds(`its time should be from ${before} on`, (found[index]?.at ?? 0) >= before - 1, found[index]?.at)
      }
      const failed = found.map(({ event }) => event).find((event) => event._tag === "AttemptEnded")
      yield* holds(
        "an error in an event should come back as a WorkerError",
        failed?._tag === "AttemptEnded" && failed.error instanceof WorkerError,
        failed
      )
    })
  ),

  "an append of nothing writes nothing": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      yield* same("its records", yield* writer.append([]), [])
      yield* same("the journal", revisions(yield* journal(jobs, "job")), [1])
      yield* same("the next revision", revisions(yield* writer.append([lost("a")])), [2])
    })
  ),

  "what its caller does to the events later changes nothing": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      const events = [lost("a")]
      yield* writer.append(events)
      events.push(lost("b"))
      yield* same("the journal", textsOf(yield* journal(jobs, "job", 1)), ["a"])
    })
  ),

  "revisions have no gaps, and batches stay whole, however many are appended at once": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      const batches = upTo(40).map((batch) => upTo(1 + (batch % 4)).map((i) => `${batch}.${i}`))
      const appended = yield* Effect.all(
        batches.map((batch) => writer.append(batch.map(lost))),
        { concurrency: "unbounded" }
      )
      const records = yield* journal(jobs, "job")
      yield* same("the revisions", revisions(records), upTo(1 + batches.flat().length))
      for (const [index, batch] of batches.entries()) {
        const first = appended[index]?.[0]?.revision ?? 0
        yield* same(
          `the batch at revision ${first}`,
          textsOf(records.slice(first - 1, first - 1 + batch.length)),
          batch
        )
      }
    })
  ),

  "an append of thousands of events is written whole": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      const texts = upTo(3000).map((i) => `${i} ${"x".repeat(i % 2000)}`)
      const records = yield* writer.append(texts.map(lost))
      yield* same("the records that it gives", records.length, texts.length)
      yield* same(
        "whether read gives the same texts",
        textsOf(yield* journal(jobs, "job", 1)).join() === texts.join(),
        true
      )
    })
  ),

  "an interrupted append is written whole or not at all, and leaves no gap": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      for (const steps of [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]) {
        const batch = ["a", "b", "c"].map((text) => `${steps}${text}`)
        const fiber = yield* background(timing, writer.append(batch.map(lost)))
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        yield* within(timing, "its interruption", Fiber.interrupt(fiber))
        yield* writer.append([lost(`after ${steps}`)])
        const records = yield* journal(jobs, "job")
        yield* same("the revisions", revisions(records), upTo(records.length))
        const found = textsOf(records).filter((text) => batch.includes(text))
        yield* holds("it should be whole or not there", found.length === 0 || found.join() === batch.join(), found)
      }
    })
  ),

  "an interrupted append leaves those beside it alone": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      const kept = upTo(20).map((i) => `kept ${i}`)
      const appending = yield* Effect.forEach(kept, (text) =>
        Effect.all([
          background(timing, writer.append([lost(text)])),
          background(timing, writer.append([lost("doomed")]))
        ])
      )
      yield* within(timing, "their interruption", Fiber.interruptAll(appending.map(([, doomed]) => doomed)))
      for (const [fiber] of appending) yield* within(timing, "an append beside them", Fiber.join(fiber))
      const found = textsOf(yield* journal(jobs, "job", 1)).filter((text) => text !== "doomed")
      yield* same("what was kept", found.toSorted(), kept.toSorted())
    })
  ),

  "what a run appended is kept when its writer closes before it has said how the run ended": keepsAll
    ? withJob((jobs) =>
        Effect.gen(function* () {
          const first = yield* open(jobs, "job")
          yield* first.append([lost("a")])
          yield* first.close
          const second = yield* open(jobs, "job")
          yield* second.append([lost("b")])
          yield* same("the journal", textsOf(yield* journal(jobs, "job")), ["JobCreated", "a", "b"])
          yield* same("the run", second.run, 2)
        })
      )
    : undefined
})
