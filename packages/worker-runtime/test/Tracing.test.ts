/** A worker's part of a trace: what it goes on with, what it says of itself, and what its command gets to know. */
import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import * as Telemetry from "@helios-infra/core/Telemetry"
import * as FakeArtifactStorage from "@helios-infra/testkit/FakeArtifactStorage"
import * as AwsHandler from "@helios-infra/worker-runtime/AwsHandler"
import { Cause, Effect, Exit, Fiber, Layer, Logger, Option, Tracer } from "effect"
import { OtlpExporter } from "effect/observability"
import * as Rig from "./Rig.ts"
import * as ServerRig from "./ServerRig.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const attemptSpan = "b7ad6b7169203331"
const traceparent = `00-${traceId}-${attemptSpan}-01`
const outputKey = "jobs/film/chunks/3/1.2/output.mov"

/** Spans that are recorded, as they end. */
const recorder = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  return { layer: Layer.succeed(Tracer.Tracer, tracer), named, spans }
}

const parentOf = (span: Tracer.Span | undefined) => span && Option.getOrUndefined(span.parent)?.spanId

const statusOf = (span: Tracer.Span | undefined) => {
  if (span?.status._tag !== "Ended") return "open"
  if (Exit.isSuccess(span.status.exit)) return "ok"
  return Cause.hasInterruptsOnly(span.status.exit.cause) ? "unset" : "error"
}

/** The variables of a command that prints them into its output. */
const printed = (text: string | undefined): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (text ?? "").split("\n").flatMap((line) => {
      const at = line.indexOf("=")
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]]
    })
  )

const { attributes, spans: names } = Telemetry

describe("a worker's spans", () => {
  it.live("have the attempt as their parent, wherever it is, and say what took how long", () =>
    Effect.gen(function* () {
      const { layer, named, spans } = recorder()
      const { store, text, worker } = yield* Rig.withStorage()
      store(Rig.job(`env > "$1"`))
      const reply = yield* worker
        .run(Rig.request({ traceparent, tracestate: "a=1" }), { workerId: "w-1" })
        .pipe(Effect.provide(layer))
      assert(reply._tag === "Result")
      const [work] = named(names.worker)
      assert.deepStrictEqual(
        [work?.traceId, parentOf(work), work?.kind, statusOf(work)],
        [traceId, attemptSpan, "server", "ok"]
      )
      assert.deepStrictEqual(Object.fromEntries(work?.attributes ?? []), {
        [attributes.jobId]: "film",
        [attributes.run]: 1,
        [attributes.chunkId]: 3,
        [attributes.attempt]: 2,
        [attributes.startFrame]: 0,
        [attributes.frameCount]: 10,
        [attributes.workerId]: "w-1",
        [attributes.outputSize]: reply.result.output?.bytes,
        [attributes.outcome]: "completed"
      })
      for (const name of [names.workerFetch, names.workerRender, names.workerSend]) {
        const [part] = named(name)
        assert.strictEqual(parentOf(part), work?.spanId, name)
        assert.strictEqual(statusOf(part), "ok", name)
      }
      assert.isTrue(spans.every((span) => span.traceId === traceId && span.status._tag === "Ended"))
      // The command goes on below the span in which it runs.
      const { TRACEPARENT, TRACESTATE } = printed(text(outputKey))
      const [, , parent] = (TRACEPARENT ?? "").split("-")
      const below = spans.find(({ spanId }) => spanId === parent)
      assert.match(TRACEPARENT ?? "", new RegExp(`^00-${traceId}-[\\da-f]{16}-01$`))
      assert.strictEqual(TRACESTATE, "a=1")
      assert(below !== undefined)
      const ancestors: Array<string> = []
      for (
        let span: Tracer.AnySpan | undefined = below;
        span?._tag === "Span";
        span = Option.getOrUndefined(span.parent)
      ) {
        ancestors.push(span.name)
      }
      assert.includeMembers(ancestors, [names.workerRender, names.worker])
    })
  )

  it.live("say why it failed, and that it was cancelled, which is no error", () =>
    Effect.gen(function* () {
      const { layer, named } = recorder()
      const { fake, store, worker } = yield* Rig.withStorage()
      store(Rig.job("exit 3"))
      yield* Effect.provide(worker.run(Rig.request({ traceparent })), layer)
      store(Rig.job("sleep 100"))
      const running = yield* Effect.forkChild(Effect.provide(worker.run(Rig.request({ traceparent })), layer))
      yield* Rig.waitFor(
        Effect.sync(() => named(names.workerRender).length === 2),
        "the command"
      )
      fake.store("jobs/film/chunks/3/1.2/cancelled", "")
      yield* Fiber.join(running)
      assert.deepStrictEqual(
        named(names.worker).map((span) => [
          span.attributes.get(attributes.outcome),
          span.attributes.get(attributes.errorType),
          statusOf(span)
        ]),
        [
          ["failed", "RenderFailed", "error"],
          ["cancelled", undefined, "unset"]
        ]
      )
      const [failed, stopped] = named(names.workerRender)
      assert.deepStrictEqual([statusOf(failed), statusOf(stopped)], ["error", "unset"])
    })
  )

  it.live.each([
    undefined,
    "",
    "00-zz",
    42,
    null,
    { a: 1 },
    `00-${"0".repeat(32)}-${attemptSpan}-01`,
    `${traceparent}\0`,
    "x".repeat(100_000)
  ])("are none, and nothing fails, where the attempt has none or it is malformed: %j", (malformed) =>
    Effect.gen(function* () {
      const { layer, spans } = recorder()
      const { store, text, worker } = yield* Rig.withStorage()
      store(Rig.job(`env > "$1"`))
      const request = Rig.request(malformed === undefined ? {} : { traceparent: malformed, tracestate: malformed })
      const reply = yield* Effect.provide(worker.run(request), layer)
      assert.strictEqual(reply._tag, "Result", JSON.stringify(reply))
      assert.deepStrictEqual(spans, [])
      assert.notProperty(printed(text(outputKey)), "TRACEPARENT")
      assert.notProperty(printed(text(outputKey)), "TRACESTATE")
    })
  )

  it.live("are below the current one where the worker is a part of a program that has one", () =>
    Effect.gen(function* () {
      const { layer, named } = recorder()
      const { store, worker } = yield* Rig.withStorage()
      store(Rig.job(`printf movie > "$1"`))
      yield* worker.run(Rig.request()).pipe(Effect.withSpan("mine"), Effect.provide(layer))
      assert.strictEqual(parentOf(named(names.worker)[0]), named("mine")[0]?.spanId)
    })
  )

  it.live("are not recorded where the orchestrator does not record its own", () =>
    Effect.gen(function* () {
      const { layer, spans } = recorder()
      const { store, text, worker } = yield* Rig.withStorage()
      store(Rig.job(`env > "$1"`))
      const unsampled = `00-${traceId}-${attemptSpan}-00`
      yield* Effect.provide(worker.run(Rig.request({ traceparent: unsampled })), layer)
      assert.isTrue(spans.every(({ sampled }) => !sampled))
      assert.match(printed(text(outputKey))["TRACEPARENT"] ?? "", new RegExp(`^00-${traceId}-.*-00$`))
    })
  )
})

