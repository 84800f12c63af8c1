/**
 * The services behind the plain classes of the Promise API, for packages that are written with Effect and offer such
 * classes: `./promise` entries say nothing of Effect, and core still gets the whole service.
 *
 * What is registered here is found again by the copy of core that registered it, and by no other one.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import {
  type ArtifactError,
  type ArtifactInfo,
  ArtifactStorage,
  type GetOptions,
  type PutOptions
} from "./ArtifactStorage.ts"
import type { JobManager } from "./JobManager.ts"
import type { JobRepository, RepositoryError } from "./JobRepository.ts"
import type { OutputCheck } from "./OutputCheck.ts"
import type { ArtifactStorage as PlainStorage, StorageContext } from "./promise/ArtifactStorage.ts"
import * as QuietStack from "./internal/promise/QuietStack.ts"
import * as UserPromise from "./internal/promise/UserPromise.ts"
import { JobFolder } from "./promise/JobFolder.ts"
import { Telemetry } from "./promise/Telemetry.ts"
import type { VideoStitcher as PlainStitcher } from "./promise/VideoStitcher.ts"
import type { WorkerAdapter as PlainAdapter } from "./promise/WorkerAdapter.ts"
import type { VideoStitcher } from "./VideoStitcher.ts"
import type { WorkerAdapter } from "./WorkerAdapter.ts"
import type { Workspace, WorkspaceError } from "./Workspace.ts"

/** The layer of a job's files. */
export type WorkspaceLayer = Layer.Layer<Workspace, WorkspaceError>

/** The layer of a repository that keeps journals. */
export type RepositoryLayer = Layer.Layer<JobRepository, RepositoryError>

/** The layer of a storage. */
export type StorageLayer = Layer.Layer<ArtifactStorage, ArtifactError>

/** The layer of a stitcher, which reads chunks where the job's files are. */
export type StitcherLayer = Layer.Layer<VideoStitcher, never, Workspace>

/** An adapter as core runs attempts with it. */
export type AdapterService = WorkerAdapter["Service"]

/** A manager that has everything that jobs need: runs of it need not be given an adapter, and may be given other services. */
export interface Manager {
  readonly layer: Layer.Layer<JobManager | JobRepository>
  /**
   * The workspace, the output check and, where there is one, the stitcher of jobs in a folder; of those in the manager's own
   * where none is named.
   */
  readonly inFolder: (folder: string | undefined) => Layer.Layer<Workspace | OutputCheck, WorkspaceError>
}

/** Effect's tracer, loggers and exporters of metrics, or some of them. */
export type TelemetryLayer = Layer.Layer<never>

/** What a telemetry's effects run on. */
export type TelemetryRuntime = ManagedRuntime.ManagedRuntime<never, never>

const telemetries = new WeakMap<Telemetry, TelemetryRuntime>()
const adapters = new WeakMap<object, { readonly kind: PlainAdapter; readonly service: AdapterService }>()
const workspaces = new WeakMap<object, WorkspaceLayer>()
const repositories = new WeakMap<object, RepositoryLayer>()
const storages = new WeakMap<object, StorageLayer>()
const stitchers = new WeakMap<object, { readonly kind: PlainStitcher; readonly layer: StitcherLayer }>()
const managers = new WeakMap<object, Manager>()

/** Says that the options of a plain `JobManager` stand for one that has everything. */
export const backManager = (options: object, manager: Manager): void => {
  managers.set(options, manager)
}

/** The manager behind the options of a plain one. */
export const managerOf = (options: object): Option.Option<Manager> => Option.fromUndefinedOr(managers.get(options))

/**
 * Makes the `telemetry` of the Promise API from a layer: one of `@effect/opentelemetry`, for programs that have
 * OpenTelemetry already, or of Effect's own `effect/observability`.
 *
 * ```ts no-check: needs OpenTelemetry's packages
 * import { telemetry } from "@helios-infra/core/PromiseBacking"
 * import { OtelTracer } from "@effect/opentelemetry"
 *
 * const jobs = new JobManager({ telemetry: telemetry(OtelTracer.layerGlobal) })
 * ```
 */
export const telemetry = (layer: TelemetryLayer): Telemetry => {
  // In plain JavaScript it can fail all the same: that is no failure of a job.
  const runtime = ManagedRuntime.make(Layer.orDie(layer))
  const made = new Telemetry(runtime.dispose)
  telemetries.set(made, runtime)
  return made
}

/** The runtime behind a telemetry. */
export const telemetryOf = (made: Telemetry): Option.Option<TelemetryRuntime> =>
  Option.fromUndefinedOr(telemetries.get(made))

/** The layer of a telemetry, of which all that use it share one; an empty one where there is none. */
export const telemetryLayer = (made: Telemetry | undefined): TelemetryLayer => {
  if (made === undefined) return Layer.empty
  const runtime = telemetries.get(made)
  if (runtime === undefined) throw new TypeError(notTelemetry)
  return Layer.effectContext(runtime.contextEffect)
}

/** What is wrong with a telemetry that nobody made here. */
export const notTelemetry =
  "telemetry must be what telemetry(layer) of @helios-infra/core/PromiseBacking gives; is @helios-infra/core installed twice?"

/** Makes what an adapter's `files` gives. */
export const jobFolder = (dir: string, workspace: WorkspaceLayer): JobFolder => {
  const folder = new JobFolder(dir)
  workspaces.set(folder, workspace)
  return folder
}

/** The workspace behind what an adapter's `files` gave. */
export const workspaceOf = (folder: JobFolder): Option.Option<WorkspaceLayer> =>
  Option.fromUndefinedOr(workspaces.get(folder))

