/**
 * What the function of the farm runs.
 *
 * Configured by the variables that `RenderFarm` sets:
 *
 * - `HELIOS_INFRA_BUCKET`: the bucket that jobs come from and outputs go to, with the function's own rights.
 * - `HELIOS_INFRA_PREFIX`: what all keys in it begin with. Default: nothing.
 * - `HELIOS_INFRA_SOURCES`: beginnings of https URLs, with commas between them, that jobs may come from and outputs go to.
 *
 * Without a bucket and without sources, every request is refused.
 */
import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import * as S3ArtifactStorage from "@helios-infra/storage-s3/S3ArtifactStorage"
import * as AwsHandler from "@helios-infra/worker-runtime/AwsHandler"
import process from "node:process"

const {
  HELIOS_INFRA_BUCKET: bucket = "",
  HELIOS_INFRA_PREFIX: prefix = "",
  HELIOS_INFRA_SOURCES: sources = ""
} = process.env

export const handler: AwsHandler.Handler = AwsHandler.make({
  ...(bucket === ""
    ? undefined
    : { storage: S3ArtifactStorage.layer({ bucket, ...(prefix === "" ? undefined : { prefix }) }) }),
  sources: sources.split(",").filter((source) => source !== ""),
  outputCheck: FfmpegOutputCheck.layer()
})
