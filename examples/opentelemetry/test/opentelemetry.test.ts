import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { assert, describe, it } from "@effect/vitest"
import { Telemetry } from "@helios-infra/core"
import { Effect, Schedule } from "effect"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import * as Collector from "./Collector.ts"

const { attributes, spans: names } = Telemetry
const kinds = { internal: 1, server: 2, client: 3 }
const codes = { unset: 0, ok: 1, error: 2 }

const source = (name: string): string => resolve(import.meta.dirname, "../src", name)
const args = (name: string) => ["--conditions=@helios-infra/source", source(name)]

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "helios-opentelemetry-"))),
  (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
)

/** Where everything of a test happens, and a collector for what is told of it. */
const setUp = Effect.gen(function* () {
  const dir = yield* folder
  const collector = yield* Collector.make
  const env = {
    PATH: process.env["PATH"],
    FFMPEG_PATH: ffmpeg,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    WORKER_SECRET: "a secret of the tests",
    // Nobody's trace: it is not to be gone on with.
    TRACEPARENT: "00-11111111111111111111111111111111-1111111111111111-01"
  }
  const program = (name: string, more: Readonly<Record<string, string>> = {}) =>
    Effect.promise(() =>
      promisify(execFile)(process.execPath, args(name), { cwd: dir, env: { ...env, ...more } }).then(
        (printed) => ({ code: 0, ...printed }),
        ({ code, stderr, stdout }: { readonly code: number; readonly stdout: string; readonly stderr: string }) => ({
          code,
          stdout,
          stderr
        })
      )
    )
  return { collector, dir, env, program }
})

const ended = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

/** A worker process; `stop` tells it to end, and waits until it has sent what it has to tell. */
const worker = Effect.fnUntraced(function* (dir: string, env: NodeJS.ProcessEnv) {
  let printed = ""
  const workspace = yield* folder
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, args("worker.ts"), { cwd: dir, env: { ...env, PORT: "0", WORKER_DIR: workspace } })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (printed += String(text)))
  const url = yield* Effect.sync(() => /listening on (http:\S+)/.exec(printed)?.[1]).pipe(
    Effect.repeat({ until: (url) => url !== undefined || ended(child), schedule: Schedule.spaced("20 millis") })
  )
  assert(url !== undefined, printed)
  const stop = Effect.promise(() => {
    const over = once(child, "exit")
    child.kill("SIGTERM")
    return over
  })
  return { url: `${url}/render`, stop }
})

const framesOf = (file: string) =>
  Effect.promise(() =>
    promisify(execFile)(ffmpeg, ["-v", "error", "-i", file, "-map", "0:v:0", "-f", "framemd5", "-"]).then(
      ({ stdout }) => stdout.split("\n").filter((line) => line.startsWith("0,")).length
    )
  )

/** The spans of one trace, as a tree. */
const treeOf = (spans: ReadonlyArray<Collector.SeenSpan>) => {
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  const parentOf = (span: Collector.SeenSpan | undefined) => byId.get(span?.parentSpanId ?? "")
  const ours = new Set<string>(Object.values(names))
  /** The next one above that is part of the contract. */
  const above = (span: Collector.SeenSpan): Collector.SeenSpan | undefined => {
    const parent = parentOf(span)
    return parent === undefined || ours.has(parent.name) ? parent : above(parent)
  }
  const named = (name: string) => spans.filter((span) => span.name === name)
  return { above, named, parentOf }
}

const one = <A>(items: ReadonlyArray<A>): A => {
  assert.lengthOf(items, 1)
  const [item] = items
  if (item === undefined) throw new Error("nothing")
  return item
}

