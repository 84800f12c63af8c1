/**
 * OpenTelemetry's own SDK as Effect's tracer, metrics and logger. It sends to where the variable
 * `OTEL_EXPORTER_OTLP_ENDPOINT` says, else to a collector on this machine (http://localhost:4318).
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http"
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { BatchLogRecordProcessor } from "@opentelemetry/sdk-logs"
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics"
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base"

/** What it has is sent when its scope closes, and now and then before. */
export const layer = (serviceName: string) =>
  NodeSdk.layer(() => ({
    resource: { serviceName },
    spanProcessor: new BatchSpanProcessor(new OTLPTraceExporter()),
    metricReader: new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() }),
    logRecordProcessor: new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })
  }))
