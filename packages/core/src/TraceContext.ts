/**
 * The place in a trace at which another process goes on, as W3C Trace Context writes it (`traceparent`, `tracestate`):
 * in what workers are sent, in HTTP headers, and in the environment of commands.
 *
 * Whatever comes from outside may be malformed, and then is no place in any trace: nothing here fails.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"

/** A place in a trace. */
export interface TraceContext {
  /** `00-<trace, 32 digits>-<span, 16 digits>-<flags>`, in lower-case hexadecimal. */
  readonly traceparent: string
  /** What tracing systems on the way have added for each other. */
  readonly tracestate?: string
}

/** What may hold one: headers, a request, a `WorkerJob`'s `meta`. */
export interface Carrier {
  readonly traceparent?: unknown
  readonly tracestate?: unknown
}

/**
 * The `tracestate` that came with a span of another process: an annotation of that span. It goes on with whatever is sent
 * on below it.
 */
export const TraceState: Context.Reference<string | undefined> = Context.Reference(
  "@helios-infra/core/TraceContext/TraceState",
  { defaultValue: (): string | undefined => undefined }
)

/** Versions after 00 may add fields; `ff` is none. */
const pattern =
  /^(?:00-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})|(?!ff|00)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?)$/

/** What the W3C has systems pass on at least; what is longer or not plain ASCII is left out. */
const stateOf = (text: unknown): string | undefined =>
  Predicate.isString(text) && /^[\u0020-\u007e]{1,512}$/.test(text) && text.trim() !== "" ? text : undefined

const isZero = (digits: string): boolean => /^0+$/.test(digits)

/** The span that a carrier names; `undefined` where it names none, or is malformed. */
export const parse = ({ traceparent, tracestate }: Carrier): Tracer.ExternalSpan | undefined => {
  if (!Predicate.isString(traceparent)) return undefined
  const [, trace, span, flags, laterTrace, laterSpan, laterFlags] = pattern.exec(traceparent) ?? []
  const traceId = trace ?? laterTrace
  const spanId = span ?? laterSpan
  if (traceId === undefined || spanId === undefined || isZero(traceId) || isZero(spanId)) return undefined
  const state = stateOf(tracestate)
  return Tracer.externalSpan({
    traceId,
    spanId,
    sampled: (Number.parseInt(flags ?? laterFlags ?? "0", 16) & 1) === 1,
    ...(state === undefined ? undefined : { annotations: Context.make(TraceState, state) })
  })
}

const parentOf = (span: Tracer.AnySpan): Tracer.AnySpan | undefined =>
  span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined

/** The `tracestate` with which the trace came here. */
const inheritedState = (span: Tracer.AnySpan): string | undefined => {
  const parent = parentOf(span)
  return Context.get(span.annotations, TraceState) ?? (parent === undefined ? undefined : inheritedState(parent))
}

/** A span as another process is told of it; `undefined` for one whose ids are not OpenTelemetry's, such as a no-op's. */
export const ofSpan = (span: Tracer.AnySpan): TraceContext | undefined => {
  const { sampled, spanId } = span
  // Some systems have trace ids of half the length.
  const traceId = span.traceId.padStart(32, "0")
  const traceparent = `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`
  if (parse({ traceparent }) === undefined) return undefined
  const tracestate = inheritedState(span)
  return { traceparent, ...(tracestate === undefined ? undefined : { tracestate }) }
}

/** Whether spans go anywhere: a tracer was put into the context, and not switched off. */
export const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, References.TracerEnabled) && Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer

/** What is not to be gone on from: a span that is not recorded here, whose parent may well be. */
const isPassedOver = (span: Tracer.AnySpan, traced: boolean): boolean =>
  Context.get(span.annotations, Tracer.DisablePropagation) || (span._tag === "Span" && !traced)

/**
 * Where a process that is begun here goes on: at the current span, or, where nobody here records spans, at the one that
 * the caller came with from elsewhere. `undefined` outside any trace.
 */
export const current: Effect.Effect<TraceContext | undefined> = Effect.contextWith(
  (context: Context.Context<never>) => {
    const traced = isTraced(context)
    let span = Option.getOrUndefined(Context.getOption(context, Tracer.ParentSpan))
    while (span !== undefined && isPassedOver(span, traced)) span = parentOf(span)
    return Effect.succeed(span && ofSpan(span))
  }
)

/**
 * Does work that another process asked for as a part of that one's trace: below the span that the carrier names, else
 * below the one that is current here. Outside any trace the work begins none: its spans are not made.
 */
export const continueFrom = (carrier: Carrier): (<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) => {
  const parent = parse(carrier)
  return (self) =>
    parent === undefined
      ? Effect.flatMap(Effect.option(Effect.currentParentSpan), (span) =>
          Option.isSome(span) ? self : Effect.withTracerEnabled(self, false)
        )
      : Effect.withParentSpan(self, parent)
}

/** The HTTP headers by which a request goes on with a trace. Empty where the carrier names no span. */
export const headers = (carrier: Carrier): Readonly<Record<string, string>> => {
  const { traceparent } = carrier
  if (!Predicate.isString(traceparent) || parse(carrier) === undefined) return {}
  const tracestate = stateOf(carrier.tracestate)
  return { traceparent, ...(tracestate === undefined ? undefined : { tracestate }) }
}

/**
 * The variables by which a command goes on with a trace: `TRACEPARENT` and `TRACESTATE`, as OpenTelemetry reads them from
 * its environment. Empty where the carrier names no span.
 */
export const environment = (carrier: Carrier): Readonly<Record<string, string>> =>
  Record.mapKeys(headers(carrier), (name) => name.toUpperCase())
