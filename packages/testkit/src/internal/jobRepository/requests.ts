/** What others ask of whoever writes a job. */
import * as Effect from "effect/Effect"
import { same } from "../check.ts"
import { type Bench, open, type Promises } from "./bench.ts"
import { cancel, created, pause } from "./journals.ts"

/** The promises. */
export const promises = ({ collecting, ends, fencing, sees, withJob }: Bench): Promises => ({
  "requests reach the current run in order, those from before it listened as well": withJob((jobs) =>
    Effect.gen(function* () {
      yield* open(jobs, "job")
      yield* jobs.request("job", pause)
      const { seen } = yield* collecting(jobs.requests("job"))
      yield* sees("the writer", seen, 1)
      yield* jobs.request("job", cancel)
      yield* sees("the writer", seen, 2)
      yield* same("what it has heard", seen, [pause, cancel])
    })
  ),

  "requests reach no later run": withJob((jobs) =>
    Effect.gen(function* () {
      yield* jobs.request("job", { _tag: "Cancel", by: "too early" })
      const first = yield* open(jobs, "job")
      yield* jobs.request("job", { _tag: "Cancel", by: "the first run" })
      const { seen } = yield* collecting(jobs.requests("job"))
      yield* sees("the first run", seen, 1)
      yield* same("what the first run has heard", seen, [{ _tag: "Cancel", by: "the first run" }])
      yield* first.close
      yield* jobs.request("job", { _tag: "Cancel", by: "between two runs" })
      yield* open(jobs, "job")
      const later = yield* collecting(jobs.requests("job"))
      yield* jobs.request("job", pause)
      yield* sees("the second run", later.seen, 1)
      yield* same("what the second run has heard", later.seen, [pause])
    })
  ),

  "requests of a run end when another one takes over": fencing
    ? withJob((jobs) =>
        Effect.gen(function* () {
          yield* open(jobs, "job")
          const { fiber, seen } = yield* collecting(jobs.requests("job"))
          yield* jobs.request("job", pause)
          yield* sees("the first run", seen, 1)
          yield* open(jobs, "job", "always")
          yield* ends("what the first run listens to", fiber)
          yield* jobs.request("job", cancel)
          yield* same("what the first run has heard", seen, [pause])
        })
      )
    : undefined,

  "requests end when the job is deleted": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      const { fiber, seen } = yield* collecting(jobs.requests("job"))
      yield* jobs.request("job", pause)
      yield* sees("who listens", seen, 1)
      yield* writer.close
      yield* jobs.delete("job")
      yield* ends("what it listens to", fiber)
    })
  ),

  "requests are heard by all who listen, and by nobody of another job": withJob((jobs) =>
    Effect.gen(function* () {
      yield* jobs.create("other", created)
      yield* open(jobs, "job")
      yield* open(jobs, "other")
      const [a, b, other] = [
        yield* collecting(jobs.requests("job")),
        yield* collecting(jobs.requests("job")),
        yield* collecting(jobs.requests("other"))
      ]
      yield* jobs.request("job", cancel)
      yield* jobs.request("other", pause)
      yield* sees("one", a.seen, 1)
      yield* sees("another", b.seen, 1)
      yield* sees("the other job", other.seen, 1)
      yield* same("what they have heard", [a.seen, b.seen, other.seen], [[cancel], [cancel], [pause]])
    })
  )
})
