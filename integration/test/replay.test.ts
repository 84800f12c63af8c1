/** A job that was really rendered, by real processes, run again from the journal that it left in a folder. */
import { path as ffmpegPath } from "@ffmpeg-installer/ffmpeg"
import { assert, describe, it } from "@effect/vitest"
import { FileJobRepository, LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { Simulation } from "@helios-infra/testkit"
import { Effect, Layer, Stream } from "effect"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { folder, plan, render } from "./RealMachine.ts"

/** Fails the first time that it is called for chunk 1, and takes its time. */
const worker = `#!/bin/sh
sleep 0.2
if [ "$1" = 1 ] && mkdir "$2/failed" 2> /dev/null; then exit 3; fi
shift 2
exec "$@"
`

describe("the journal of a real job", { timeout: 120_000 }, () => {
  it.live("shows nothing that is broken, and is run again in the time that it took", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const script = join(dir, "worker.sh")
      yield* Effect.promise(() => writeFile(script, worker))
      const spec = yield* plan(`sh '${script}' {id} '${dir}' ${render({})}`, {
        totalFrames: 36,
        chunks: { count: 6 }
      })
      const records = yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        yield* jobs.create(spec, { id: "real" })
        yield* jobs.run("real", { outputFile: "film.mp4", concurrency: 2, retryDelay: "100 millis" })
        return yield* Stream.runCollect((yield* JobRepository.JobRepository).read("real"))
      }).pipe(
        Effect.provide(
          JobManager.layer.pipe(
            Layer.provideMerge(FileJobRepository.layer({ dir: join(dir, "jobs") })),
            Layer.provide([
              LocalWorkerAdapter.layer(),
              FfmpegStitcher.layer({ ffmpegPath }),
              FfmpegOutputCheck.layer({ ffmpegPath })
            ]),
            Layer.provide(LocalWorkspace.layer({ dir }))
          )
        )
      )

      const again = yield* Simulation.replay(records, { retryDelayMs: 100 })
      assert.deepStrictEqual(again.broken, [])
      assert.strictEqual(again.status, "completed")
      assert.strictEqual(again.concurrency, 2)
      assert.strictEqual(again.attempts, 7)
      // Six attempts of 200 ms at least, two at a time.
      assert.isAtLeast(again.makespanMs, 600)
      // What it really took, but for what the machine itself did beside the attempts.
      assert.isAtMost(again.makespanMs, again.tookMs * 1.1)
      const wide = yield* Simulation.replay(records, { retryDelayMs: 100, concurrency: 6 })
      assert.isBelow(wide.makespanMs, again.makespanMs)
    })
  )
})
