/** A job whose workers share nothing with the orchestrator but a storage, joined from there. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { FolderArtifactStorage, LocalWorkspace } from "@helios-infra/adapter-local"
import { type ArtifactStorage, JobManager, JobRepository, WorkerAdapter, WorkerProtocol } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher, StitchManifest } from "@helios-infra/stitcher-ffmpeg"
import { S3ArtifactStorage } from "@helios-infra/storage-s3"
import { WorkerRuntime } from "@helios-infra/worker-runtime"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { mkdir, readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import * as StrictS3 from "../../packages/storage-s3/test/StrictS3.ts"
import * as RealMachine from "./RealMachine.ts"

const inS3 = Effect.map(StrictS3.start, (s3) =>
  S3ArtifactStorage.layer({
    bucket: StrictS3.bucket,
    region: StrictS3.region,
    credentials: StrictS3.credentials,
    endpoint: s3.endpoint,
    forcePathStyle: true
  })
)

const inFolder = Effect.map(RealMachine.folder, (dir) => FolderArtifactStorage.layer({ dir }))

/** Runs a job of workers elsewhere; gives its folder, and which files were brought to it from the storage. */
const run = Effect.fnUntraced(function* <E>(
  storage: Layer.Layer<ArtifactStorage.ArtifactStorage, E>,
  artifacts: JobManager.RunOptions["artifacts"]
) {
  const root = yield* RealMachine.folder
  const [dir, workspaceDir] = [join(root, "job"), join(root, "worker")]
  yield* Effect.promise(() => Promise.all([mkdir(dir), mkdir(workspaceDir)]))
  const worker = WorkerRuntime.layer({
    workspaceDir,
    storage,
    outputCheck: FfmpegOutputCheck.layer({ ffmpegPath: ffmpeg })
  })
  const elsewhere = Layer.effect(
    WorkerAdapter.WorkerAdapter,
    Effect.map(WorkerRuntime.WorkerRuntime, (there) =>
      WorkerAdapter.make({
        info: { name: "elsewhere", where: "remote", stop: "always", concurrency: 2 },
        execute: (attempt, signal) => {
          const request = WorkerProtocol.requestOf(attempt, attempt.meta.jobDefUrl ?? "")
          if (request === undefined) return Effect.die("a job without a job file")
          return Effect.catchTag(
            there.execute(request, { onSignal: signal, workerId: "worker 7" }),
            "AttemptCancelled",
            () => Effect.interrupt
          )
        }
      })
    )
  ).pipe(Layer.provide(worker))
  const manifest = join(root, "manifest.json")
  const layer = JobManager.layer.pipe(
    Layer.provide([
      JobRepository.layerMemory,
      elsewhere,
      storage,
      FfmpegStitcher.layer({ ffmpegPath: ffmpeg, manifest }),
      FfmpegOutputCheck.layer({ ffmpegPath: ffmpeg })
    ]),
    Layer.provide(LocalWorkspace.layer({ dir }))
  )
  const spec = yield* RealMachine.plan(RealMachine.render({}), { chunks: { count: 4 } })
  const running = JobManager.JobManager.use((jobs) =>
    Effect.flatMap(jobs.create(spec), ({ id }) => jobs.run(id, { outputFile: "film.mp4", artifacts }))
  )
  const received = new Set<string>()
  const look = Effect.promise(() => readdir(dir, { recursive: true })).pipe(
    Effect.map((names) =>
      names.filter((name) => /received-|\d-copy$/.test(name)).forEach((name) => received.add(name))
    ),
    Effect.ignoreCause
  )
  yield* Effect.raceFirst(
    Effect.provide(running, layer),
    Effect.forever(Effect.andThen(Effect.sleep("2 millis"), look))
  )
  const text = yield* Effect.promise(() => readFile(manifest, "utf8"))
  return { dir, received, manifest: yield* Schema.decodeEffect(StitchManifest.json)(text) }
})

describe("chunks in a storage", { timeout: 90_000 }, () => {
  it.live.each([
    ["S3", inS3],
    ["a folder", inFolder]
  ] as const)("are joined from there, to the same film as from copies: %s", ([, makeStorage]) =>
    Effect.gen(function* () {
      const copied = yield* run(yield* makeStorage, {})
      assert.isAbove(copied.received.size, 0)
      const stored = yield* run(yield* makeStorage, { stitchFrom: "storage" })
      assert.deepStrictEqual([...stored.received], [])
      assert.deepStrictEqual(
        yield* RealMachine.hashesOf(join(stored.dir, "film.mp4")),
        yield* RealMachine.hashesOf(join(copied.dir, "film.mp4"))
      )
      assert.lengthOf(stored.manifest.chunks, 4)
      for (const [index, { attempts, durationMs = 0, run, sha256, workerId }] of stored.manifest.chunks.entries()) {
        assert.strictEqual(sha256, copied.manifest.chunks[index]?.sha256)
        assert.deepInclude({ attempts, run, workerId }, { attempts: 1, run: 1, workerId: "worker 7" })
        assert.isAbove(durationMs, 0)
      }
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(stored.dir)), ["film.mp4"])
    })
  )
})
