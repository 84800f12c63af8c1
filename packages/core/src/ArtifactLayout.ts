/**
 * What of a job lies where in a storage: the keys that an orchestrator and its workers agree on.
 *
 * ```
 * assets/<sha256>                             a file that commands read, once for all jobs
 * jobs/<job>/job.json                         the job file, for workers
 * jobs/<job>/assets.json                      which asset is which file of the job's folder
 * jobs/<job>/chunks/<chunk>/<run>.<attempt>/  output.mov, log.txt, cancelled
 * ```
 *
 * Names only; who sends what, and when, is the business of `JobArtifacts`.
 */
import * as Schema from "effect/Schema"
import type { AttemptArtifacts } from "./WorkerAdapter.ts"

/** A job's id as one part of a key. */
const encoded = (jobId: string): string =>
  jobId.replaceAll(/[%/\\]/g, encodeURIComponent).replace(/^\.+$/, (dots) => "%2E".repeat(dots.length))

/** What the keys of a job begin with. */
export const jobPrefix = (jobId: string): string => `jobs/${encoded(jobId)}/`

/** Where the job file for workers is. */
export const jobFileKey = (jobId: string): string => `${jobPrefix(jobId)}job.json`

/** Where the list of a job's assets is. */
export const assetsKey = (jobId: string): string => `${jobPrefix(jobId)}assets.json`

/** Where an asset with this content is, whichever job it was sent for. */
export const assetKey = (sha256: string): string => `assets/${sha256}`

/** Which attempt at which chunk. */
export interface AttemptId {
  readonly jobId: string
  readonly run: number
  readonly chunkId: number
  readonly attempt: number
}

/** What the keys of all attempts at a chunk begin with. */
export const chunkPrefix = (jobId: string, chunkId: number): string => `${jobPrefix(jobId)}chunks/${chunkId}/`

const attemptPrefix = ({ attempt, chunkId, jobId, run }: AttemptId): string =>
  `${chunkPrefix(jobId, chunkId)}${run}.${attempt}/`

/** Where all that an attempt printed is. */
export const logKey = (attempt: AttemptId): string => `${attemptPrefix(attempt)}log.txt`

const cancelledName = "cancelled"

/** Whether this is the key of a sign that an attempt is not wanted any more. */
export const isCancelled = (key: string): boolean => key.endsWith(`/${cancelledName}`)

/** Where the sign is that an attempt is not wanted any more. */
export const cancelledKey = (attempt: AttemptId): string => `${attemptPrefix(attempt)}${cancelledName}`

/** Where an attempt's artifacts are, for workers with credentials. */
export const attemptArtifacts = (attempt: AttemptId, outputFile: string): AttemptArtifacts => {
  const prefix = attemptPrefix(attempt)
  const extension = /\.[a-z0-9]{1,16}$/i.exec(outputFile)?.[0] ?? ""
  return {
    output: { key: `${prefix}output${extension}` },
    log: { key: logKey(attempt) },
    cancelled: { key: cancelledKey(attempt) }
  }
}

/** Which assets make up a job's folder on a worker. */
export const AssetList = Schema.Struct({
  version: Schema.Literal(1),
  assets: Schema.Array(
    Schema.Struct({
      /** The file's name in the job's folder, with `/` between folders. */
      path: Schema.NonEmptyString,
      bytes: Schema.Int,
      sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)),
      /** Where it is: an https URL, or `artifact:` and a key. */
      location: Schema.String
    })
  )
})

/** The type of {@link AssetList}. */
export type AssetList = typeof AssetList.Type
