/**
 * A collector of OTLP over HTTP, in JSON, that takes nothing but what the protocol has: every field of every message by its
 * name and type, ids and times as OTLP/JSON writes them. What is anything else is a problem, and answered as one.
 */
import { Effect, Schema } from "effect"
import { createServer, type IncomingMessage } from "node:http"
import { json } from "node:stream/consumers"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const optional = Schema.optionalKey
/** 64-bit numbers are decimal text. */
const Nanos = Schema.String.check(Schema.isPattern(/^\d{1,20}$/))
const TraceId = Schema.String.check(Schema.isPattern(/^(?!0+$)[\da-f]{32}$/))
const SpanId = Schema.String.check(Schema.isPattern(/^(?!0+$)[\da-f]{16}$/))

const Value = Schema.Union([
  Schema.Struct({ stringValue: Schema.String }),
  Schema.Struct({ boolValue: Schema.Boolean }),
  Schema.Struct({ intValue: Schema.Union([Schema.Int, Schema.String.check(Schema.isPattern(/^-?\d+$/))]) }),
  Schema.Struct({ doubleValue: Schema.Finite }),
  Schema.Struct({
    arrayValue: Schema.Struct({ values: Schema.Array(Schema.Struct({ stringValue: Schema.String })) })
  })
])
const Attributes = Schema.Array(Schema.Struct({ key: Schema.NonEmptyString, value: Value }))

const Resource = Schema.Struct({
  attributes: Attributes,
  droppedAttributesCount: optional(Count),
  entityRefs: optional(Schema.Array(Schema.Unknown))
})
const Scope = Schema.Struct({
  name: Schema.String,
  version: optional(Schema.String),
  attributes: optional(Attributes),
  droppedAttributesCount: optional(Count)
})

const Event = Schema.Struct({
  name: Schema.NonEmptyString,
  timeUnixNano: Nanos,
  attributes: Attributes,
  droppedAttributesCount: Count
})
const Link = Schema.Struct({
  traceId: TraceId,
  spanId: SpanId,
  traceState: optional(Schema.String),
  attributes: Attributes,
  droppedAttributesCount: Count,
  flags: optional(Count)
})
const Span = Schema.Struct({
  traceId: TraceId,
  spanId: SpanId,
  traceState: optional(Schema.String),
  parentSpanId: optional(SpanId),
  flags: optional(Count),
  name: Schema.NonEmptyString,
  kind: Schema.Literals([1, 2, 3, 4, 5]),
  startTimeUnixNano: Nanos,
  endTimeUnixNano: Nanos,
  attributes: Attributes,
  droppedAttributesCount: Count,
  events: Schema.Array(Event),
  droppedEventsCount: Count,
  status: Schema.Struct({ code: Schema.Literals([0, 1, 2]), message: optional(Schema.String) }),
  links: Schema.Array(Link),
  droppedLinksCount: Count
})
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({
      resource: Resource,
      schemaUrl: optional(Schema.String),
      scopeSpans: Schema.Array(
        Schema.Struct({ scope: Scope, schemaUrl: optional(Schema.String), spans: Schema.Array(Span) })
      )
    })
  )
})

const point = { attributes: Attributes, startTimeUnixNano: Nanos, timeUnixNano: Nanos, flags: optional(Count) }
const NumberPoint = Schema.Struct({
  ...point,
  asDouble: optional(Schema.Finite),
  asInt: optional(Schema.Union([Schema.Int, Schema.String]))
})
const Temporality = Schema.Literals([1, 2])
const MetricSchema = Schema.Struct({
  name: Schema.NonEmptyString,
  description: Schema.String,
  unit: Schema.String,
  gauge: optional(Schema.Struct({ dataPoints: Schema.Array(NumberPoint) })),
  sum: optional(
    Schema.Struct({
      aggregationTemporality: Temporality,
      isMonotonic: Schema.Boolean,
      dataPoints: Schema.Array(NumberPoint)
    })
  ),
  histogram: optional(
    Schema.Struct({
      aggregationTemporality: Temporality,
      dataPoints: Schema.Array(
        Schema.Struct({
          ...point,
          count: Schema.Union([Count, Nanos]),
          sum: Schema.Finite,
          min: optional(Schema.Finite),
          max: optional(Schema.Finite),
          bucketCounts: Schema.Array(Schema.Union([Count, Nanos])),
          explicitBounds: Schema.Array(Schema.Finite)
        })
      )
    })
  )
})
const Metrics = Schema.Struct({
  resourceMetrics: Schema.Array(
    Schema.Struct({
      resource: Resource,
      schemaUrl: optional(Schema.String),
      scopeMetrics: Schema.Array(
        Schema.Struct({ scope: Scope, schemaUrl: optional(Schema.String), metrics: Schema.Array(MetricSchema) })
      )
    })
  )
})

