/**
 * What the service of the farm runs.
 *
 * Configured by the variables that `service.yaml` sets:
 *
 * - `HELIOS_INFRA_AUTH`: who may ask for chunks. `platform` is for services that nobody reaches whom Cloud Run's IAM has
 *   not let in, `id-token` for others. There is no default.
 * - `HELIOS_INFRA_AUDIENCE`, `HELIOS_INFRA_ACCOUNTS`: for `id-token`, who a token has to be for, and whose tokens count;
 *   several with commas between them.
 * - `HELIOS_INFRA_BUCKET`: the bucket that jobs come from and outputs go to, with the service's own rights.
 * - `HELIOS_INFRA_PREFIX`: what all keys in it begin with. Default: nothing.
 * - `HELIOS_INFRA_SOURCES`: beginnings of https URLs, and absolute folders, with commas between them, that jobs may come
 *   from and outputs go to.
 * - `HELIOS_INFRA_TIMEOUT`: how many seconds the service lets a request take, its `timeoutSeconds`. Default: 300, as
 *   Cloud Run's.
 * - `HELIOS_INFRA_WORKSPACE`: the folder that everything happens in. Default: `/tmp`.
 *
 * Without a bucket and without sources, there are jobs in that folder alone.
 */
import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
import * as CloudRunServer from "@helios-infra/worker-runtime/CloudRunServer"
import type { RequestAuth } from "@helios-infra/worker-runtime/RequestAuth"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import process from "node:process"

const text = (name: string) => Config.String(name).pipe(Config.withDefault(""))

const list = (name: string) =>
  Config.map(text(name), (value) =>
    value
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")
  )

const settings = Config.all({
  auth: Config.Literals(["platform", "id-token"], "AUTH"),
  audience: list("AUDIENCE"),
  allowedAccounts: list("ACCOUNTS"),
  bucket: text("BUCKET"),
  prefix: text("PREFIX"),
  sources: list("SOURCES"),
  timeout: Config.Int("TIMEOUT").pipe(Config.withDefault(300)),
  workspaceDir: Config.String("WORKSPACE").pipe(Config.withDefault("/tmp"))
}).pipe(Config.nested("HELIOS_INFRA"))

const serve = Effect.gen(function* () {
  const { allowedAccounts, audience, bucket, prefix, sources, timeout, workspaceDir, ...told } = yield* settings
  const auth: RequestAuth =
    told.auth === "platform" ? { type: told.auth } : { type: told.auth, audience, allowedAccounts }
  yield* CloudRunServer.run({
    auth,
    workspaceDir,
    timeLimit: Duration.seconds(timeout),
    ...(bucket === ""
      ? undefined
      : { storage: GcsArtifactStorage.layer({ bucket, ...(prefix === "" ? undefined : { prefix }) }) }),
    ...(bucket === "" && sources.length === 0 ? undefined : { sources }),
    outputCheck: FfmpegOutputCheck.layer()
  })
})

/** Says why it does not serve, in the log's format, and ends the process. */
const main = Effect.catchCause(serve, (cause) =>
  Effect.andThen(
    Effect.logFatal("the worker does not serve", cause),
    Effect.sync(() => {
      process.exitCode = 1
    })
  )
)

await Effect.runPromise(Effect.provide(main, CloudRunServer.layerLogger()))
