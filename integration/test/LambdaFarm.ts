/**
 * A farm on this machine: the real SDK, Amazon's runtime client in processes of its own, the function's bundle as it is
 * deployed, real commands and ffmpeg in it, and a server that speaks S3.
 */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { AwsLambdaAdapter } from "@helios-infra/adapter-aws"
import { FileJobRepository, LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository } from "@helios-infra/core"
import { credentials, start } from "@helios-infra/local-lambda"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { S3ArtifactStorage } from "@helios-infra/storage-s3"
import { Effect, Layer } from "effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { bundle } from "../../deploy/aws/src/WorkerBundle.ts"
import * as StrictS3 from "../../packages/storage-s3/test/StrictS3.ts"
import { folder } from "./RealMachine.ts"

/** The function's code as it is deployed, and one that may do more; each bundled once for all tests. */
const code = {
  deployed: Effect.runSync(Effect.cached(Effect.promise(() => bundle()))),
  lenient: Effect.runSync(
    Effect.cached(Effect.promise(() => bundle(join(import.meta.dirname, "fixtures", "handler.ts"))))
  )
}

const functionName = "render"

/** A farm that is gone with the scope. */
export const make = Effect.fnUntraced(function* (
  options: {
    readonly timeoutMs?: number
    readonly concurrency?: number
    readonly code?: keyof typeof code
    /** Whether the function can use the bucket. */
    readonly credentials?: false
  } = {}
) {
  const root = yield* folder
  const taskRoot = join(root, "function")
  const { files } = yield* code[options.code ?? "deployed"]
  yield* Effect.promise(() => mkdir(taskRoot))
  yield* Effect.promise(() => Promise.all(files.map(({ bytes, name }) => writeFile(join(taskRoot, name), bytes))))
  const s3 = yield* StrictS3.start
  const lambda = yield* Effect.acquireRelease(
    Effect.promise(() =>
      start({
        functions: [
          {
            name: functionName,
            taskRoot,
            handler: "handler.handler",
            timeoutMs: options.timeoutMs ?? 120_000,
            concurrency: options.concurrency ?? 4,
            memoryMb: 2048,
            env: {
              AWS_ENDPOINT_URL_S3: s3.endpoint,
              FFMPEG_PATH: ffmpeg,
              ...(options.credentials === false
                ? undefined
                : {
                    HELIOS_INFRA_BUCKET: StrictS3.bucket,
                    AWS_REGION: StrictS3.region,
                    AWS_ACCESS_KEY_ID: StrictS3.credentials.accessKeyId,
                    AWS_SECRET_ACCESS_KEY: StrictS3.credentials.secretAccessKey
                  })
            }
          }
        ]
      })
    ),
    (lambda) => Effect.promise(() => lambda.close())
  )
  const storage = S3ArtifactStorage.layer({
    bucket: StrictS3.bucket,
    region: StrictS3.region,
    credentials: StrictS3.credentials,
    endpoint: s3.endpoint,
    forcePathStyle: true
  })
  const adapter = AwsLambdaAdapter.layer({
    functionName,
    endpoint: lambda.endpoint,
    region: lambda.region,
    credentials,
    concurrency: options.concurrency ?? 4
  })
  return { root, s3, lambda, storage, adapter }
})

/** A farm. */
export type LambdaFarm = Effect.Success<ReturnType<typeof make>>

/** A manager whose chunks render on the farm, for the job in `dir`; its jobs are in memory unless `jobs` names a folder. */
export const layer = ({ adapter, storage }: LambdaFarm, dir: string, jobs?: string) =>
  JobManager.layer.pipe(
    Layer.provideMerge(jobs === undefined ? JobRepository.layerMemory : FileJobRepository.layer({ dir: jobs })),
    Layer.provide([
      adapter,
      storage,
      FfmpegStitcher.layer({ ffmpegPath: ffmpeg }),
      FfmpegOutputCheck.layer({ ffmpegPath: ffmpeg })
    ]),
    Layer.provide(LocalWorkspace.layer({ dir }))
  )
