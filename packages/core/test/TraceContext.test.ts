import { assert, describe, it } from "@effect/vitest"
import { TraceContext } from "@helios-infra/core"
import { Context, Effect, Option, Schema, Tracer } from "effect"
import * as Recorded from "./Recorded.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const traceparent = `00-${traceId}-${spanId}-01`

const idsOf = (carrier: TraceContext.Carrier) => {
  const span = TraceContext.parse(carrier)
  return span && [span.traceId, span.spanId, span.sampled]
}

/** Runs where spans are recorded. */
const recorded = <A, E>(test: (recorder: Recorded.Recorder) => Effect.Effect<A, E>) => {
  const recorder = Recorded.make()
  return Effect.provide(test(recorder), recorder.layer)
}

describe("parse", () => {
  it("reads a span, and whether it is sampled", () => {
    assert.deepStrictEqual(idsOf({ traceparent }), [traceId, spanId, true])
    assert.deepStrictEqual(idsOf({ traceparent: `00-${traceId}-${spanId}-00` }), [traceId, spanId, false])
    assert.deepStrictEqual(idsOf({ traceparent: `00-${traceId}-${spanId}-03` }), [traceId, spanId, true])
  })

  it("reads what later versions begin with", () => {
    assert.deepStrictEqual(idsOf({ traceparent: `01-${traceId}-${spanId}-01` }), [traceId, spanId, true])
    assert.deepStrictEqual(idsOf({ traceparent: `cc-${traceId}-${spanId}-01-what-comes-next` }), [
      traceId,
      spanId,
      true
    ])
  })

  it.each([
    undefined,
    null,
    42,
    "",
    "00",
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `01-${traceId}-${spanId}-01more`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    ` ${traceparent}`,
    `${traceparent}\n`,
    `${traceparent}\0`,
    [traceparent],
    "x".repeat(1_000_000)
  ])("takes what is malformed for none: %j", (malformed) => {
    assert.isUndefined(TraceContext.parse({ traceparent: malformed, tracestate: "a=1" }))
    assert.deepStrictEqual(TraceContext.headers({ traceparent: malformed, tracestate: "a=1" }), {})
    assert.deepStrictEqual(TraceContext.environment({ traceparent: malformed, tracestate: "a=1" }), {})
  })

  it.each([42, "", "  ", "a=1\r\nx: y", "ä=1", "a".repeat(513)])("leaves out a malformed state: %j", (tracestate) => {
    assert.deepStrictEqual(TraceContext.headers({ traceparent, tracestate }), { traceparent })
    const span = TraceContext.parse({ traceparent, tracestate })
    assert.deepStrictEqual(span && TraceContext.ofSpan(span), { traceparent })
  })

  const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
  const Bytes = Schema.Array(Byte).check(Schema.isMinLength(24), Schema.isMaxLength(24))

  it.effect.prop("reads what ofSpan writes, whatever the ids", [Bytes, Schema.Boolean], ([bytes, sampled]) =>
    Effect.sync(() => {
      const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")
      const ids = { traceId: hex.slice(0, 32), spanId: hex.slice(32) }
      const written = TraceContext.ofSpan(Tracer.externalSpan({ ...ids, sampled }))
      const isNone = /^0+$/.test(ids.traceId) || /^0+$/.test(ids.spanId)
      assert.deepStrictEqual(written && idsOf(written), isNone ? undefined : [ids.traceId, ids.spanId, sampled])
    })
  )
})

