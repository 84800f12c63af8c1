/** Jobs whose process died, or that somebody elsewhere runs: `resume`, `recover`, `takeOver`, `pause`, `delete`. */
import { assert, describe, it } from "@effect/vitest"
import {
  type JobError,
  type JobEvent,
  JobManager,
  JobRepository,
  WorkerAdapter,
  WorkerError,
  Workspace
} from "@helios-infra/core"
import { Effect, Fiber, Option, type Scope, Stream } from "effect"
import * as Fakes from "./Fakes.ts"
import { pass, settle } from "./TestTime.ts"

const out = { outputFile: "out.mp4" }

type Jobs = JobManager.JobManager["Service"]

/** Runs a test against a manager on a machine. */
const on = <A, E>(
  machine: Fakes.Machine,
  test: (
    jobs: Jobs,
    repository: JobRepository.JobRepository["Service"]
  ) => Effect.Effect<A, E, Scope.Scope | JobRepository.JobRepository>
) =>
  Effect.gen(function* () {
    return yield* test(yield* JobManager.JobManager, yield* JobRepository.JobRepository)
  }).pipe(Effect.provide(Fakes.layerManager(machine, { stitch: true })))

const reasonOf = <A>(effect: Effect.Effect<A, JobError.JobError>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

const started = (run: number, more: { readonly outputFile?: string } = {}): JobEvent.JobEvent => ({
  _tag: "RunStarted",
  run,
  owner: { host: "here", pid: 1 },
  ...more
})
const attempt = (chunk: number): JobEvent.JobEvent => ({ _tag: "AttemptStarted", chunk, attempt: 1 })
const assigned = (chunk: number, handle: string): JobEvent.JobEvent => ({
  _tag: "AttemptAssigned",
  chunk,
  attempt: 1,
  handle
})
const place = (chunk: number) => `/job/.helios/film/${chunk}`
const accepted = (chunk: number, bytes = 100): JobEvent.JobEvent => ({
  _tag: "ChunkAccepted",
  chunk,
  attempt: 1,
  output: { location: place(chunk), bytes },
  durationMs: 1
})

/** A run of a job whose process died after these events; each accepted output is there, unless it is not. */
const died = Effect.fnUntraced(function* (
  machine: Fakes.Machine,
  repository: JobRepository.JobRepository["Service"],
  events: (run: number) => ReadonlyArray<JobEvent.JobEvent>
) {
  yield* Effect.scoped(
    Effect.gen(function* () {
      const writer = yield* repository.openWriter("film", { takeOver: "if-dead" })
      yield* writer.append(events(writer.run))
    })
  )
  for (const event of events(0)) {
    if (event._tag === "ChunkAccepted") machine.files.set(event.output.location, event.output.bytes)
  }
})

const eventsOf = (repository: JobRepository.JobRepository["Service"], tag: JobEvent.JobEvent["_tag"]) =>
  Effect.map(Stream.runCollect(repository.read("film")), (records) =>
    records.map(({ event }) => event).filter(({ _tag }) => _tag === tag)
  )

const rendered = (machine: Fakes.Machine) => machine.attempts.map(({ chunkId }) => chunkId)

describe("resume", () => {
  it.effect("keeps what was accepted, and renders everything else into the file that was asked for", () => {
    const machine = Fakes.machine()
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(4), { id: "film" })
        yield* died(machine, repository, (run) => [
          started(run, out),
          attempt(0),
          attempt(1),
          accepted(0),
          attempt(2),
          accepted(2)
        ])
        const job = yield* jobs.resume("film")
        assert.strictEqual(job.status, "completed")
        assert.strictEqual(job.outputFile, "/job/out.mp4")
        assert.sameMembers(rendered(machine), [1, 3])
        assert.deepStrictEqual(machine.stitched, [[0, 1, 2, 3]])
      })
    )
  })

  it.effect("takes another file when it is told to, and none where nothing would make it", () => {
    const machine = Fakes.machine()
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "film" })
        yield* died(machine, repository, (run) => [started(run, out)])
        assert.strictEqual((yield* jobs.resume("film", { outputFile: "other.mp4" })).outputFile, "/job/other.mp4")
      })
    )
  })

  it.effect("renders a chunk again whose output is gone, or has another size, and stitches none of it before", () => {
    const machine = Fakes.machine()
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(4), { id: "film" })
        yield* died(machine, repository, (run) => [
          started(run, out),
          ...[0, 1, 2, 3].flatMap((chunk) => [attempt(chunk), accepted(chunk)])
        ])
        machine.files.delete(place(1))
        machine.files.set(place(2), 7)
        const job = yield* jobs.resume("film")
        assert.strictEqual(job.status, "completed")
        assert.sameMembers(rendered(machine), [1, 2])
        assert.deepStrictEqual(machine.stitched, [[0, 1, 2, 3]])
        assert.deepStrictEqual(yield* eventsOf(repository, "OutputLost"), [
          { _tag: "OutputLost", chunk: 1, attempt: 1, found: "no file" },
          { _tag: "OutputLost", chunk: 2, attempt: 1, found: "7 bytes" }
        ])
      })
    )
  })

  it.effect("does not wait for its looks before it renders what is open", () => {
    const machine = Fakes.machine(() => Effect.sleep("1 second"))
    const workspace = { ...machine.workspace, stat: () => Effect.delay(Effect.succeedSome({ bytes: 100 }), "1 hour") }
    return on({ ...machine, workspace: Workspace.Workspace.of(workspace) }, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(2), { id: "film" })
        yield* died(machine, repository, (run) => [started(run), attempt(0), accepted(0)])
        const check = {
          check: (_: unknown, result: WorkerAdapter.WorkerResult) =>
            Effect.succeed(result.output ?? { location: "", bytes: 0 })
        }
        const running = yield* Effect.forkChild(jobs.resume("film", { ...out, outputCheck: check }))
        yield* pass("2 seconds")
        assert.deepStrictEqual(
          machine.attempts.map(({ chunkId, ended }) => ({ chunkId, ended })),
          [{ chunkId: 1, ended: "done" }]
        )
        yield* Fiber.interrupt(running)
      })
    )
  })

  it.effect("trusts an output that nobody can look for now", () => {
    const machine = Fakes.machine()
    const unavailable = new Workspace.WorkspaceError({ path: "x", reason: "Unavailable", cause: new Error("NFS") })
    const workspace = {
      ...machine.workspace,
      stat: (output: WorkerAdapter.OutputRef) =>
        output.location === place(0) ? Effect.fail(unavailable) : machine.workspace.stat(output)
    }
    return on({ ...machine, workspace: Workspace.Workspace.of(workspace) }, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(2), { id: "film" })
        yield* died(machine, repository, (run) => [started(run), attempt(0), accepted(0)])
        assert.strictEqual((yield* jobs.resume("film", out)).status, "completed")
        assert.deepStrictEqual(rendered(machine), [1])
      })
    )
  })

  describe("what a dead process left", () => {
    const reaping = (machine: Fakes.Machine, reap: WorkerAdapter.WorkerAdapter["Service"]["reap"]): Fakes.Machine => ({
      ...machine,
      adapter: { ...machine.adapter, reap }
    })

    it.effect("is ended before anything is rendered, by the handles of attempts that did not end", () => {
      const machine = Fakes.machine()
      const reaped: Array<unknown> = []
      const withReap = reaping(machine, (jobId, handles) =>
        Effect.sync(() => {
          reaped.push([jobId, handles, machine.attempts.length])
          return { leftover: ["process 7"] }
        })
      )
      return on(withReap, (jobs, repository) =>
        Effect.gen(function* () {
          yield* jobs.create(Fakes.job(3), { id: "film" })
          yield* died(machine, repository, (run) => [
            started(run),
            attempt(0),
            attempt(1),
            assigned(0, "zero"),
            assigned(1, "one"),
            accepted(0),
            attempt(2)
          ])
          assert.deepStrictEqual((yield* jobs.resume("film", out)).leftover, ["process 7"])
          assert.deepStrictEqual(reaped, [["film", ["one"], 0]])
        })
      )
    })

    it.effect("is looked for by the adapter of the merge command as well, which may still write the final file", () => {
      const machine = Fakes.machine()
      const reaped: Array<unknown> = []
      const mergeAdapter = WorkerAdapter.make({
        ...machine.adapter,
        reap: (jobId, handles) =>
          Effect.sync(() => {
            reaped.push([jobId, handles, machine.attempts.length])
            return { leftover: ["process 8"] }
          })
      })
      const withReap = reaping(machine, () => Effect.succeed({ leftover: ["process 7"] }))
      return on(withReap, (jobs, repository) =>
        Effect.gen(function* () {
          yield* jobs.create(Fakes.job(1), { id: "film" })
          yield* died(machine, repository, (run) => [started(run), attempt(0), assigned(0, "zero")])
          const { leftover } = yield* jobs.resume("film", { ...out, mergeAdapter })
          assert.deepStrictEqual(leftover, ["process 7", "process 8"])
          assert.deepStrictEqual(reaped, [["film", [], 0]])
        })
      )
    })

    it.effect("is not looked for after a run that ended", () => {
      const machine = Fakes.machine()
      const withReap = reaping(machine, () => Effect.die(new Error("nobody asked")))
      return on(withReap, (jobs, repository) =>
        Effect.gen(function* () {
          yield* jobs.create(Fakes.job(1), { id: "film" })
          yield* died(machine, repository, (run) => [
            started(run),
            attempt(0),
            assigned(0, "zero"),
            { _tag: "RunEnded", run, how: "failed", leftover: [] }
          ])
          assert.isFalse("leftover" in (yield* jobs.resume("film", out)))
        })
      )
    })

    it.effect.each([
      { how: "fails", reap: Effect.die(new Error("no")) },
      { how: "never answers", reap: Effect.never }
    ])("is told of where looking for it $how", ({ reap }) => {
      const machine = Fakes.machine()
      return on(
        reaping(machine, () => reap),
        (jobs, repository) =>
          Effect.gen(function* () {
            yield* jobs.create(Fakes.job(1), { id: "film" })
            yield* died(machine, repository, (run) => [started(run), attempt(0)])
            const running = yield* Effect.forkChild(jobs.resume("film", out))
            yield* pass("61 seconds", "1 second")
            const job = yield* Fiber.join(running)
            assert.strictEqual(job.status, "completed")
            assert.match(job.leftover?.join() ?? "", /may still run/)
          })
      )
    })
  })
})