/**
 * Says which service a plain adapter stands for, as long as its method is the one of `kind`: core uses that, which can do
 * more than the method says, such as end what a dead process left.
 */
export const backAdapter = (plain: PlainAdapter, kind: PlainAdapter, service: AdapterService): void => {
  adapters.set(plain, { kind, service })
}

/** The service behind a plain adapter. */
export const adapterOf = (plain: PlainAdapter): Option.Option<AdapterService> => {
  const backed = adapters.get(plain)
  return backed !== undefined && backed.kind.execute === plain.execute ? Option.some(backed.service) : Option.none()
}

/** Says that a plain repository is one that keeps journals: core uses that in place of saving whole jobs. */
export const backRepository = (plain: object, repository: RepositoryLayer): void => {
  repositories.set(plain, repository)
}

/** The repository behind a plain one. */
export const repositoryOf = (plain: object): Option.Option<RepositoryLayer> =>
  Option.fromUndefinedOr(repositories.get(plain))

/**
 * Says that a plain stitcher can begin before the last chunk is there, as long as its method is the one of `kind`: core lets
 * the service join then. One whose method is another, of a subclass or put in its place, is asked to join in its own way.
 */
export const backStitcher = (plain: PlainStitcher, kind: PlainStitcher, layer: StitcherLayer): void => {
  stitchers.set(plain, { kind, layer })
}

/** The stitcher behind a plain one. */
export const stitcherOf = (plain: PlainStitcher): Option.Option<StitcherLayer> => {
  const backed = stitchers.get(plain)
  return backed !== undefined && backed.kind.stitch === plain.stitch ? Option.some(backed.layer) : Option.none()
}

/** Says which storage a plain object stands for. */
export const backStorage = (plain: object, storage: StorageLayer): void => {
  storages.set(plain, storage)
}

/** The storage behind a plain object. */
export const storageOf = (plain: object): Option.Option<StorageLayer> => Option.fromUndefinedOr(storages.get(plain))

/**
 * The base of classes that offer a storage: its methods with promises, and for core the service itself. Opens the storage
 * when it is first used; `close` lets go of it.
 */
export class StorageClass implements PlainStorage {
  readonly #runtime: ManagedRuntime.ManagedRuntime<ArtifactStorage, ArtifactError>

  constructor(storage: StorageLayer) {
    this.#runtime = ManagedRuntime.make(storage)
    backStorage(this, Layer.effectContext(this.#runtime.contextEffect))
  }

  put(
    key: string,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions = {},
    context?: StorageContext
  ): Promise<ArtifactInfo> {
    return this.#run(
      ArtifactStorage.use((storage) =>
        storage.put(
          key,
          Stream.fromAsyncIterable(body, (value) => new UserPromise.Thrown({ value })),
          options
        )
      ).pipe(
        // As it was thrown, whatever it is.
        Effect.catchTag("Thrown", ({ value }) => Effect.die(value))
      ),
      context?.signal
    )
  }

  get(key: string, options: GetOptions = {}): AsyncIterable<Uint8Array> {
    return this.#iterate(Stream.unwrap(ArtifactStorage.useSync((storage) => storage.get(key, options))))
  }

  head(key: string): Promise<ArtifactInfo | null> {
    return this.#run(
      Effect.map(
        ArtifactStorage.use((storage) => storage.head(key)),
        Option.getOrNull
      )
    )
  }

  list(prefix: string): AsyncIterable<ArtifactInfo> {
    return this.#iterate(Stream.unwrap(ArtifactStorage.useSync((storage) => storage.list(prefix))))
  }

  delete(keys: ReadonlyArray<string>): Promise<void> {
    return this.#run(ArtifactStorage.use((storage) => storage.delete(keys)))
  }

  url(key: string, options: { readonly method: "GET" | "PUT"; readonly expiresMs: number }): Promise<string> {
    const { expiresMs, method } = options
    return this.#run(ArtifactStorage.use((storage) => storage.url(key, { method, expires: expiresMs })))
  }

  /** Lets go of what the storage holds open. */
  close(): Promise<void> {
    return this.#runtime.dispose()
  }

  #run<A, E>(effect: Effect.Effect<A, E, ArtifactStorage>, signal?: AbortSignal): Promise<A> {
    return run(
      Effect.flatMap(this.#runtime.contextEffect, (context) => Effect.provide(effect, context)),
      signal
    )
  }

  #iterate<A, E>(stream: Stream.Stream<A, E, ArtifactStorage>): AsyncIterable<A> {
    return Stream.toAsyncIterable(
      Stream.unwrap(Effect.map(this.#runtime.contextEffect, (context) => Stream.provideContext(stream, context)))
    )
  }
}

/**
 * Runs an effect as a promise: rejects with its error as it is, or, when the signal stopped it, with the signal's reason.
 *
 * With a signal that core gave to a method, what it does is a part of what core called it for: in the same trace, its log
 * entries marked alike.
 */
export const run = <A, E>(effect: Effect.Effect<A, E>, signal?: AbortSignal): Promise<A> =>
  Effect.runPromiseExitWith(UserPromise.contextOf(signal))(effect, signal === undefined ? {} : { signal }).then(
    (exit) => {
      if (Exit.isSuccess(exit)) return exit.value
      if (Cause.hasInterruptsOnly(exit.cause)) signal?.throwIfAborted()
      const error = Cause.squash(exit.cause)
      QuietStack.quiet(error, QuietStack.here())
      throw error
    }
  )
