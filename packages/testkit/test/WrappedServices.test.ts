/** What is put around services changes nothing that they promise, and neither does a pool of adapters. */
import {
  AdapterMiddleware,
  AdapterPool,
  ArtifactStorage,
  StitcherMiddleware,
  StorageMiddleware,
  VideoStitcher,
  WorkerAdapter
} from "@helios-infra/core"
import { aroundAdapter, limitConcurrency, overflow } from "@helios-infra/core/promise"
import {
  artifactStorageContract,
  FakeArtifactStorage,
  FakeFiles,
  FakeVideoStitcher,
  videoStitcherContract,
  workerAdapterContract
} from "@helios-infra/testkit"
import { Layer, Logger } from "effect"
import { videos, workers } from "./FakeRigs.ts"
import { changed } from "./Mutants.ts"
import { shell } from "./PlainClasses.ts"

const everything = { frames: true, reap: true } as const
const quiet = Logger.layer([])

const adapters = (around: AdapterMiddleware.Middleware, info?: Partial<WorkerAdapter.WorkerAdapterInfo>) =>
  changed(WorkerAdapter.WorkerAdapter, workers(info), around)

/** Two ways to the same workers, in a pool. */
const pooled =
  (make: typeof AdapterPool.overflow, options?: AdapterPool.Options): AdapterMiddleware.Middleware =>
  (adapter) =>
    make([AdapterMiddleware.named("a")(adapter), AdapterMiddleware.named("b: 100%")(adapter)], options)

/** Puts all of them around a service, the last outermost. */
const all =
  <S>(...middleware: ReadonlyArray<(service: S) => S>) =>
  (service: S): S =>
    middleware.reduce((inner, around) => around(inner), service)

workerAdapterContract(
  "an adapter with nothing around it",
  adapters(AdapterMiddleware.around((execute) => execute)),
  everything
)
workerAdapterContract(
  "an adapter with all middleware around it",
  adapters(
    all(
      AdapterMiddleware.limitTime("1 minute"),
      AdapterMiddleware.limitConcurrency(5),
      AdapterMiddleware.limitRate({ most: 20, per: "10 millis" }),
      AdapterMiddleware.named("other"),
      AdapterMiddleware.metrics(),
      AdapterMiddleware.logging()
    )
  ).pipe(Layer.provideMerge(quiet)),
  everything
)

workerAdapterContract("a pool that overflows", adapters(pooled(AdapterPool.overflow)), everything)
workerAdapterContract("a pool that falls back", adapters(pooled(AdapterPool.fallback)), everything)
workerAdapterContract(
  "a pool that goes on after all that it can",
  adapters(pooled(AdapterPool.overflow, { passOn: ["Unsupported", "NotFound", "WorkerLost"] })),
  // An attempt that is reaped has lost its worker, and goes on to the next.
  { frames: true }
)
workerAdapterContract(
  "a pool of machines that cannot be stopped",
  adapters(pooled(AdapterPool.overflow), { stop: "never" }),
  { ...everything, stop: "never" }
)
workerAdapterContract(
  "a pool of a pool and of its own adapters, wrapped",
  adapters((adapter) =>
    AdapterMiddleware.metrics()(
      AdapterPool.fallback([pooled(AdapterPool.overflow)(adapter), AdapterMiddleware.named("c")(adapter), adapter])
    )
  ),
  everything
)

workerAdapterContract("an adapter of the Promise API in a pool, wrapped", () =>
  shell((good) => limitConcurrency(overflow([aroundAdapter(good, (execute) => execute)]), 8))
)

const stitchers = (around: StitcherMiddleware.Middleware) =>
  changed(
    VideoStitcher.VideoStitcher,
    FakeVideoStitcher.layer({ takes: "10 millis", missingFolders: ["/job/nowhere"] }).pipe(
      Layer.merge(videos),
      Layer.provideMerge(FakeFiles.layer)
    ),
    around
  )

videoStitcherContract("a stitcher with nothing around it", stitchers(StitcherMiddleware.around((stitch) => stitch)))
videoStitcherContract(
  "a stitcher with all middleware around it",
  stitchers(
    all(
      StitcherMiddleware.limitTime("1 minute"),
      StitcherMiddleware.limitConcurrency(1),
      StitcherMiddleware.metrics(),
      StitcherMiddleware.logging()
    )
  ).pipe(Layer.provideMerge(quiet))
)

const storages = (around: StorageMiddleware.Middleware) =>
  changed(ArtifactStorage.ArtifactStorage, FakeArtifactStorage.layer(), around)

artifactStorageContract("a storage with nothing around it", storages(StorageMiddleware.around({})), { big: 1_000_000 })
artifactStorageContract(
  "a storage with all middleware around it",
  storages(
    all(
      StorageMiddleware.limitTime("1 minute"),
      StorageMiddleware.limitConcurrency(16),
      StorageMiddleware.limitRate({ most: 50, per: "10 millis" }),
      StorageMiddleware.metrics(),
      StorageMiddleware.logging()
    )
  ).pipe(Layer.provideMerge(quiet)),
  { big: 1_000_000 }
)
