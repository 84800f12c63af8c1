/**
 * A job whose workers are elsewhere: its file and assets go to a storage, what attempts write there comes back.
 *
 * {@link make} puts that around the services of a run: the adapter is told where each attempt's artifacts are, outputs
 * are brought here for the stitcher as they come, the check believes a worker that has looked into its output. Attempts that run here
 * see no difference, so that some chunks of a job can run here and some there.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ArtifactLayout from "./ArtifactLayout.ts"
import { ArtifactError, type ArtifactStorage, keyOf, locationOf } from "./ArtifactStorage.ts"
import type { OpenAttempt } from "./internal/OpenAttempts.ts"
import { InvalidRequest } from "./JobError.ts"
import type { JobSpec } from "./JobSpec.ts"
import * as OutputCheck from "./OutputCheck.ts"
import type { ArtifactPlace, OutputRef, WorkerJob, WorkerResult } from "./WorkerAdapter.ts"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import { ChunkInvalid, StitchError, type StitchRequest, VideoStitcher } from "./VideoStitcher.ts"
import { Refused, Transport, type WorkerError, type WorkerReason } from "./WorkerError.ts"
import { type ReceivedFile, Workspace, WorkspaceError } from "./Workspace.ts"

/** How a job uses its storage. */
export interface Options {
  /**
   * How workers get at artifacts: with `credentials` of their own for the storage, or by `urls` that are made for each
   * attempt and expire. Default: `"credentials"`.
   */
  readonly access?: "credentials" | "urls" | undefined
  /** How long such a URL works: at least twice as long as an attempt takes. Default: 12 hours. */
  readonly urlsExpire?: Duration.Input | undefined
  /**
   * Whether the stitcher is given `copies` of outputs, or reads them from the `storage`, part by part as it joins them, where
   * it can (`VideoStitcher.readsRemote`). Copies take the room of all chunks on this machine, and are known to be whole before
   * anything is made of them. Default: `"copies"`.
   */
  readonly stitchFrom?: "copies" | "storage" | undefined
  /** Whether all outputs and logs, and the job file, stay in the storage when a run ends. Default: accepted outputs of a job that is not completed. */
  readonly keep?: boolean | undefined
}

const urlsExpireByDefault = Duration.hours(12)

/** How many assets are on their way at once. */
const uploads = 8

/** How many outputs are fetched at once. */
const downloads = 4

/** How often an output is fetched again that did not arrive as it was sent. */
const refetches = 2

/** How long telling a worker to stop may take. */
const cancelTimeout = Duration.seconds(10)

// ---------------------------------------------
// a run's services, with a storage
// ---------------------------------------------

/** The services of a run. */
export interface Services {
  readonly workerAdapter: WorkerAdapter.WorkerAdapter["Service"]
  readonly workspace: Workspace["Service"]
  readonly outputCheck: OutputCheck.OutputCheck["Service"]
  readonly stitcher: VideoStitcher["Service"] | undefined
}

/** The same with a storage. */
export interface StoredJob extends Services {
  /** Sends what workers elsewhere need; done before the first attempt. Does nothing where none are elsewhere. */
  readonly upload: Effect.Effect<void, ArtifactError | WorkspaceError | InvalidRequest>
  /** Tells workers elsewhere that attempts of a dead orchestrator are not wanted any more. */
  readonly fence: (attempts: ReadonlyArray<OpenAttempt>) => Effect.Effect<void>
}

