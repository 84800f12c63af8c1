/** What readers and watchers of a journal are given: every record once, in order. */
import type { JobRecord } from "@helios-infra/core/JobEvent"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { background, holds, same, within } from "../check.ts"
import { type Bench, open, type Promises } from "./bench.ts"
import { created, ended, journal, lost, revisions, textsOf, upTo } from "./journals.ts"

/** The promises. */
export const promises = ({ collecting, ends, sees, timing, withJob }: Bench): Promises => ({
  "read gives what is after a revision, in order, and ends": withJob((jobs) =>
    Effect.gen(function* () {
      for (const texts of [["a", "b"], ["c"]]) {
        const writer = yield* open(jobs, "job")
        yield* writer.append([...texts.map(lost), ended])
        yield* writer.close
      }
      const from = (after?: number) => within(timing, "read", Effect.map(journal(jobs, "job", after), revisions))
      yield* same("all", yield* from(), upTo(6))
      for (let after = 0; after <= 6; after++) {
        yield* same(`after ${after}`, yield* from(after), upTo(6).slice(after))
      }
      yield* same("after one that is yet to come", yield* from(99), [])
    })
  ),

  "changes gives what there is, then each append, across runs, every record once": withJob((jobs) =>
    Effect.gen(function* () {
      const first = yield* open(jobs, "job")
      yield* first.append([lost("history")])
      const { fiber, seen } = yield* collecting(jobs.changes("job", 1))
      yield* sees("the watcher", seen, 1)
      yield* first.append([lost("a"), lost("b")])
      yield* sees("the watcher", seen, 3)
      yield* first.append([ended])
      yield* first.close
      const second = yield* open(jobs, "job")
      yield* second.append([lost("c")])
      yield* sees("the watcher", seen, 5)
      yield* same("what it has seen", textsOf(seen), ["history", "a", "b", "RunEnded", "c"])
      yield* same("the revisions", revisions(seen), [2, 3, 4, 5, 6])
      yield* holds("it should go on", fiber.pollUnsafe() === undefined, fiber.pollUnsafe())
    })
  ),

  "every watcher sees every record once and in order, whenever it comes": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      const watchers: Array<ReadonlyArray<JobRecord>> = []
      for (const step of upTo(25)) {
        const appending = yield* background(timing, writer.append(upTo(step % 4).map((i) => lost(`${step}.${i}`))))
        if (step % 3 === 0) watchers.push((yield* collecting(jobs.changes("job", 0))).seen)
        yield* Effect.repeat(Effect.yieldNow, { times: step % 7 })
        yield* Fiber.join(appending)
      }
      const total = (yield* journal(jobs, "job")).length
      for (const seen of watchers) {
        yield* sees("a watcher", seen, total)
        yield* same("its revisions", revisions(seen), upTo(total))
      }
    })
  ),

  "changes after a revision that is yet to come waits for the one after it": withJob((jobs) =>
    Effect.gen(function* () {
      const { seen } = yield* collecting(jobs.changes("job", 3))
      const writer = yield* open(jobs, "job")
      yield* writer.append([lost("2"), lost("3")])
      yield* writer.append([lost("4")])
      yield* sees("the watcher", seen, 1)
      yield* same("what it has seen", revisions(seen), [4])
    })
  ),

  "changes ends when the job is deleted, after all that there was": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      const { fiber, seen } = yield* collecting(jobs.changes("job", 0))
      yield* writer.append([lost("a"), lost("b")])
      yield* sees("the watcher", seen, 3)
      yield* writer.close
      yield* jobs.delete("job")
      yield* ends("the watcher", fiber)
      yield* same("what it has seen", revisions(seen), [1, 2, 3])
    })
  ),

  "changes gives what is left to a slow watcher of a job that is deleted, and nothing of the next one": withJob(
    (jobs) =>
      Effect.gen(function* () {
        const writer = yield* open(jobs, "job")
        const slow = jobs.changes("job", 0).pipe(Stream.tap(() => Effect.sleep("20 millis")))
        const { fiber, seen } = yield* collecting(slow)
        yield* sees("the watcher", seen, 1)
        yield* writer.append([lost("a"), lost("b"), ended])
        yield* writer.close
        yield* jobs.delete("job")
        yield* jobs.create("job", created)
        yield* ends("the watcher", fiber)
        yield* same("what it has seen", textsOf(seen), ["JobCreated", "a", "b", "RunEnded"])
      })
  ),

  "a watcher that is interrupted disturbs nobody": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      for (const watch of [Stream.runDrain(jobs.changes("job", 1)), Stream.runDrain(jobs.requests("job"))]) {
        const watching = yield* background(timing, watch)
        yield* Effect.yieldNow
        yield* within(timing, "its interruption", Fiber.interrupt(watching))
      }
      yield* writer.append([lost("nobody watches")])
      yield* same("the journal", revisions(yield* journal(jobs, "job")), [1, 2])
    })
  )
})