describe("the example", () => {
  it.live(
    "renders a film, of which one trace tells across four kinds of processes, with metrics and logs",
    () =>
      Effect.gen(function* () {
        const { collector, dir, env, program } = yield* setUp
        const { stop, url } = yield* worker(dir, env)
        const { code, stderr, stdout } = yield* program("render.ts", { WORKER_URL: url })
        assert.strictEqual(code, 0, stdout + stderr)
        yield* stop
        assert.strictEqual(yield* framesOf(join(dir, "film.mp4")), 48)
        assert.deepStrictEqual(collector.problems, [])

        const root = one(collector.spans.filter(({ name }) => name === "make-a-film"))
        assert.isUndefined(root.parentSpanId)
        const { spans } = collector
        const outside = spans.filter(({ traceId }) => traceId !== root.traceId)
        assert.deepStrictEqual(
          outside.map(({ name }) => name),
          [],
          "everything is one trace"
        )
        const { above, named, parentOf } = treeOf(spans)
        const orphans = spans.filter((span) => span !== root && parentOf(span) === undefined)
        assert.deepStrictEqual(orphans, [], "every parent came as well")

        const job = one(named(names.job))
        assert.strictEqual(job.service, "orchestrator")
        assert.deepInclude(job.attributes, {
          [attributes.jobId]: "film",
          [attributes.run]: 1,
          [attributes.chunks]: 4,
          [attributes.frames]: 48,
          [attributes.outcome]: "completed"
        })
        assert.strictEqual(one(named(names.stitch)).parentSpanId, job.spanId)
        const chunks = named(names.chunk)
        assert.sameMembers(
          chunks.map((chunk) => chunk.attributes[attributes.chunkId]),
          [0, 1, 2, 3]
        )
        for (const chunk of chunks) {
          const id = Number(chunk.attributes[attributes.chunkId])
          assert.strictEqual(above(chunk), job)
          const attempt = one(named(names.attempt).filter((span) => above(span) === chunk))
          assert.deepInclude(attempt.attributes, {
            [attributes.jobId]: "film",
            [attributes.run]: 1,
            [attributes.chunkId]: id,
            [attributes.attempt]: 1,
            [attributes.startFrame]: id * 12,
            [attributes.frameCount]: 12,
            [attributes.outcome]: "accepted"
          })
          assert.isAbove(Number(attempt.attributes[attributes.outputSize]), 1000)
          assert.isString(attempt.attributes[attributes.workerId])
          assert.strictEqual(attempt.kind, kinds.client)
          assert.strictEqual(one(named(names.check).filter((span) => above(span) === attempt)).status.code, codes.ok)
          const work = named(names.worker).filter((span) => above(span) === attempt)
          const drawing = one(
            named("draw").filter((span) => above(span) === attempt || above(span)?.parentSpanId === work[0]?.spanId)
          )
          assert.strictEqual(drawing.service, "draw")
          if (id % 2 === 0) {
            assert.deepStrictEqual(work, [])
            assert.strictEqual(parentOf(drawing), attempt)
          } else {
            const { kind, parentSpanId, service, status } = one(work)
            assert.deepStrictEqual(
              { kind, parentSpanId, service, code: status.code },
              { kind: kinds.server, parentSpanId: attempt.spanId, service: "worker", code: codes.ok }
            )
            const render = above(drawing)
            assert.strictEqual(render?.name, names.workerRender)
            assert.strictEqual(render && above(render), work[0])
            // Times of several processes of one machine: what is below another happens within it.
            assert.isAtLeast(Number(work[0]?.startTimeUnixNano), Number(attempt.startTimeUnixNano) - 1e6)
            assert.isAtMost(Number(work[0]?.endTimeUnixNano), Number(attempt.endTimeUnixNano) + 1e6)
          }
        }
        const ours = new Set<string>(Object.values(names))
        for (const { name, status } of spans) if (ours.has(name)) assert.strictEqual(status.code, codes.ok, name)

        const metricOf = (name: string) => {
          const metric = collector.metrics.get(`orchestrator ${name}`)
          assert(metric !== undefined, `${name} came not: ${[...collector.metrics.keys()].join(", ")}`)
          return metric
        }
        const durations = metricOf(Telemetry.metrics.attemptDuration)
        assert.strictEqual(durations.unit, "ms")
        const accepted = one(durations.histogram?.dataPoints ?? [])
        assert.strictEqual(Number(accepted.count), 4)
        assert.deepInclude(Collector.values(accepted.attributes), {
          [attributes.adapter]: "here-and-there",
          [attributes.outcome]: "accepted"
        })
        const frames = metricOf(Telemetry.metrics.outputFrames)
        assert.deepInclude(frames.sum, { isMonotonic: true })
        assert.strictEqual(one(frames.sum?.dataPoints ?? []).asDouble, 48)
        const active = metricOf(Telemetry.metrics.chunks)
        assert.deepInclude(active.sum, { isMonotonic: false })
        assert.deepStrictEqual(
          active.sum?.dataPoints.map(({ asDouble }) => asDouble),
          active.sum?.dataPoints.map(() => 0)
        )
        const bytes = metricOf(Telemetry.metrics.outputBytes)
        assert.strictEqual(bytes.unit, "By")
        assert.strictEqual(
          one(bytes.sum?.dataPoints ?? []).asDouble,
          named(names.attempt).reduce((sum, span) => sum + Number(span.attributes[attributes.outputSize]), 0)
        )
        assert.strictEqual(one(metricOf(Telemetry.metrics.jobDuration).histogram?.dataPoints ?? []).count, 1)

        const told = one(
          collector.logs.filter(({ body }) => /^rendered .*film\.mp4/.test(String(Object.values(body)[0])))
        )
        assert.deepInclude(told, { service: "orchestrator", traceId: root.traceId, spanId: root.spanId })
        const workersLogs = collector.logs.filter(
          ({ service, traceId }) => service === "worker" && traceId !== undefined
        )
        assert.sameDeepMembers(
          workersLogs.map(({ attributes: { attempt, chunk, job, run }, traceId }) => ({
            attempt: Number(attempt),
            chunk: Number(chunk),
            job,
            run: Number(run),
            traceId
          })),
          [1, 3].map((chunk) => ({ attempt: 1, chunk, job: "film", run: 1, traceId: root.traceId }))
        )
      }),
    120_000
  )

  it.live(
    "tells of failures where they happened",
    () =>
      Effect.gen(function* () {
        const { collector, dir, env, program } = yield* setUp
        const { stop, url } = yield* worker(dir, { ...env, WORKER_SECRET: "another secret of the tests" })
        const { code } = yield* program("render.ts", { WORKER_URL: url })
        assert.strictEqual(code, 1)
        yield* stop
        assert.deepStrictEqual(collector.problems, [])
        const { above, named } = treeOf(collector.spans)
        const job = one(named(names.job))
        assert.deepInclude(job.attributes, { [attributes.outcome]: "failed", [attributes.errorType]: "ChunkFailed" })
        assert.strictEqual(job.status.code, codes.error)
        assert.match(job.status.message ?? "", /chunk 1 failed after 1 attempt/)
        const refused = one(named(names.attempt).filter(({ status }) => status.code === codes.error))
        assert.deepInclude(refused.attributes, {
          [attributes.chunkId]: 1,
          [attributes.outcome]: "failed",
          [attributes.errorType]: "Refused"
        })
        assert.strictEqual(one(refused.events).name, "exception")
        assert.deepInclude(above(refused)?.attributes, { [attributes.outcome]: "failed" })
        assert.deepStrictEqual(named(names.worker), [])
        // What was stopped for it is no error.
        const stitch = one(named(names.stitch))
        assert.deepStrictEqual(
          [stitch.status.code, stitch.attributes[attributes.outcome]],
          [codes.unset, "interrupted"]
        )
      }),
    120_000
  )

  it.live(
    "goes on with the active span of a program that has OpenTelemetry's SDK, from plain code, two runs at once",
    () =>
      Effect.gen(function* () {
        const { collector, dir, program } = yield* setUp
        const { code, stderr, stdout } = yield* program("plain.ts")
        assert.strictEqual(code, 0, stdout + stderr)
        assert.deepStrictEqual(collector.problems, [])
        const { above, named, parentOf } = treeOf(collector.spans)
        for (const name of ["one", "two"]) {
          const request = one(named(name))
          const job = one(named(names.job).filter(({ traceId }) => traceId === request.traceId))
          const ancestors: Array<string> = []
          for (let span = parentOf(job); span !== undefined; span = parentOf(span)) ancestors.push(span.name)
          assert.strictEqual(ancestors.at(-1), name)
          const attempts = named(names.attempt).filter((span) => span.traceId === request.traceId)
          assert.lengthOf(attempts, 2)
          for (const attempt of attempts) {
            assert.strictEqual(above(attempt)?.name, names.chunk)
            const written = yield* Effect.promise(() =>
              readFile(join(dir, `${name}_${String(attempt.attributes[attributes.chunkId])}.txt`), "utf8")
            )
            assert.strictEqual(written.trim(), `00-${attempt.traceId}-${attempt.spanId}-01`)
          }
        }
        assert.lengthOf(yield* Effect.promise(() => readdir(dir)), 4)
      }),
    120_000
  )
})

describe("the page about it", () => {
  it("names every span, attribute, metric and mark that there is, and metrics by their units", async () => {
    const page = await readFile(resolve(import.meta.dirname, "../../../docs/observability.md"), "utf8")
    const { annotations, attributes, metric, metrics, spans } = Telemetry
    for (const name of Object.values(spans)) assert.include(page, name)
    for (const name of [...Object.values(attributes), ...Object.values(metrics), ...Object.values(annotations)]) {
      assert.include(page, `\`${name}\``)
    }
    const { activeJobs, chunks, ...others } = metric
    for (const { attributes, id } of [activeJobs(), chunks("pending"), ...Object.values(others).map((of) => of({}))]) {
      const row = page.split("\n").find((line) => line.startsWith(`| \`${id}\``) && /counter|histogram/.test(line))
      assert.include(row, `| \`${attributes?.["unit"]}\``)
    }
  })
})
