/** Jobs on Lambda functions from plain async code. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { AwsLambdaAdapter } from "@helios-infra/adapter-aws/promise"
import { JobExecutor, JobManager } from "@helios-infra/core/promise"
import { credentials } from "@helios-infra/local-lambda"
import { FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg/promise"
import { S3ArtifactStorage } from "@helios-infra/storage-s3/promise"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as StrictS3 from "../../packages/storage-s3/test/StrictS3.ts"
import * as LambdaFarm from "./LambdaFarm.ts"
import * as RealMachine from "./RealMachine.ts"

/** What plain code uses of a farm, for a job in a folder of its own with one asset, the rate of its frames. */
const setUp = Effect.gen(function* () {
  const { lambda, root, s3 } = yield* LambdaFarm.make()
  const jobDir = join(root, "job")
  yield* Effect.promise(() => mkdir(jobDir).then(() => writeFile(join(jobDir, "filter.txt"), "hue=h=90")))
  const command = RealMachine.render({}).replace(
    "setpts=PTS-STARTPTS",
    "setpts=PTS-STARTPTS -filter_script:v filter.txt"
  )
  const spec = yield* RealMachine.plan(command, { assets: ["filter.txt"] })
  const { endpoint, region } = lambda
  return {
    s3,
    spec,
    jobDir,
    workerAdapter: new AwsLambdaAdapter({ functionName: "render", endpoint, region, credentials }),
    stitcher: new FfmpegStitcher({ ffmpegPath: ffmpeg }),
    storage: new S3ArtifactStorage({
      bucket: StrictS3.bucket,
      region: StrictS3.region,
      credentials: StrictS3.credentials,
      endpoint: s3.endpoint,
      forcePathStyle: true
    })
  }
})

describe("plain async code", { timeout: 120_000 }, () => {
  it.live("renders a job on Lambda functions", () =>
    Effect.gen(function* () {
      const { jobDir, s3, spec, stitcher, storage, workerAdapter } = yield* setUp
      const percents: Array<number> = []
      const result = yield* Effect.promise(() =>
        new JobExecutor(spec, {
          workerAdapter,
          stitcher,
          storage,
          jobDir,
          outputFile: "film.mp4",
          onProgress: ({ percent }) => void percents.push(percent)
        }).execute()
      )
      assert.strictEqual(result.outputFile, join(jobDir, "film.mp4"))
      assert.strictEqual(yield* RealMachine.framesOf(join(jobDir, "film.mp4")), 90)
      assert.strictEqual(percents.at(-1), 100)
      assert.deepStrictEqual(
        s3.keys().filter((key) => key.startsWith("jobs/")),
        []
      )
    })
  )

  it.live("deletes what a job has in the manager's storage", () =>
    Effect.gen(function* () {
      const { jobDir, s3, spec, stitcher, storage, workerAdapter } = yield* setUp
      yield* Effect.promise(async () => {
        const jobs = new JobManager({ storage })
        const { id } = await jobs.createJob(spec)
        const tools = { workerAdapter, stitcher, jobDir }
        await jobs.runJob(id, { ...tools, outputFile: "film.mp4", artifacts: { keep: true } })
        assert.isAbove(s3.keys().filter((key) => key.startsWith("jobs/")).length, 5)
        await jobs.deleteJob(id)
        assert.deepStrictEqual(
          s3.keys().filter((key) => key.startsWith("jobs/")),
          []
        )
      })
    })
  )
})
