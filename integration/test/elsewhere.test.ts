/** A job of which some chunks render here and some in a worker's runtime that shares nothing with it but a storage. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { FolderArtifactStorage, LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository, WorkerAdapter, WorkerProtocol } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { WorkerRuntime } from "@helios-infra/worker-runtime"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdir, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as RealMachine from "./RealMachine.ts"

describe("a job with chunks here and elsewhere", { timeout: 60_000 }, () => {
  it.live("is one film, and leaves nothing in either place", () =>
    Effect.gen(function* () {
      const root = yield* RealMachine.folder
      const [dir, workspaceDir] = [join(root, "job"), join(root, "worker")]
      yield* Effect.promise(async () => {
        await mkdir(join(dir, "filters"), { recursive: true })
        await mkdir(workspaceDir)
        await writeFile(join(dir, "filters", "hue"), "hue=h=90")
      })
      const storage = FolderArtifactStorage.layer({ dir: join(root, "artifacts") })
      const worker = WorkerRuntime.layer({
        workspaceDir,
        storage,
        outputCheck: FfmpegOutputCheck.layer({ ffmpegPath: ffmpeg })
      })
      const elsewhere: Array<number> = []
      const mixed = Layer.effect(
        WorkerAdapter.WorkerAdapter,
        Effect.gen(function* () {
          const here = yield* LocalWorkerAdapter.make()
          const there = yield* WorkerRuntime.WorkerRuntime
          return WorkerAdapter.make({
            info: { name: "mixed", where: "remote", stop: "always", concurrency: 2 },
            execute: (attempt, signal) => {
              const chunk = WorkerAdapter.chunkId(attempt)
              const request = WorkerProtocol.requestOf(attempt, attempt.meta.jobDefUrl ?? "")
              if (chunk === undefined || chunk % 2 === 0 || request === undefined) return here.execute(attempt, signal)
              elsewhere.push(chunk)
              return Effect.catchTag(
                there.execute(request, { onSignal: signal }),
                "AttemptCancelled",
                () => Effect.interrupt
              )
            }
          })
        })
      ).pipe(Layer.provide(worker))
      const command = RealMachine.render({}).replace(
        "setpts=PTS-STARTPTS",
        "setpts=PTS-STARTPTS -filter_script:v filters/hue"
      )
      const spec = yield* RealMachine.plan(command, { assets: ["filters"], chunks: { count: 5 } })
      const run = (outputFile: string, options: JobManager.RunOptions = {}) =>
        JobManager.JobManager.use((jobs) =>
          Effect.flatMap(jobs.create(spec), ({ id }) => jobs.run(id, { outputFile, ...options }))
        )
      const layer = JobManager.layer.pipe(
        Layer.provide([
          JobRepository.layerMemory,
          mixed,
          storage,
          FfmpegStitcher.layer({ ffmpegPath: ffmpeg }),
          FfmpegOutputCheck.layer({ ffmpegPath: ffmpeg })
        ]),
        Layer.provide(LocalWorkspace.layer({ dir }))
      )
      yield* Effect.provide(run("mixed.mp4"), layer)
      assert.sameMembers(elsewhere, [1, 3])
      yield* Effect.provide(run("here.mp4"), RealMachine.layer(dir))
      assert.deepStrictEqual(
        yield* RealMachine.hashesOf(join(dir, "mixed.mp4")),
        yield* RealMachine.hashesOf(join(dir, "here.mp4"))
      )
      const names = yield* Effect.promise(() => readdir(dir))
      assert.sameMembers(names, ["filters", "here.mp4", "mixed.mp4"])
    })
  )
})
