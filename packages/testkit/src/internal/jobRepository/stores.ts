/** A store that is opened again, by this process or another one. */
import * as Effect from "effect/Effect"
import { same } from "../check.ts"
import { type Bench, failsWith, open, Reopen, type Promises } from "./bench.ts"
import { cancel, created, journal, lost, nastyTexts, revisions, textsOf } from "./journals.ts"

/** The promises. */
export const promises = ({ collecting, crossProcess, fencing, reopens, sees, withTwo }: Bench): Promises => ({
  "what was appended is there for who opens the store again": reopens
    ? withTwo((jobs, _others) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          yield* writer.append([lost("a")])
          yield* writer.append(nastyTexts.map(lost))
          yield* writer.close
        })
      ).pipe(
        Effect.andThen(
          Effect.gen(function* () {
            const later = yield* yield* Reopen
            yield* same("the journal", textsOf(yield* journal(later, "job")), ["JobCreated", "a", ...nastyTexts])
            const writer = yield* open(later, "job")
            yield* same("the next run", writer.run, 2)
            yield* same("the next revision", revisions(yield* writer.append([lost("b")])), [nastyTexts.length + 3])
            yield* failsWith("create", "AlreadyExists", "job", later.create("job", created))
          })
        )
      )
    : undefined,

  "a writer of another process is fenced by who takes over":
    reopens && crossProcess && fencing
      ? withTwo((jobs, others) =>
          Effect.gen(function* () {
            const first = yield* open(jobs, "job")
            yield* first.append([lost("before")])
            yield* failsWith("openWriter elsewhere", "Running", "job", open(others, "job"))
            const second = yield* open(others, "job", "always")
            yield* same("the later run", second.run, 2)
            yield* failsWith("a stale append", "Fenced", "job", first.append([lost("stale")]))
            yield* second.append([lost("after")])
            for (const either of [jobs, others]) {
              yield* same("the journal", textsOf(yield* journal(either, "job")), ["JobCreated", "before", "after"])
            }
          })
        )
      : undefined,

  "appends and requests are seen in another process":
    reopens && crossProcess
      ? withTwo((jobs, others) =>
          Effect.gen(function* () {
            const writer = yield* open(jobs, "job")
            const watcher = yield* collecting(others.changes("job", 0))
            const heard = yield* collecting(jobs.requests("job"))
            yield* sees("a watcher elsewhere", watcher.seen, 1)
            yield* writer.append([lost("a"), lost("b")])
            yield* sees("a watcher elsewhere", watcher.seen, 3)
            yield* same("what it has seen", textsOf(watcher.seen), ["JobCreated", "a", "b"])
            yield* others.request("job", cancel)
            yield* sees("the writer", heard.seen, 1)
            yield* same("what it has heard", heard.seen, [cancel])
            yield* failsWith("delete elsewhere", "Running", "job", others.delete("job"))
          })
        )
      : undefined
})
