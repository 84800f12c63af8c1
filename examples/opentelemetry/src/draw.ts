// The command of a chunk: draws frames with ffmpeg, in a span of its own below the attempt's, which it finds in its
// environment. Usage: node draw.ts START COUNT FILE
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { TraceContext } from "@helios-infra/core"
import { Ffmpeg } from "@helios-infra/stitcher-ffmpeg"
import { Config, Effect, Layer } from "effect"
import { OtlpSerialization, OtlpTracer } from "effect/observability"

const [start = "0", count = "1", file = "out.mov"] = process.argv.slice(2)

const draw = Effect.gen(function* () {
  const ffmpeg = yield* Ffmpeg.find()
  const frames = `testsrc2=size=160x90:rate=24,trim=start_frame=${start},setpts=PTS-STARTPTS`
  const codec = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-pix_fmt", "yuv420p"]
  yield* ffmpeg.run(["-y", "-f", "lavfi", "-i", frames, "-frames:v", count, ...codec, file])
}).pipe(Effect.withSpan("draw", { attributes: { frames: Number(count) } }))

const telemetry = Layer.unwrap(
  Effect.map(Config.String("OTEL_EXPORTER_OTLP_ENDPOINT"), (endpoint) =>
    OtlpTracer.layer({ url: `${endpoint}/v1/traces`, resource: { serviceName: "draw" } })
  )
).pipe(Layer.provide([OtlpSerialization.layerJson, NodeHttpClient.layerUndici]))

const { TRACEPARENT: traceparent, TRACESTATE: tracestate } = process.env

draw.pipe(TraceContext.continueFrom({ traceparent, tracestate }), Effect.provide(telemetry), NodeRuntime.runMain)
