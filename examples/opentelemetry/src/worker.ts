// A worker that renders what render.ts sends it over HTTP. Its spans are parts of the traces of the attempts that they are
// about. It keeps outputs where render.ts looks for them: in the folder artifacts, which a bucket would be elsewhere.
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { FolderArtifactStorage } from "@helios-infra/adapter-local"
import { FfmpegOutputCheck } from "@helios-infra/stitcher-ffmpeg"
import { WorkerServer } from "@helios-infra/worker-runtime"
import { Config, Effect, Layer } from "effect"
import { Otlp } from "effect/observability"

const settings = Config.all({
  endpoint: Config.String("OTEL_EXPORTER_OTLP_ENDPOINT").pipe(Config.withDefault("http://localhost:4318")),
  port: Config.Int("PORT").pipe(Config.withDefault(8080)),
  secret: Config.Redacted("WORKER_SECRET"),
  workspaceDir: Config.String("WORKER_DIR")
})

const server = Layer.unwrap(
  Effect.map(settings, ({ endpoint, port, secret, workspaceDir }) => {
    // Effect's exporter: a fraction of the size of OpenTelemetry's SDK, which matters on platforms that start from nothing.
    const telemetry = Otlp.layerJson({ baseUrl: endpoint, resource: { serviceName: "worker" } }).pipe(
      Layer.provide(NodeHttpClient.layerUndici)
    )
    return WorkerServer.layer({
      auth: { type: "shared-secret", secrets: [secret] },
      port,
      workspaceDir,
      concurrency: 2,
      storage: FolderArtifactStorage.layer({ dir: "artifacts" }),
      outputCheck: FfmpegOutputCheck.layer(),
      allowedEnvironment: ["PATH", "FFMPEG_PATH"],
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }
    }).pipe(Layer.provide(telemetry))
  })
)

NodeRuntime.runMain(Layer.launch(server))