describe("recover", () => {
  it.effect("runs jobs on whose process died, the oldest first, and no other", () => {
    const machine = Fakes.machine(({ job }) => (job.meta.jobId === "alive" ? Effect.never : Effect.void))
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        for (const id of ["film", "later", "alive", "fresh", "done"]) yield* jobs.create(Fakes.job(1), { id })
        yield* died(machine, repository, (run) => [started(run, out)])
        yield* Effect.scoped(
          Effect.flatMap(repository.openWriter("later", { takeOver: "if-dead" }), (writer) =>
            writer.append([started(writer.run, { outputFile: "later.mp4" })])
          )
        )
        yield* jobs.start("alive", out)
        yield* jobs.run("done", out)
        const before = machine.attempts.length
        assert.deepStrictEqual(yield* jobs.recover(), [
          { jobId: "film", how: "resumed" },
          { jobId: "later", how: "resumed" }
        ])
        yield* settle
        assert.strictEqual((yield* jobs.get("film")).outputFile, "/job/out.mp4")
        assert.strictEqual((yield* jobs.get("later")).outputFile, "/job/later.mp4")
        assert.strictEqual(machine.attempts.length, before + 2)
        assert.strictEqual((yield* jobs.get("fresh")).status, "pending")
        assert.deepStrictEqual(yield* jobs.recover(), [])
      })
    )
  })

  it.effect("runs them as it is told to, one after the other, and goes on after one that fails", () => {
    const machine = Fakes.machine(({ fail, job }) =>
      job.meta.jobId === "film" ? fail(Fakes.reasonOf.refused) : Effect.void
    )
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        for (const id of ["film", "other"]) yield* jobs.create(Fakes.job(1), { id })
        yield* died(machine, repository, (run) => [started(run)])
        yield* Effect.scoped(
          Effect.flatMap(repository.openWriter("other", { takeOver: "if-dead" }), (writer) =>
            writer.append([started(writer.run)])
          )
        )
        const [first, second] = yield* jobs.recover({ run: ({ id }, more) => jobs.run(id, { ...out, ...more }) })
        assert(first?.how === "error")
        assert.match(first.error.message, /write a better one/)
        assert.deepStrictEqual(second, { jobId: "other", how: "resumed" })
        assert.strictEqual((yield* jobs.get("other")).status, "completed")
      })
    )
  })

  it.effect.each(["cancelled", "paused"] as const)("lets a job that was being %s be so", (how) => {
    const machine = Fakes.machine()
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "film" })
        yield* died(machine, repository, (run) => [started(run), attempt(0), { _tag: "StopRequested", how }])
        assert.deepStrictEqual(yield* jobs.recover(), [{ jobId: "film", how: "settled" }])
        assert.strictEqual((yield* jobs.get("film")).status, how)
        assert.strictEqual(machine.attempts.length, 0)
      })
    )
  })

  it.effect("leaves a job alone that somebody has paused or cancelled since it was found", () => {
    const machine = Fakes.machine()
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "film" })
        yield* jobs.create(Fakes.job(1), { id: "other" })
        yield* died(machine, repository, (run) => [started(run)])
        yield* Effect.scoped(
          Effect.flatMap(repository.openWriter("other", { takeOver: "if-dead" }), (writer) =>
            writer.append([started(writer.run)])
          )
        )
        // Of two jobs that were found, the second one is paused while the first one is run on.
        const recovered = yield* jobs.recover({ run: () => jobs.pause("other") })
        assert.deepStrictEqual(recovered, [
          { jobId: "film", how: "resumed" },
          { jobId: "other", how: "settled" }
        ])
        assert.strictEqual((yield* jobs.get("other")).status, "paused")
        assert.strictEqual(machine.attempts.length, 0)
      })
    )
  })

  it.effect("gives a job up that ends its process again and again, until somebody resumes it by hand", () => {
    const machine = Fakes.machine()
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(2), { id: "film" })
        const dies = died(machine, repository, (run) => [started(run, out), attempt(0)])
        yield* dies
        yield* dies
        // It got on, so it may get there.
        yield* died(machine, repository, (run) => [started(run, out), attempt(0), accepted(0)])
        yield* dies
        yield* dies
        assert.strictEqual((yield* jobs.get("film")).brokenOff, 1)
        yield* dies
        assert.deepStrictEqual(yield* jobs.recover({ brokenOff: 4 }).pipe(Effect.map((all) => all.length)), 1)
        yield* settle
        yield* jobs.create(Fakes.job(2), { id: "poison" })
        for (let run = 0; run < 3; run++) {
          yield* Effect.scoped(
            Effect.flatMap(repository.openWriter("poison", { takeOver: "if-dead" }), (writer) =>
              writer.append([started(writer.run, out)])
            )
          )
        }
        assert.deepStrictEqual(yield* jobs.recover(), [{ jobId: "poison", how: "given-up" }])
        const job = yield* jobs.get("poison")
        assert.strictEqual(job.status, "failed")
        assert.strictEqual(job.error?._tag, "BrokenOff")
        assert.match(job.error?.message ?? "", /died in 3 runs in a row/)
        assert.deepStrictEqual(yield* jobs.recover(), [])
        assert.strictEqual((yield* jobs.resume("poison")).status, "completed")
      })
    )
  })
})

