/**
 * Reads the job file that a worker was pointed at, and the list of its assets: bounded in size and time, decoded and
 * checked in full before anything of it is used.
 */
import { AssetList } from "@helios-infra/core/ArtifactLayout"
import * as JobSpec from "@helios-infra/core/JobSpec"
import { Refused, Transport } from "@helios-infra/core/WorkerError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { retrying, type TransferError, type Transfers } from "./transfers.ts"

/** How much to read, and for how long. */
export interface Limits {
  readonly maxBytes: number
  readonly timeout: Duration.Duration
}

/** A job file that was read. */
export interface Job {
  /** The job file's id; one made of its content where it has none. */
  readonly id: string
  readonly spec: JobSpec.JobSpec
}

/** The whole of a location. */
const readAll = (
  transfers: Transfers,
  location: string,
  { maxBytes, timeout }: Limits
): Effect.Effect<Buffer, TransferError> =>
  Effect.suspend(() => {
    const pieces: Array<Uint8Array> = []
    return Effect.map(
      Stream.runForEach(transfers.read(location, maxBytes), (piece) => Effect.sync(() => pieces.push(piece))),
      () => Buffer.concat(pieces)
    )
  }).pipe(
    retrying,
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.fail(new Transport({ cause: new Error(`not read to its end within ${Duration.format(timeout)}`) }))
    })
  )

/** Reads a job file. */
export const readJob: (transfers: Transfers, location: string, limits: Limits) => Effect.Effect<Job, TransferError> =
  Effect.fn("jobSource.readJob")(function* (transfers, location, limits) {
    const content = yield* readAll(transfers, location, limits)
    const spec = yield* Effect.mapError(
      JobSpec.decodeJson(content.toString("utf8")),
      (error) => new Refused({ why: "InvalidJob", fix: error.message })
    )
    return { id: spec.id ?? `unnamed-${createHash("sha256").update(content).digest("hex").slice(0, 16)}`, spec }
  })

const decodeAssets = Schema.decodeUnknownEffect(Schema.fromJsonString(AssetList))
const describe = SchemaIssue.makeFormatterDefault()

/** Reads a list of assets. Whether their paths stay in the job's folder is for those to see who put them there. */
export const readAssets: (
  transfers: Transfers,
  location: string,
  limits: Limits
) => Effect.Effect<AssetList["assets"], TransferError> = Effect.fn("jobSource.readAssets")(
  function* (transfers, location, limits) {
    const content = yield* readAll(transfers, location, limits)
    const { assets } = yield* Effect.mapError(
      decodeAssets(content.toString("utf8")),
      ({ issue }) =>
        new Refused({
          why: "InvalidJob",
          fix: `the job's assetsUrl leads to no list of assets: ${describe(issue).slice(0, 500)}`
        })
    )
    return assets
  }
)
