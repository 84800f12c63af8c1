import { assert, describe, it } from "vitest"
import { JobExecutor, JobManager, Telemetry, type WorkerAdapter, type WorkerJob } from "@helios-infra/core/promise"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import { spans } from "@helios-infra/core/Telemetry"
import { Data, Effect, Layer } from "effect"
import * as Fakes from "../Fakes.ts"
import * as Recorded from "../Recorded.ts"

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/** An adapter as a package would write it: a plain class around effects. */
class Adapter implements WorkerAdapter {
  readonly jobs: Array<WorkerJob> = []
  execute(job: WorkerJob, { signal }: { readonly signal: AbortSignal }) {
    this.jobs.push(job)
    return PromiseBacking.run(
      Effect.logInfo("rendering").pipe(
        Effect.withSpan("Adapter.execute"),
        Effect.as({ exitCode: 0, stdout: "", stderr: "", durationMs: 1 })
      ),
      signal
    )
  }
}

const recording = () => {
  const recorded = Recorded.make()
  return { ...recorded, telemetry: PromiseBacking.telemetry(recorded.layer) }
}

describe("the telemetry of plain code", () => {
  it("gets the spans, metrics and log entries of a manager's runs, those of plain adapters included", async () => {
    const { entries, metrics, named, telemetry, tree } = recording()
    const workerAdapter = new Adapter()
    const jobs = new JobManager({ telemetry })
    const { id } = await jobs.createJob(Fakes.job(2))
    const job = await jobs.runJob(id, { workerAdapter, concurrency: 1 })
    assert.deepStrictEqual(tree(), [
      "helios.job 1 completed ok",
      "  helios.chunk 0 accepted ok",
      "    helios.attempt 1 accepted ok",
      "      helios.check completed ok",
      "  helios.chunk 1 accepted ok",
      "    helios.attempt 1 accepted ok",
      "      helios.check completed ok"
    ])
    const attempts = named(spans.attempt)
    assert.deepStrictEqual(
      named("Adapter.execute").map((span) => Recorded.above(span)?.spanId),
      attempts.map(({ spanId }) => spanId),
      "what an adapter does is a part of its attempt"
    )
    assert.deepStrictEqual(entries, [
      { message: "rendering", marks: { job: id, run: 1, chunk: 0, attempt: 1 } },
      { message: "rendering", marks: { job: id, run: 1, chunk: 1, attempt: 1 } }
    ])
    assert.strictEqual(metrics()["helios.output.frames{helios.worker.adapter=Adapter}"], 20)
    assert.deepStrictEqual(
      workerAdapter.jobs.map(({ meta }) => meta.traceparent),
      attempts.map(({ spanId, traceId }) => `00-${traceId}-${spanId}-01`)
    )
    assert.match(job.traceparent ?? "", /^00-[\da-f]{32}-[\da-f]{16}-01$/)
  })

  it("is a part of the caller's trace where that is named, and of none where the name is malformed", async () => {
    const { named, telemetry } = recording()
    const workerAdapter = new Adapter()
    const options = { telemetry, workerAdapter }
    await new JobExecutor(Fakes.job(1), { ...options, traceparent, tracestate: "a=1" }).execute()
    await new JobExecutor(Fakes.job(1), { ...options, traceparent: "malformed" }).execute()
    const jobs = new JobManager({ telemetry })
    const { id } = await jobs.createJob(Fakes.job(1))
    await jobs.runJob(id, { workerAdapter, traceparent })
    const [, trace = ""] = traceparent.split("-")
    const [first, second, third] = named(spans.job).map(({ traceId }) => traceId === trace)
    assert.deepStrictEqual([first, second, third], [true, false, true])
    assert.strictEqual(workerAdapter.jobs[0]?.meta.tracestate, "a=1")
    assert.notProperty(workerAdapter.jobs[1]?.meta, "tracestate")
  })

  it("is nothing where there is none, but the caller's trace still goes on to workers", async () => {
    const workerAdapter = new Adapter()
    await new JobExecutor(Fakes.job(1), { workerAdapter }).execute()
    await new JobExecutor(Fakes.job(1), { workerAdapter, traceparent }).execute()
    assert.deepStrictEqual(
      workerAdapter.jobs.map(({ meta }) => meta.traceparent),
      [undefined, traceparent]
    )
  })

  it("is made once, with the first thing that uses it, and let go of when it is closed", async () => {
    const story: Array<string> = []
    const telemetry = PromiseBacking.telemetry(
      Layer.effectDiscard(
        Effect.acquireRelease(
          Effect.sync(() => story.push("made")),
          () => Effect.sync(() => story.push("closed"))
        )
      )
    )
    const jobs = new JobManager({ telemetry })
    assert.deepStrictEqual(story, [])
    await jobs.listJobs()
    await new JobExecutor(Fakes.job(1), { telemetry, workerAdapter: new Adapter() }).execute()
    assert.deepStrictEqual(story, ["made"])
    await telemetry.close()
    assert.deepStrictEqual(story, ["made", "closed"])
  })

  it("says why it cannot be made, where no compiler has seen that it may not", async () => {
    class NoExporter extends Data.TaggedError("NoExporter") {}
    const failing = Layer.effectDiscard(Effect.fail(new NoExporter()))
    // @ts-expect-error -- plain JavaScript
    const telemetry = PromiseBacking.telemetry(failing)
    const error = await new JobManager({ telemetry }).listJobs().catch((error: unknown) => error)
    assert.instanceOf(error, NoExporter)
  })

  it("has to be made by us", () => {
    const foreign = new Telemetry(() => Promise.resolve())
    assert.throws(() => new JobManager({ telemetry: foreign }), /telemetry\(layer\).*PromiseBacking/)
    assert.throws(() => PromiseBacking.telemetryLayer(foreign), /telemetry\(layer\).*PromiseBacking/)
  })
})
