/** What is told of a run: spans as a tree of text, metrics as a record, log entries with what they are marked with. */
import { Telemetry } from "@helios-infra/core"
import { Cause, Effect, Exit, Layer, Logger, Metric, Option, References, Tracer } from "effect"

const { attributes } = Telemetry

export interface Recorder {
  readonly spans: ReadonlyArray<Tracer.NativeSpan>
  readonly entries: ReadonlyArray<{ readonly message: string; readonly marks: Readonly<Record<string, unknown>> }>
  /** Makes everything below it be recorded here, with metrics of its own. */
  readonly layer: Layer.Layer<never>
  readonly named: (name: string) => ReadonlyArray<Tracer.NativeSpan>
  /** The contract's spans, each below the next one of them that is above it: name, which one, outcome, status. */
  readonly tree: () => ReadonlyArray<string>
  /** Every series with a value: `name{attribute=value,…}`. The count of histograms, and the sum where it is wanted. */
  readonly metrics: () => Readonly<Record<string, number>>
  readonly sums: () => Readonly<Record<string, number>>
}

/** How a tracer would show the end of a span. */
export const statusOf = ({ status }: Tracer.Span): "ok" | "error" | "unset" | "open" => {
  if (status._tag === "Started") return "open"
  if (Exit.isSuccess(status.exit)) return "ok"
  return Cause.hasInterruptsOnly(status.exit.cause) ? "unset" : "error"
}

const ours = new Set<string>(Object.values(Telemetry.spans))

const parentOf = (span: Tracer.AnySpan): Tracer.AnySpan | undefined =>
  span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined

/** The next of our spans above one. */
export const above = (span: Tracer.AnySpan): Tracer.Span | undefined => {
  const parent = parentOf(span)
  if (parent === undefined) return undefined
  return parent._tag === "Span" && ours.has(parent.name) ? parent : above(parent)
}

const line = (span: Tracer.Span): string => {
  const get = (key: string) => span.attributes.get(key)
  const which =
    span.name === Telemetry.spans.job
      ? get(attributes.run)
      : span.name === Telemetry.spans.chunk
        ? get(attributes.chunkId)
        : get(attributes.attempt)
  const parts = [span.name, which, get(attributes.outcome), get(attributes.errorType), statusOf(span)]
  return parts.flatMap((part) => (typeof part === "string" || typeof part === "number" ? [part] : [])).join(" ")
}

export const make = (): Recorder => {
  const spans: Array<Tracer.NativeSpan> = []
  const entries: Array<Recorder["entries"][number]> = []
  const registry: Metric.MetricRegistry = new Map()
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const logger = Logger.make<unknown, void>(({ fiber, message }) => {
    entries.push({
      message: [message].flat().map(String).join(" "),
      marks: { ...fiber.getRef(References.CurrentLogAnnotations) }
    })
  })
  const below = (parent: Tracer.Span | undefined, depth: number): ReadonlyArray<string> =>
    spans.flatMap((span) =>
      ours.has(span.name) && above(span) === parent
        ? [`${"  ".repeat(depth)}${line(span)}`, ...below(span, depth + 1)]
        : []
    )

  const series = (value: (snapshot: Metric.Metric.Snapshot) => number) =>
    Object.fromEntries(
      Effect.runSync(Effect.provideService(Metric.snapshot, Metric.MetricRegistry, registry)).map((snapshot) => {
        const shown = Object.entries(snapshot.attributes ?? {})
          .filter(([key]) => key !== "unit")
          .map(([key, value]) => `${key}=${value}`)
        return [`${snapshot.id}{${shown.toSorted().join(",")}}`, value(snapshot)] as const
      })
    )

  return {
    spans,
    entries,
    layer: Layer.mergeAll(
      Layer.succeed(Tracer.Tracer, tracer),
      Layer.succeed(Metric.MetricRegistry, registry),
      Logger.layer([logger])
    ),
    named: (name) => spans.filter((span) => span.name === name),
    tree: () => below(undefined, 0),
    metrics: () =>
      series(({ state, type }) => (type === "Histogram" || type === "Counter" ? Number(state.count) : Number.NaN)),
    sums: () => series(({ state, type }) => (type === "Histogram" ? state.sum : Number.NaN))
  }
}
