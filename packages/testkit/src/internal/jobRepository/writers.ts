/** Who may write a job: one at a time, until its scope closes or another one takes over. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import { eventually, failureOf, same, within } from "../check.ts"
import { type Bench, failsWith, open, type Promises } from "./bench.ts"
import { ended, journal, lost, revisions, upTo } from "./journals.ts"

/** The promises. */
export const promises = ({ aside, fencing, timing, withJob }: Bench): Promises => ({
  "runs count from 1, also those that wrote nothing": withJob((jobs) =>
    Effect.gen(function* () {
      for (const run of [1, 2, 3]) {
        const writer = yield* open(jobs, "job")
        yield* same("the run", writer.run, run)
        yield* writer.close
      }
    })
  ),

  "while a writer lives, another one is refused with Running and the first goes on": withJob((jobs) =>
    Effect.gen(function* () {
      const first = yield* open(jobs, "job")
      const error = yield* failsWith("openWriter", "Running", "job", open(jobs, "job"))
      yield* same("the owner", error.reason._tag === "Running" ? error.reason.owner : undefined, first.owner)
      yield* first.append([lost("still mine"), ended])
      yield* first.close
      yield* same("the run after it has closed", (yield* open(jobs, "job")).run, 2)
    })
  ),

  "a writer is gone with its scope, also when that fails or is interrupted": withJob((jobs) =>
    Effect.gen(function* () {
      const opened = yield* Effect.scoped(jobs.openWriter("job", { takeOver: "if-dead" }))
      yield* same("the first run", opened.run, 1)
      const failing = jobs.openWriter("job", { takeOver: "if-dead" }).pipe(Effect.andThen(Effect.fail("on purpose")))
      yield* same("the failure", yield* failureOf("the second run", Effect.scoped(failing)), "on purpose")
      let writing = false
      const fiber = yield* jobs.openWriter("job", { takeOver: "if-dead" }).pipe(
        Effect.andThen(
          Effect.sync(() => {
            writing = true
          })
        ),
        Effect.andThen(Effect.never),
        Effect.scoped,
        aside
      )
      yield* eventually(
        timing,
        "the third run should begin",
        Effect.sync(() => writing)
      )
      yield* within(timing, "its interruption", Fiber.interrupt(fiber))
      yield* same("the run after them", (yield* open(jobs, "job")).run, 4)
    })
  ),

  "of many that open at once, one gets the job": withJob((jobs) =>
    Effect.gen(function* () {
      const tries = yield* Effect.all(
        upTo(8).map(() => Effect.result(open(jobs, "job"))),
        { concurrency: "unbounded" }
      )
      const writers = tries.filter(Result.isSuccess)
      yield* same("how many opened", writers.length, 1)
      for (const { success } of writers) yield* success.append([lost("mine")])
      yield* same("the journal", revisions(yield* journal(jobs, "job")), [1, 2])
    })
  ),

  "of an interrupted openWriter nothing is left that keeps others out": withJob((jobs) =>
    Effect.gen(function* () {
      for (const steps of [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]) {
        const fiber = yield* jobs
          .openWriter("job", { takeOver: "if-dead" })
          .pipe(Effect.andThen(Effect.never), Effect.scoped, aside)
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        yield* within(timing, "its interruption", Fiber.interrupt(fiber))
        const next = yield* open(jobs, "job")
        yield* next.close
      }
    })
  ),

  "a writer that was taken over is fenced: its append fails and writes nothing": fencing
    ? withJob((jobs) =>
        Effect.gen(function* () {
          const first = yield* open(jobs, "job")
          yield* first.append([lost("before")])
          const second = yield* open(jobs, "job", "always")
          yield* same("the later run", second.run, 2)
          const error = yield* failsWith(
            "a stale append",
            "Fenced",
            "job",
            first.append([lost("stale"), lost("stale")])
          )
          yield* same("the run that it names", error.reason._tag === "Fenced" ? error.reason.run : undefined, 1)
          yield* second.append([lost("after")])
          yield* failsWith("a second stale append", "Fenced", "job", first.append([lost("stale")]))
          const records = yield* journal(jobs, "job", 1)
          yield* same(
            "the journal",
            records.map(({ event, revision, run }) => ({ event, revision, run })),
            [
              { event: lost("before"), revision: 2, run: 1 },
              { event: lost("after"), revision: 3, run: 2 }
            ]
          )
        })
      )
    : undefined,

  "a fenced writer that closes does not take the job from the later one": fencing
    ? withJob((jobs) =>
        Effect.gen(function* () {
          const first = yield* open(jobs, "job")
          const second = yield* open(jobs, "job", "always")
          yield* first.close
          yield* failsWith("openWriter", "Running", "job", open(jobs, "job"))
          yield* second.append([lost("still mine")])
        })
      )
    : undefined,

  "those that take over at once get a run each, and the last one can write": fencing
    ? withJob((jobs) =>
        Effect.gen(function* () {
          const writers = yield* Effect.all(
            upTo(6).map(() => open(jobs, "job", "always")),
            { concurrency: "unbounded" }
          )
          yield* same(
            "the runs",
            writers.map(({ run }) => run).toSorted((a, b) => a - b),
            upTo(6)
          )
          for (const writer of writers) {
            const appended = yield* Effect.result(writer.append([lost("mine")]))
            yield* same(`whether run ${writer.run} can write`, Result.isSuccess(appended), writer.run === 6)
          }
          yield* same("the journal", revisions(yield* journal(jobs, "job")), [1, 2])
        })
      )
    : undefined
})
