/**
 * What the check has read of files that have not changed since, for the stitcher, which would read the same: for short
 * chunks, starting an ffmpeg takes longer than what it does.
 *
 * It is a saving and nothing else. Who finds nothing here reads the file.
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import type * as MediaProbe from "../MediaProbe.ts"

/** The readings of one process, each by the identity that its file had before it was read. */
export interface ProbedFiles {
  /** Keeps a reading until it is taken, or until too many came after it. */
  readonly keep: (identity: string, media: MediaProbe.Media) => void
  /** Hands out a reading, once. */
  readonly take: (identity: string) => MediaProbe.Media | undefined
}

/** How much is kept: this many timestamps of 8 bytes, however they are spread over files. */
const mostTimestamps = 100_000

export const make = (): ProbedFiles => {
  const readings = new Map<string, MediaProbe.Media>()
  let kept = 0
  const take = (identity: string): MediaProbe.Media | undefined => {
    const media = readings.get(identity)
    if (media !== undefined) kept -= weightOf(media)
    readings.delete(identity)
    return media
  }
  return {
    take,
    keep: (identity, media) => {
      take(identity)
      readings.set(identity, media)
      kept += weightOf(media)
      for (const oldest of readings.keys()) {
        if (kept <= mostTimestamps) return
        take(oldest)
      }
    }
  }
}

// One that has no picture counts as well.
const weightOf = ({ video }: MediaProbe.Media): number => 1 + (video?.timestamps.length ?? 0)

/** The readings of this process. */
export const ProbedFiles: Context.Reference<ProbedFiles> = Context.Reference(
  "@helios-infra/stitcher-ffmpeg/internal/probedFiles",
  { defaultValue: make }
)

/** A file as it is just now. */
export interface FileState {
  readonly isFile: boolean
  readonly isFolder: boolean
  readonly bytes: number
  /** The same for every name of the file. */
  readonly inode: string
  /** Another one after any write: the system alone sets the time of a change (`ctime`). Says nothing of what is in a folder. */
  readonly identity: string
}

/** Looks at a file. Fails with what the system says. */
export const stateOf = (path: string): Effect.Effect<FileState, Cause.UnknownError> =>
  Effect.map(
    Effect.tryPromise(() => fs.stat(path, { bigint: true })),
    (stat) => {
      const inode = `${stat.dev}:${stat.ino}`
      return {
        isFile: stat.isFile(),
        isFolder: stat.isDirectory(),
        bytes: Number(stat.size),
        inode,
        identity: `${inode}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`
      }
    }
  )
