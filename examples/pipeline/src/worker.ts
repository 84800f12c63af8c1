// A second machine: a server that renders chunks for the pipeline, two at a time. It prints where it can be asked.
import { NodeRuntime } from "@effect/platform-node"
import { WorkerServer } from "@helios-infra/worker-runtime"
import { Config, Console, Effect, Layer } from "effect"
import { storage } from "./storage.ts"

const server = Layer.unwrap(
  Effect.gen(function* () {
    const secret = yield* Config.Redacted("RENDER_SECRET")
    const port = yield* Config.Int("PORT").pipe(Config.withDefault(8080))
    return WorkerServer.layer({
      auth: { type: "shared-secret", secrets: [secret] },
      concurrency: 2,
      port,
      storage,
      workspaceDir: yield* Config.String("WORKSPACE").pipe(Config.withDefault("worker"))
    })
  })
)

const announce = Layer.effectDiscard(WorkerServer.WorkerServer.use(({ url }) => Console.log(`takes work at ${url}`)))

NodeRuntime.runMain(Layer.launch(Layer.provide(announce, server)))
