// A render from plain async code, in a program that has OpenTelemetry already: the run is a part of the span that is active
// when it is called, and the SDK takes its spans.
import { OtelTracer } from "@effect/opentelemetry"
import { LocalWorkerAdapter } from "@helios-infra/adapter-local/promise"
import { JobManager } from "@helios-infra/core/promise"
import { telemetry } from "@helios-infra/core/PromiseBacking"
import { context, trace } from "@opentelemetry/api"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node"

const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] })
provider.register()
const tracer = trace.getTracer("app")

const jobs = new JobManager({ telemetry: telemetry(OtelTracer.layerGlobal) })
const workerAdapter = new LocalWorkerAdapter()

/** What a handler of a web server would do. */
const handle = (name: string) =>
  tracer.startActiveSpan(name, async (span) => {
    const { id } = await jobs.createJob({
      metadata: { totalFrames: 2, fps: 24 },
      chunks: [0, 1].map((chunk) => ({
        id: chunk,
        startFrame: chunk,
        frameCount: 1,
        outputFile: `${name}_${chunk}.txt`,
        command: `sh -c 'echo "$TRACEPARENT" > "$1"' sh {output}`
      }))
    })
    await jobs.runJob(id, { workerAdapter })
    // What is active afterwards is what was active before.
    if (trace.getSpan(context.active()) !== span) throw new Error("another span is active")
    span.end()
  })

await Promise.all([handle("one"), handle("two")])
await provider.shutdown()