describe("takeOver", () => {
  it.effect("refuses a job that runs elsewhere, saying who runs it", () => {
    const machine = Fakes.machine(() => Effect.never)
    return on(machine, (jobs) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "film" })
        yield* jobs.start("film", out)
        const reason = yield* reasonOf(jobs.run("film", out))
        assert(reason._tag === "RepositoryError" && reason.reason._tag === "Running")
        assert.match(reason.message, /run by this process/)
        assert.match(reason.message, /takeOver/)
      })
    )
  })

  it.effect("stops whoever was taken over at once, without harm to the job", () => {
    let slow = true
    const machine = Fakes.machine(({ chunkId }) => (chunkId > 0 && slow ? Effect.never : Effect.void))
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(3), { id: "film" })
        const first = yield* Effect.forkChild(Effect.flip(jobs.run("film", out)))
        yield* settle
        slow = false
        const job = yield* jobs.run("film", { takeOver: "always" })
        assert.strictEqual(job.status, "completed")
        const { reason } = yield* Fiber.join(first)
        assert(reason._tag === "RepositoryError" && reason.reason._tag === "Fenced")
        assert.strictEqual(machine.running(), 0)
        assert.deepStrictEqual(rendered(machine).filter((chunk) => chunk === 0).length, 1)
        assert.deepStrictEqual(yield* eventsOf(repository, "RunEnded"), [
          { _tag: "RunEnded", run: 2, how: "completed", leftover: [] }
        ])
        assert.deepStrictEqual([...machine.files.keys()], ["/job/out.mp4"])
      })
    )
  })
})