describe("a worker's server", () => {
  it.live("goes on with the trace of the request's body, else with that of its header", () =>
    Effect.gen(function* () {
      const { layer, named } = recorder()
      const server = yield* Effect.provide(ServerRig.serve(), layer)
      server.store(`printf movie > "$1"`)
      const other = "c".repeat(16)
      const headers = { ...ServerRig.headers, traceparent: `00-${traceId}-${other}-01` }
      yield* ServerRig.ask(server.url, ServerRig.chunk, headers)
      yield* ServerRig.ask(server.url, { ...ServerRig.chunk, traceparent }, headers)
      yield* ServerRig.ask(server.url, { ...ServerRig.chunk, traceparent: 42 }, headers)
      yield* ServerRig.ask(server.url, ServerRig.chunk, { ...ServerRig.headers, traceparent: "00-zz" })
      assert.deepStrictEqual(named(names.worker).map(parentOf), [other, attemptSpan, other])
    })
  )
})

describe("a Lambda handler", () => {
  const setUp = Effect.fnUntraced(function* (telemetry: Layer.Layer<never>) {
    const workspaceDir = yield* Rig.folder
    const { fake, storage } = yield* FakeArtifactStorage.make()
    const handler = AwsHandler.make({
      workspaceDir,
      storage: Layer.succeed(ArtifactStorage, storage),
      telemetry
    })
    fake.store("jobs/film/job.json", JSON.stringify(Rig.job(`printf movie > "$1"`)))
    return (event: unknown) => Effect.promise(() => handler(event))
  })

  it.live("tells its telemetry, and has sent it all before it answers", () =>
    Effect.gen(function* () {
      const { layer, named } = recorder()
      const lines: Array<unknown> = []
      let flushed = 0
      const flusher = Layer.succeed(OtlpExporter.Flusher, {
        flush: Effect.sync(() => {
          // What is to be sent is there: the span has ended.
          assert.strictEqual(statusOf(named(names.worker)[flushed]), "ok")
          flushed++
        }),
        register: () => Effect.void
      })
      const logs = Logger.layer([Logger.make(({ message }) => void lines.push(message))], { mergeWithExisting: true })
      const invoke = yield* setUp(Layer.mergeAll(layer, flusher, logs))
      yield* invoke(Rig.request({ traceparent }))
      yield* invoke(Rig.request({ traceparent }))
      assert.strictEqual(flushed, 2)
      assert.deepStrictEqual(named(names.worker).map(parentOf), [attemptSpan, attemptSpan])
      assert.match(String(lines.flat()[0]), /^rendered 5 bytes/)
    })
  )

  it.live("answers in time where its telemetry cannot be sent", () =>
    Effect.gen(function* () {
      const flusher = Layer.succeed(OtlpExporter.Flusher, { flush: Effect.never, register: () => Effect.void })
      const invoke = yield* setUp(flusher)
      const reply = yield* Effect.timeout(invoke(Rig.request({ traceparent })), "20 seconds")
      assert.deepInclude(reply, { _tag: "Result" })
    })
  )
})