const LogRecord = Schema.Struct({
  timeUnixNano: Nanos,
  observedTimeUnixNano: Nanos,
  severityNumber: Schema.Int,
  severityText: Schema.String,
  body: Value,
  eventName: optional(Schema.String),
  attributes: Attributes,
  droppedAttributesCount: Count,
  flags: optional(Count),
  traceId: optional(TraceId),
  spanId: optional(SpanId)
})
const Logs = Schema.Struct({
  resourceLogs: Schema.Array(
    Schema.Struct({
      resource: Resource,
      schemaUrl: optional(Schema.String),
      scopeLogs: Schema.Array(
        Schema.Struct({ scope: Scope, schemaUrl: optional(Schema.String), logRecords: Schema.Array(LogRecord) })
      )
    })
  )
})

const strictly = { onExcessProperty: "error", errors: "all" } as const
const decode = {
  traces: Schema.decodeUnknownSync(Traces, strictly),
  metrics: Schema.decodeUnknownSync(Metrics, strictly),
  logs: Schema.decodeUnknownSync(Logs, strictly)
}

type Values = Readonly<Record<string, unknown>>

/** A span as it came, with the name of the service that sent it. */
export interface SeenSpan extends Omit<typeof Span.Type, "attributes"> {
  readonly service: unknown
  readonly attributes: Values
}

/** A log entry as it came. */
interface SeenLog extends Omit<typeof LogRecord.Type, "attributes"> {
  readonly service: unknown
  readonly attributes: Values
}

/** A metric as it last came from a service. */
export interface SeenMetric extends Schema.Schema.Type<typeof MetricSchema> {
  readonly service: unknown
}

/** The attributes as a record. */
export const values = (attributes: typeof Attributes.Type): Values =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

/** Listens until the scope closes. */
export const make = Effect.gen(function* () {
  const spans: Array<SeenSpan> = []
  const logs: Array<SeenLog> = []
  const metrics = new Map<string, SeenMetric>()
  const problems: Array<string> = []
  const serviceOf = ({ attributes }: typeof Resource.Type) => values(attributes)["service.name"]

  const take = (path: string, body: unknown): void => {
    switch (path) {
      case "/v1/traces":
        for (const { resource, scopeSpans } of decode.traces(body).resourceSpans) {
          for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
            spans.push({ ...span, attributes: values(span.attributes), service: serviceOf(resource) })
          }
        }
        return
      case "/v1/metrics":
        for (const { resource, scopeMetrics } of decode.metrics(body).resourceMetrics) {
          const service = serviceOf(resource)
          for (const metric of scopeMetrics.flatMap((scope) => scope.metrics)) {
            metrics.set(`${String(service)} ${metric.name}`, { ...metric, service })
          }
        }
        return
      case "/v1/logs":
        for (const { resource, scopeLogs } of decode.logs(body).resourceLogs) {
          for (const record of scopeLogs.flatMap((scope) => scope.logRecords)) {
            logs.push({ ...record, attributes: values(record.attributes), service: serviceOf(resource) })
          }
        }
        return
      default:
        throw new Error("nothing is taken there")
    }
  }

  const answer = async (request: IncomingMessage): Promise<number> => {
    const { headers, method, url = "" } = request
    try {
      if (method !== "POST" || headers["content-type"] !== "application/json") {
        throw new Error(`${method} of ${headers["content-type"]}`)
      }
      take(url, await json(request))
      return 200
    } catch (error) {
      problems.push(`${url}: ${String(error)}`)
      return 400
    }
  }

  const server = createServer((request, response) => {
    void answer(request).then((status) => response.writeHead(status, { "content-type": "application/json" }).end("{}"))
  })
  const port = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  return { url: `http://127.0.0.1:${port}`, spans, logs, metrics, problems }
})