describe("pause", () => {
  it.effect("does not undo a cancel over which the process died", () => {
    const machine = Fakes.machine()
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "film" })
        yield* died(machine, repository, (run) => [started(run), { _tag: "StopRequested", how: "cancelled" }])
        assert.strictEqual((yield* jobs.pause("film")).status, "cancelled")
      })
    )
  })

  it.effect("drains: what runs is waited for and counts, nothing else begins", () => {
    const machine = Fakes.machine(() => Effect.sleep("10 seconds"))
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(5), { id: "film" })
        yield* jobs.start("film", out)
        yield* settle
        const pausing = yield* Effect.forkChild(jobs.pause("film", { mode: "drain" }))
        yield* pass("5 seconds")
        assert.strictEqual(machine.running(), 2)
        assert.strictEqual((yield* jobs.get("film")).stopping, "paused")
        yield* pass("6 seconds")
        const job = yield* Fiber.join(pausing)
        assert.strictEqual(job.status, "paused")
        assert.strictEqual(job.chunks.filter(({ status }) => status === "accepted").length, 2)
        assert.deepStrictEqual(
          machine.attempts.map(({ ended }) => ended),
          ["done", "done"]
        )
        // Asked once, however long it took.
        assert.strictEqual((yield* eventsOf(repository, "StopRequested")).length, 1)
      })
    )
  })

  it.effect("that drains can become a cancel", () => {
    const machine = Fakes.machine(() => Effect.sleep("1 hour"))
    return on(machine, (jobs) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(5), { id: "film" })
        yield* jobs.start("film", out)
        yield* settle
        yield* Effect.forkChild(jobs.pause("film", { mode: "drain" }))
        yield* pass("5 seconds")
        const cancelling = yield* Effect.forkChild(jobs.cancel("film"))
        yield* pass("1 second")
        assert.strictEqual((yield* Fiber.join(cancelling)).status, "cancelled")
        assert.strictEqual(machine.running(), 0)
      })
    )
  })

  it.effect("that drains does not wait for a platform that is full", () => {
    const machine = Fakes.machine(({ fail }) => fail(new WorkerError.Throttled({ retryAfterMs: 600_000 })))
    return on(machine, (jobs) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(2), { id: "film" })
        yield* jobs.start("film", out)
        yield* pass("5 seconds")
        const pausing = yield* Effect.forkChild(jobs.pause("film", { mode: "drain" }))
        yield* pass("2 seconds")
        assert.strictEqual((yield* Fiber.join(pausing)).status, "paused")
      })
    )
  })

  it.effect("that drains ends a run that has not begun a chunk yet", () => {
    const machine = Fakes.machine()
    const adapter = { ...machine.adapter, reap: () => Effect.delay(Effect.succeed({ leftover: [] }), "10 seconds") }
    return on({ ...machine, adapter }, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(3), { id: "film" })
        yield* died(machine, repository, (run) => [started(run, out), attempt(0), accepted(0), attempt(1)])
        yield* jobs.start("film", out)
        const pausing = yield* Effect.forkChild(jobs.pause("film", { mode: "drain" }))
        yield* pass("12 seconds")
        assert.strictEqual((yield* Fiber.join(pausing)).status, "paused")
        assert.deepStrictEqual(rendered(machine), [])
      })
    )
  })

  it.effect("that drains lets a job be completed of which every chunk was under way", () => {
    const machine = Fakes.machine(() => Effect.sleep("10 seconds"))
    return on(machine, (jobs) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(2), { id: "film" })
        yield* jobs.start("film", out)
        yield* settle
        const pausing = yield* Effect.forkChild(jobs.pause("film", { mode: "drain" }))
        yield* pass("12 seconds")
        const job = yield* Fiber.join(pausing)
        assert.strictEqual(job.status, "completed")
        assert.isFalse("stopping" in job)
      })
    )
  })
})

