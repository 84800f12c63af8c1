/**
 * The worker's server as a service of Google Cloud Run.
 *
 * ```ts
 * import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
 * import * as CloudRunServer from "@helios-infra/worker-runtime/CloudRunServer"
 * import * as Effect from "effect/Effect"
 *
 * await Effect.runPromise(CloudRunServer.run({ auth: { type: "platform" }, storage: GcsArtifactStorage.layer({ bucket: "renders" }) }))
 * ```
 *
 * It listens where Cloud Run wants it to, writes log entries as Google's logging reads them, and is over within the ten
 * seconds that Cloud Run gives an instance that it ends. All else is `WorkerServer`'s.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { stdout } from "node:process"
import * as cloudLog from "./internal/cloudLog.ts"
import * as endSignal from "./internal/endSignal.ts"
import * as WorkerServer from "./WorkerServer.ts"

/** How the service works. */
export interface Options<E = never> extends Omit<WorkerServer.Options<E>, "workspaceDir" | "name"> {
  /** The folder that everything happens in; without a volume it is in the instance's memory. Default: `"/tmp"`. */
  readonly workspaceDir?: string | undefined
  /** Default: `"0.0.0.0"`. */
  readonly host?: string | undefined
  /** Default: what the variable `PORT` says, else 8080. */
  readonly port?: number | undefined
  /** Between TERM and KILL: what is left of Cloud Run's ten seconds once attempts had theirs. Default: 1 second. */
  readonly killGrace?: Duration.Input | undefined
  /** How long a connection is kept for the next request: longer than Google's proxies keep theirs. Default: 620 seconds. */
  readonly keepAliveTimeout?: Duration.Input | undefined
  /** The project whose traces log entries belong to. Default: the variable `GOOGLE_CLOUD_PROJECT`, which you have to set. */
  readonly projectId?: string | undefined
  /** Where spans and metrics go, and log entries beside standard output. Default: nowhere. */
  readonly telemetry?: Layer.Layer<never, E> | undefined
}

/** A service could not be made. */
export type MakeError = WorkerServer.MakeError | Config.ConfigError

const name = "cloud-run"

const fromEnvironment = Config.all({
  port: Config.Int("PORT").pipe(Config.withDefault(8080)),
  revision: Config.String("K_REVISION").pipe(Config.withDefault(name))
})

/** Listens, as `WorkerServer.make` does. */
export const make = <E = never>(
  options: Options<E>
): Effect.Effect<WorkerServer.WorkerServer["Service"], MakeError | E, Scope.Scope> =>
  Effect.gen(function* () {
    const { port, revision } = yield* fromEnvironment
    return yield* WorkerServer.make({
      ...options,
      name,
      host: options.host ?? "0.0.0.0",
      port: options.port ?? port,
      workspaceDir: options.workspaceDir ?? "/tmp",
      killGrace: options.killGrace ?? Duration.seconds(1),
      keepAliveTimeout: options.keepAliveTimeout ?? Duration.seconds(620),
      // All instances have the same host's name.
      workerId: options.workerId ?? `${revision}/${randomBytes(4).toString("hex")}`
    })
  })

/** Writes one line of JSON for each entry, in the fields of Google's logging. */
export const layerLogger = (
  options: {
    readonly projectId?: string | undefined
  } = {}
): Layer.Layer<never, Config.ConfigError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const project = yield* Config.option(Config.String("GOOGLE_CLOUD_PROJECT"))
      const { projectId = Option.getOrUndefined(project) } = options
      return Logger.layer([
        Logger.map(cloudLog.make(projectId), (line) => {
          stdout.write(`${line}\n`)
        })
      ])
    })
  )

/** {@link make} as a layer, with {@link layerLogger} and the telemetry. */
export const layer = <E = never>(options: Options<E>): Layer.Layer<WorkerServer.WorkerServer, MakeError | E> =>
  Layer.effect(WorkerServer.WorkerServer, make(options)).pipe(
    Layer.provide(options.telemetry ?? Layer.empty),
    Layer.provideMerge(layerLogger(options))
  )

/**
 * {@link layer} for a program's main: serves until SIGTERM or SIGINT comes, and is done when the server has ended. A
 * second signal ends the process as it does any other.
 */
export const run = <E = never>(options: Options<E>): Effect.Effect<void, MakeError | E> =>
  Effect.raceFirst(Layer.launch(layer(options)), endSignal.next)