/** Puts a storage around the services of one job's runs. */
export const make = Effect.fnUntraced(function* (
  storage: ArtifactStorage["Service"],
  job: { readonly id: string; readonly spec: JobSpec },
  services: Services,
  options: Options = {}
): Effect.fn.Return<StoredJob> {
  const { outputCheck, stitcher, workerAdapter, workspace } = services
  const byUrl = options.access === "urls"
  const expires = Duration.fromInputUnsafe(options.urlsExpire ?? urlsExpireByDefault)

  /** The place, with a URL where workers have no credentials. */
  const reachable = (method: "GET" | "PUT") => (place: ArtifactPlace) =>
    byUrl
      ? Effect.map(storage.url(place.key, { method, expires }), (url) => ({ ...place, url }))
      : Effect.succeed(place)

  const readable = (key: string): Effect.Effect<string, ArtifactError> =>
    Effect.map(reachable("GET")({ key }), ({ url }) => url ?? locationOf(key))

  const putJson = (key: string, value: unknown) =>
    storage.put(key, Stream.encodeText(Stream.make(JSON.stringify(value))))

  const sendAssets = Effect.fnUntraced(function* (names: ReadonlyArray<string>) {
    const { transfer } = workspace
    if (transfer === undefined) {
      const fix = "this workspace cannot send assets: use one with files, such as the one of adapter-local"
      return yield* new InvalidRequest({ fix })
    }
    const assets = yield* transfer.assets(names).pipe(
      Stream.mapEffect(
        Effect.fnUntraced(function* ({ bytes, content, path, sha256 }) {
          const key = ArtifactLayout.assetKey(sha256)
          const there = yield* storage.head(key)
          if (Option.isNone(there) || there.value.bytes !== bytes) {
            yield* storage.put(key, content, { bytes, sha256 })
          }
          return { path, bytes, sha256, location: yield* readable(key) }
        }),
        { concurrency: uploads }
      ),
      Stream.runCollect
    )
    const list: ArtifactLayout.AssetList = { version: 1, assets }
    yield* putJson(ArtifactLayout.assetsKey(job.id), list)
    return yield* readable(ArtifactLayout.assetsKey(job.id))
  })

  const send = Effect.gen(function* () {
    const { assets = [] } = job.spec
    const assetsUrl = assets.length === 0 ? undefined : { assetsUrl: yield* sendAssets(assets) }
    yield* putJson(ArtifactLayout.jobFileKey(job.id), { ...job.spec, id: job.id, ...assetsUrl })
  })
  // URLs of assets stand in their list, which has to be made anew before they expire.
  const sent = byUrl
    ? yield* Effect.cachedWithTTL(send, (exit) => (Exit.isSuccess(exit) ? Duration.divideUnsafe(expires, 2) : 0))
    : yield* Effect.cachedWithTTL(send, (exit) => (Exit.isSuccess(exit) ? Duration.infinity : 0))

  const execute = Effect.fn("JobArtifacts.execute")(function* (
    attempt: WorkerJob,
    signal: (signal: WorkerAdapter.WorkerSignal) => void
  ) {
    const { meta } = attempt
    if (meta._tag === "Merge") return yield* workerAdapter.execute(attempt, signal)
    const places = ArtifactLayout.attemptArtifacts(meta, attempt.outputFile ?? "")
    const told = Effect.gen(function* () {
      yield* sent
      return {
        ...meta,
        jobDefUrl: yield* readable(ArtifactLayout.jobFileKey(job.id)),
        artifacts: {
          output: yield* reachable("PUT")(places.output),
          log: yield* reachable("PUT")(places.log),
          cancelled: yield* reachable("GET")(places.cancelled)
        }
      }
    }).pipe(Effect.mapError((error) => WorkerAdapter.failure(workerAdapter.info.name, attempt, reasonOf(error))))
    let mayRunOn = false
    const withArtifacts = { ...attempt, meta: yield* told }
    return yield* workerAdapter
      .execute(withArtifacts, (said) => {
        if (said._tag === "NotStopped") mayRunOn = true
        signal(said)
      })
      .pipe(
        // Nobody will look at what it writes: it need not be paid for.
        Effect.onExit((exit) =>
          mayRunOn || (Exit.isFailure(exit) && lostSight(exit)) ? cancel(places.cancelled.key) : Effect.void
        )
      )
  })

  const cancel = (key: string): Effect.Effect<void> =>
    storage.put(key, Stream.empty).pipe(
      Effect.timeout(cancelTimeout),
      Effect.catchCause((cause) => Effect.logWarning(`a worker could not be told to stop, ${key} is not there`, cause)),
      Effect.asVoid
    )

  const fetched = new Map<string, Effect.Effect<string, WorkspaceError>>()

  /** Brings an output here, once. */
  const fetch = (output: OutputRef, key: string): Effect.Effect<string, WorkspaceError> =>
    Effect.suspend(() => {
      const known = fetched.get(key)
      if (known !== undefined) return known
      const { transfer } = workspace
      const failure = (cause: unknown) => new WorkspaceError({ path: output.location, reason: "Unavailable", cause })
      if (transfer === undefined) {
        return Effect.fail(failure(new Error("this workspace cannot receive outputs: use one with files")))
      }
      const receive = transfer.receive(job.id, key, storage.get(key)).pipe(
        Effect.flatMap((file) => {
          const wrong = difference(output, file)
          return wrong === undefined
            ? Effect.succeed(file.path)
            : Effect.fail(new ArtifactError({ key, reason: "Corrupt", cause: new Error(wrong) }))
        }),
        Effect.retry({
          times: refetches,
          while: (error) => error._tag === "ArtifactError" && error.reason === "Corrupt"
        }),
        Effect.catchTag("ArtifactError", (error) =>
          Effect.fail(
            error.reason === "NotFound"
              ? new WorkspaceError({ path: output.location, reason: "NotFound", cause: error })
              : failure(error)
          )
        )
      )
      return Effect.flatMap(
        Effect.cachedWithTTL(receive, (exit) => (Exit.isSuccess(exit) ? Duration.infinity : 0)),
        (once) => {
          fetched.set(key, once)
          return once
        }
      )
    })

  const stored = Workspace.of({
    ...workspace,
    locate: (output) => {
      const key = keyOf(output.location)
      return key === undefined ? workspace.locate(output) : fetch(output, key)
    },
    stat: (output) => {
      const key = keyOf(output.location)
      if (key === undefined) return workspace.stat(output)
      return Effect.mapError(
        storage.head(key),
        (cause) => new WorkspaceError({ path: output.location, reason: "Unavailable", cause })
      )
    },
    publish: (output, outputFile) => {
      const key = keyOf(output.location)
      if (key === undefined) return workspace.publish(output, outputFile)
      return Effect.flatMap(fetch(output, key), (location) => workspace.publish({ ...output, location }, outputFile))
    },
    remove: (jobId, keep) => Effect.andThen(workspace.remove(jobId, keep), removeAttempts(jobId, keep))
  })

  const removeAttempts = (jobId: string, keep: ReadonlyArray<string>): Effect.Effect<void, WorkspaceError> => {
    if (options.keep === true) return Effect.void
    const kept = new Set(keep.map(keyOf))
    return storage.list(ArtifactLayout.jobPrefix(jobId)).pipe(
      Stream.map(({ key }) => key),
      // Attempts that could not be stopped still look for the sign that they are not wanted any more.
      Stream.filter((key) => !kept.has(key) && !ArtifactLayout.isCancelled(key)),
      Stream.runForEachArray(storage.delete),
      Effect.mapError((cause) => new WorkspaceError({ path: locationOf(cause.key), reason: "Unavailable", cause }))
    )
  }

  const check = Effect.fnUntraced(function* (
    attempt: WorkerJob,
    result: WorkerResult
  ): Effect.fn.Return<OutputRef, WorkerError> {
    const { output } = result
    const key = output === undefined ? undefined : keyOf(output.location)
    if (output === undefined || key === undefined) return yield* outputCheck.check(attempt, result)
    const found = yield* OutputCheck.findOutput(stored, attempt, result)
    if (found.frames !== undefined && found.format !== undefined) return found
    // The worker could not look into what it wrote.
    const location = yield* Effect.mapError(fetch(found, key), (error) =>
      OutputCheck.failure(attempt, result, new Transport({ cause: error }))
    )
    const checked = yield* outputCheck.check(attempt, { ...result, output: { ...found, location } })
    return { ...checked, location: found.location }
  })

  /** Has the stitcher read outputs from the storage itself. */
  const stitchFromStorage = (join: VideoStitcher["Service"]["stitch"]) => (request: StitchRequest) =>
    join({
      ...request,
      remote: ({ bytes, location }) => {
        const key = keyOf(location)
        return key === undefined ? undefined : { bytes, read: (range) => storage.get(key, range) }
      }
    })

  /** Gives the stitcher local files, fetched while others are still rendered. */
  const stitch = (join: VideoStitcher["Service"]["stitch"]) => (request: StitchRequest) =>
    Effect.gen(function* () {
      const failed = yield* Deferred.make<never, StitchError>()
      const inputs = Stream.mapEffect(
        request.inputs,
        (output) => {
          const key = keyOf(output.location)
          if (key === undefined) return Effect.succeed(output)
          return fetch(output, key).pipe(
            Effect.map((location) => ({ ...output, location })),
            Effect.catch((error) =>
              Effect.andThen(
                Deferred.fail(
                  failed,
                  new StitchError({
                    chunkId: output.chunkId,
                    reason: new ChunkInvalid({ expected: `its output at ${output.location}`, found: error.message })
                  })
                ),
                Effect.never
              )
            )
          )
        },
        { concurrency: downloads }
      )
      return yield* Effect.raceFirst(join({ ...request, inputs }), Deferred.await(failed))
    })

  const elsewhere = workerAdapter.info.where === "remote"
  return {
    workerAdapter: elsewhere ? WorkerAdapter.WorkerAdapter.of({ ...workerAdapter, execute }) : workerAdapter,
    workspace: stored,
    outputCheck: OutputCheck.OutputCheck.of({ check }),
    stitcher:
      stitcher &&
      VideoStitcher.of({
        stitch:
          options.stitchFrom === "storage" && stitcher.readsRemote === true
            ? stitchFromStorage(stitcher.stitch)
            : stitch(stitcher.stitch)
      }),
    upload: elsewhere ? sent : Effect.void,
    fence: (attempts) =>
      elsewhere
        ? Effect.forEach(
            attempts,
            ({ attempt, chunkId, run }) =>
              cancel(ArtifactLayout.cancelledKey({ jobId: job.id, run, chunkId, attempt })),
            { concurrency: uploads, discard: true }
          )
        : Effect.void
  }
})

/** Whether a worker may still be at work that nobody hears of any more. */
const lostSight = (exit: Exit.Exit<unknown, WorkerError>): boolean =>
  Option.exists(Exit.findErrorOption(exit), ({ reason }) => reason._tag === "Transport")

const reasonOf = (error: ArtifactError | WorkspaceError | InvalidRequest): WorkerReason =>
  error._tag === "ArtifactError" && error.reason === "Unauthorized"
    ? new Refused({ why: "Unauthorized", fix: error.message })
    : new Transport({ cause: error })

/** How what came differs from what was sent. */
const difference = (sent: OutputRef, received: ReceivedFile): string | undefined => {
  if (sent.bytes !== received.bytes) return `${sent.bytes} bytes were sent, ${received.bytes} came`
  return sent.sha256 === undefined || sent.sha256 === received.sha256 ? undefined : "its SHA-256 differs"
}

/** Deletes what a job has in a storage. */
export const remove = (storage: ArtifactStorage["Service"], jobId: string): Effect.Effect<void, ArtifactError> =>
  storage.list(ArtifactLayout.jobPrefix(jobId)).pipe(
    Stream.map(({ key }) => key),
    Stream.runForEachArray(storage.delete)
  )