describe("delete", () => {
  it.effect("keeps the outputs of a job whose next run is beginning", () => {
    const machine = Fakes.machine()
    return on(machine, (jobs, repository) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(2), { id: "film" })
        yield* died(machine, repository, (run) => [
          started(run, out),
          attempt(0),
          accepted(0),
          { _tag: "RunEnded", run, how: "paused", leftover: [] }
        ])
        // Somebody has the job, and has not said so in its journal yet.
        yield* repository.openWriter("film", { takeOver: "if-dead" })
        const reason = yield* reasonOf(jobs.delete("film"))
        assert(reason._tag === "RepositoryError" && reason.reason._tag === "Running")
        assert.deepStrictEqual([...machine.files.keys()], [place(0)])
      })
    )
  })

  it.effect("cancels a job that runs, and removes its outputs and its journal, but not its final file", () => {
    const machine = Fakes.machine(({ chunkId, job }) =>
      chunkId > 0 && job.meta.jobId === "film" ? Effect.never : Effect.void
    )
    return on(machine, (jobs) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "done" })
        yield* jobs.run("done", out)
        yield* jobs.create(Fakes.job(3), { id: "film" })
        const running = yield* Effect.forkChild(Effect.flip(jobs.run("film", { outputFile: "film.mp4" })))
        yield* settle
        assert.strictEqual(machine.files.size, 2)
        yield* jobs.delete("film")
        yield* jobs.delete("done")
        assert.strictEqual((yield* Fiber.join(running)).reason._tag, "JobCancelled")
        assert.strictEqual(machine.running(), 0)
        assert.deepStrictEqual([...machine.files.keys()], ["/job/out.mp4"])
        assert.deepStrictEqual(yield* Stream.runCollect(jobs.list()), [])
        assert.strictEqual((yield* reasonOf(jobs.delete("film")))._tag, "RepositoryError")
      })
    )
  })

  it.effect("keeps the journal while the files cannot be removed, so that it can be tried again", () => {
    const machine = Fakes.machine()
    let broken = true
    const failure = new Workspace.WorkspaceError({ path: "/job", reason: "ReadOnly", cause: undefined })
    const workspace = Workspace.Workspace.of({
      ...machine.workspace,
      remove: (jobId, keep) => (broken ? Effect.fail(failure) : machine.workspace.remove(jobId, keep))
    })
    return on({ ...machine, workspace }, (jobs) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "film" })
        assert.strictEqual((yield* reasonOf(jobs.delete("film")))._tag, "WorkspaceError")
        assert.strictEqual((yield* jobs.get("film")).status, "pending")
        broken = false
        yield* jobs.delete("film")
        assert.isTrue(Option.isNone(yield* Effect.option(jobs.get("film"))))
      })
    )
  })
})
