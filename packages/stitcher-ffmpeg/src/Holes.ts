/**
 * Holes: parts of a video that were never written, and read as zeros.
 *
 * Decoders take many of them for a picture. Streams of H.264 and HEVC tell by themselves: they break up zeros, so that no
 * start code appears by chance, and never hold more than a few in a row. A file can have zeros elsewhere, in silence or
 * in room that was set aside, so the file is searched first, as fast as it can be read, and only where it has such a run,
 * its picture alone. Other codecs can hold zeros: in those nothing is looked for.
 */
import type { ProcessError } from "@helios-infra/process/ProcessError"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as Ffmpeg from "./Ffmpeg.ts"
import * as MediaProbe from "./MediaProbe.ts"

/** The shortest run of zeros that is a hole, in bytes: a sector, of which disks write no part. */
export const smallest = 512

/** Whether there is a hole in the picture of a file that was read before. Reads no further than the first. */
export const isIn = Effect.fn("Holes.isIn")(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  path: string,
  media: MediaProbe.Media
): Effect.fn.Return<boolean, MediaProbe.MediaUnreadable | ProcessError> {
  const codec = media.video?.codec
  if (codec !== "h264" && codec !== "hevc") return false
  if (!(yield* isInFile(path))) return false
  const inPicture = makeSearch()
  let found = false
  // A key frame with a hole in it may be none to ffmpeg, which begins to copy at one unless told otherwise (copyinkf).
  const run = yield* ffmpeg.run(
    [...MediaProbe.confined, "-i", Ffmpeg.fileUrl(path), ..."-map 0:V:0 -c copy -copyinkf -f data pipe:1".split(" ")],
    {
      // Bytes that are no text are lost on the way; zeros are text.
      onLine: (stream, line) => {
        if (stream === "stdout" && !found) found = inPicture(Buffer.from(line))
      }
    }
  )
  if (run.exitCode !== 0) return yield* new MediaProbe.MediaUnreadable({ path, detail: Ffmpeg.describe(run) })
  return found
})

/** How much of a file is read at once. */
const readSize = 1 << 18

const isInFile = (path: string): Effect.Effect<boolean, MediaProbe.MediaUnreadable> =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => fs.open(path)),
    Effect.fnUntraced(function* (file) {
      const search = makeSearch()
      const buffer = Buffer.allocUnsafe(readSize)
      while (true) {
        const { bytesRead } = yield* Effect.tryPromise(() => file.read(buffer, 0, readSize))
        if (bytesRead === 0) return false
        if (search(buffer.subarray(0, bytesRead))) return true
      }
    }),
    (file) => Effect.ignore(Effect.tryPromise(() => file.close()))
  ).pipe(Effect.mapError(({ cause }) => new MediaProbe.MediaUnreadable({ path, detail: String(cause) })))

const zeros = Buffer.alloc(smallest)

/** Told the bytes piece by piece; says whether a hole has ended or reached its size in the last one. */
const makeSearch = () => {
  /** How many zeros the pieces before end with. */
  let open = 0
  return (bytes: Buffer): boolean => {
    const first = bytes.findIndex((byte) => byte !== 0)
    if (first === -1) {
      open += bytes.length
      return open >= smallest
    }
    if (open + first >= smallest || bytes.includes(zeros)) return true
    open = bytes.length - 1 - bytes.findLastIndex((byte) => byte !== 0)
    return false
  }
}
