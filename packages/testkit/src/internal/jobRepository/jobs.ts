/** Jobs as a whole: created once under whatever id, listed, deleted. */
import { JobRepository } from "@helios-infra/core/JobRepository"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { holds, same } from "../check.ts"
import { type Bench, failsWith, open, operations, type Promises } from "./bench.ts"
import { created, ended, journal, lost, nastyIds, revisions, spec, textsOf, upTo } from "./journals.ts"

/** The promises. */
export const promises = ({ crossProcess, fencing, withJob }: Bench): Promises => ({
  "it says of itself what it was tested for": Effect.gen(function* () {
    const { guarantees } = yield* JobRepository
    yield* same("guarantees.fencing", guarantees.fencing, fencing)
    yield* same("guarantees.crossProcess", guarantees.crossProcess, crossProcess)
  }),

  "a created job begins with its first event, outside any run": Effect.gen(function* () {
    const jobs = yield* JobRepository
    const before = yield* Clock.currentTimeMillis
    yield* jobs.create("job", created)
    const after = yield* Clock.currentTimeMillis
    const records = yield* journal(jobs, "job")
    yield* same(
      "its journal",
      records.map(({ event, revision, run }) => ({ event, revision, run })),
      [{ event: created, revision: 1, run: 0 }]
    )
    const at = records[0]?.at ?? 0
    yield* holds(`its time should be between ${before} and ${after}`, at >= before - 1 && at <= after + 1, at)
  }),

  "a second job of the same id is refused, and leaves the first as it is": withJob((jobs) =>
    Effect.gen(function* () {
      const again = jobs.create("job", { ...created, spec: { ...spec, id: "other" } })
      yield* failsWith("create", "AlreadyExists", "job", again)
      yield* same("the first event", (yield* journal(jobs, "job"))[0]?.event, created)
      const writer = yield* open(jobs, "job")
      yield* writer.append([lost("kept")])
      yield* failsWith("create while somebody writes", "AlreadyExists", "job", again)
      yield* same("the first job", textsOf(yield* journal(jobs, "job")), ["JobCreated", "kept"])
      yield* writer.append([lost("still mine")])
    })
  ),

  "of many that create one id at once, one succeeds": Effect.gen(function* () {
    const jobs = yield* JobRepository
    const tries = yield* Effect.all(
      upTo(8).map(() => Effect.result(jobs.create("job", created))),
      { concurrency: "unbounded" }
    )
    yield* same("how many succeeded", tries.filter(Result.isSuccess).length, 1)
    yield* same("the journal", revisions(yield* journal(jobs, "job")), [1])
  }),

  "a job that was never created is NotFound, whatever is asked of it": Effect.gen(function* () {
    const jobs = yield* JobRepository
    for (const [what, operation] of operations(jobs, "never")) {
      yield* failsWith(what, "NotFound", "never", Effect.scoped(operation))
    }
    yield* same("the list", yield* Stream.runCollect(jobs.list()), [])
  }),

  "jobs are kept apart, whatever characters their ids have": Effect.gen(function* () {
    const jobs = yield* JobRepository
    for (const id of nastyIds) yield* jobs.create(id, { ...created, spec: { ...spec, id } })
    for (const id of nastyIds) {
      const writer = yield* open(jobs, id)
      yield* writer.append([lost(`of ${id}`), ended])
      yield* writer.close
    }
    for (const id of nastyIds) {
      yield* same(`the journal of ${id}`, textsOf(yield* journal(jobs, id)), ["JobCreated", `of ${id}`, "RunEnded"])
    }
    const listed = yield* Stream.runCollect(jobs.list())
    yield* same("the ids that are listed", listed.map(({ id }) => id).toSorted(), nastyIds.toSorted())
    yield* jobs.delete("..")
    yield* same("the journal of .", textsOf(yield* journal(jobs, ".")), ["JobCreated", "of .", "RunEnded"])
    yield* same("how many are left", (yield* Stream.runCollect(jobs.list())).length, nastyIds.length - 1)
  }),

  "delete is refused while somebody writes": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      yield* failsWith("delete", "Running", "job", jobs.delete("job"))
      yield* writer.append([lost("still here")])
      yield* writer.close
      yield* jobs.delete("job")
      yield* failsWith("a second delete", "NotFound", "job", jobs.delete("job"))
    })
  ),

  "a deleted job is gone, and its id begins anew": withJob((jobs) =>
    Effect.gen(function* () {
      const writer = yield* open(jobs, "job")
      yield* writer.append([lost("of the first")])
      yield* writer.close
      yield* jobs.delete("job")
      for (const [what, operation] of operations(jobs, "job")) {
        yield* failsWith(what, "NotFound", "job", Effect.scoped(operation))
      }
      yield* same("the list", yield* Stream.runCollect(jobs.list()), [])
      yield* jobs.create("job", created)
      yield* same("the first run of the second", (yield* open(jobs, "job")).run, 1)
      yield* failsWith("an append of a writer of the first", "NotFound", "job", writer.append([lost("late")]))
      yield* same("the journal of the second", textsOf(yield* journal(jobs, "job")), ["JobCreated"])
    })
  ),

  "list gives every job once, newest first, as its journal says": Effect.gen(function* () {
    const jobs = yield* JobRepository
    const ids = ["pending", "running", "paused", "completed", "failed", "cancelled"]
    for (const id of ids) {
      yield* jobs.create(id, created)
      // Jobs of the same moment have no order.
      yield* Effect.sleep("5 millis")
    }
    const running = yield* open(jobs, "running")
    yield* running.append([{ _tag: "RunStarted", run: 1, owner: running.owner }])
    for (const how of ["paused", "completed", "failed", "cancelled"] as const) {
      const writer = yield* open(jobs, how)
      yield* writer.append([{ _tag: "RunStarted", run: 1, owner: writer.owner }])
      yield* writer.append([{ _tag: "RunEnded", run: 1, how, leftover: [] }])
      yield* writer.close
      yield* Effect.sleep("5 millis")
    }
    const all = yield* Stream.runCollect(jobs.list())
    yield* same(
      "the ids",
      all.map(({ id }) => id),
      ids.toReversed()
    )
    for (const job of all) {
      yield* same(`the status of ${job.id}`, job.status, job.id)
      yield* same(`the run of ${job.id}`, job.run, job.id === "pending" ? 0 : 1)
      yield* same(`the progress of ${job.id}`, job.progress, job.id === "completed" ? 1 : 0)
      yield* holds(`the chunks of ${job.id} should be left out`, !("chunks" in job), job)
      yield* same(`the owner of ${job.id}`, job.owner, job.id === "running" ? "alive" : "none")
      const [first, ...others] = yield* journal(jobs, job.id)
      yield* same(`when ${job.id} was created`, job.createdAt, first?.at)
      yield* same(`when ${job.id} was updated`, job.updatedAt, (others.at(-1) ?? first)?.at)
    }
    const found = (filter: Parameters<JobRepository["Service"]["list"]>[0]) =>
      Effect.map(Stream.runCollect(jobs.list(filter)), (some) => some.map(({ id }) => id))
    yield* same("paused or failed", yield* found({ status: ["paused", "failed"] }), ["failed", "paused"])
    yield* same(
      "of any status, at any time",
      yield* found({ status: undefined, updatedAfter: undefined }),
      ids.toReversed()
    )
    yield* same("of no status", yield* found({ status: [] }), [])
    const updatedAfter = all.find(({ id }) => id === "completed")?.updatedAt
    yield* same("updated later", yield* found({ updatedAfter }), ["cancelled", "failed"])
    yield* same("both", yield* found({ updatedAfter, status: ["paused", "failed"] }), ["failed"])
  }),

  "list looks when it is read, not when it is made": Effect.gen(function* () {
    const jobs = yield* JobRepository
    const list = jobs.list()
    yield* same("the jobs before", (yield* Stream.runCollect(list)).length, 0)
    yield* jobs.create("job", created)
    yield* same("the jobs after", (yield* Stream.runCollect(list)).length, 1)
  })
})