describe("ofSpan", () => {
  it.effect("is what parse reads, with the state of the span that it came with, however far above", () =>
    recorded(() =>
      Effect.gen(function* () {
        const span = yield* Effect.withSpan(Effect.withSpan(Effect.currentSpan, "inner"), "outer")
        assert.deepStrictEqual(TraceContext.ofSpan(span), {
          traceparent: `00-${traceId}-${span.spanId}-01`,
          tracestate: "a=1"
        })
      }).pipe(TraceContext.continueFrom({ traceparent, tracestate: "a=1" }))
    )
  )

  it("makes trace ids of half the length whole", () => {
    const half = Tracer.externalSpan({ traceId: traceId.slice(16), spanId })
    assert.deepStrictEqual(TraceContext.ofSpan(half), {
      traceparent: `00-${"0".repeat(16)}${traceId.slice(16)}-${spanId}-01`
    })
  })

  it("is none for ids that are not OpenTelemetry's", () => {
    assert.isUndefined(TraceContext.ofSpan(Tracer.externalSpan({ traceId: "noop", spanId: "noop" })))
  })
})

describe("current", () => {
  it.effect("is the span where spans are recorded", () =>
    recorded(() =>
      Effect.gen(function* () {
        const [span, current] = yield* Effect.withSpan(Effect.all([Effect.currentSpan, TraceContext.current]), "mine")
        assert.deepStrictEqual(current, { traceparent: `00-${span.traceId}-${span.spanId}-01` })
        assert.isUndefined(yield* TraceContext.current)
      })
    )
  )

  it.effect("is what the caller came with where none are", () =>
    Effect.gen(function* () {
      const inSpan = Effect.withSpan(TraceContext.current, "unrecorded")
      assert.isUndefined(yield* inSpan)
      const carrier = { traceparent, tracestate: "a=1" }
      assert.deepStrictEqual(yield* TraceContext.continueFrom(carrier)(inSpan), carrier)
    })
  )

  it.effect("passes over spans that are not to be propagated", () =>
    recorded(() =>
      Effect.gen(function* () {
        const annotations = Context.make(Tracer.DisablePropagation, true)
        const hidden = Effect.withSpan(TraceContext.current, "hidden", { annotations })
        const [outer, seen] = yield* Effect.withSpan(Effect.all([Effect.currentSpan, hidden]), "outer")
        assert.deepStrictEqual(seen, TraceContext.ofSpan(outer))
      })
    )
  )
})

describe("continueFrom", () => {
  const parentOf = Effect.map(Effect.currentSpan, (span) => Option.getOrUndefined(span.parent)?.spanId)
  const work = Effect.withSpan(parentOf, "work")

  it.effect("does work below the span that is named, else below the current one", () =>
    recorded(() =>
      Effect.gen(function* () {
        assert.strictEqual(yield* TraceContext.continueFrom({ traceparent })(work), spanId)
        const [outer, parent] = yield* Effect.withSpan(
          Effect.all([Effect.currentSpan, TraceContext.continueFrom({ traceparent: "malformed" })(work)]),
          "outer"
        )
        assert.strictEqual(parent, outer.spanId)
      })
    )
  )

  it.effect("begins no trace where there is none", () =>
    recorded(({ spans }) =>
      Effect.gen(function* () {
        for (const malformed of [{}, { traceparent: "malformed" }, { traceparent: 42 }]) {
          assert.strictEqual(yield* TraceContext.continueFrom(malformed)(Effect.as(work, 1)), 1)
        }
        assert.deepStrictEqual(spans, [])
      })
    )
  )

  it.effect("does not record what its caller does not", () =>
    recorded(({ spans }) =>
      Effect.gen(function* () {
        yield* TraceContext.continueFrom({ traceparent: `00-${traceId}-${spanId}-00` })(work)
        assert.deepStrictEqual(
          spans.map(({ sampled }) => sampled),
          [false]
        )
      })
    )
  )
})

describe("environment", () => {
  it("names the variables as OpenTelemetry does, and changes nothing of the values", () => {
    const later = `01-${traceId}-${spanId}-0b-more`
    assert.deepStrictEqual(TraceContext.environment({ traceparent: later, tracestate: "a=1,b=2" }), {
      TRACEPARENT: later,
      TRACESTATE: "a=1,b=2"
    })
    assert.deepStrictEqual(TraceContext.headers({ traceparent, tracestate: "a=1" }), { traceparent, tracestate: "a=1" })
  })
})
