/**
 * A folder of numbered pictures, one for each frame: what Blender and others write, and what compositing tools read.
 *
 * ```
 * part_0/
 *   frame_0100.png
 *   frame_0101.png
 *   …
 * ```
 *
 * As a chunk it is put into a file, picture by picture as they are, and is a silent video from then on. Whether its
 * pictures decode is not known here.
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Ffmpeg from "./Ffmpeg.ts"
import { MediaUnreadable } from "./MediaProbe.ts"

/** The pictures of a folder. */
export interface ImageSequence {
  readonly folder: string
  /** Their names, in order. */
  readonly names: ReadonlyArray<string>
  /** The same, as `printf` and ffmpeg write them: `"frame_%04d.png"`. */
  readonly pattern: string
  /** The number of the first one. */
  readonly first: number
  /** How many bytes they have together. */
  readonly bytes: number
}

/** The kinds of pictures that are read, by the ends of their names. */
export const extensions: ReadonlyArray<string> = [
  "png",
  "jpg",
  "jpeg",
  "tif",
  "tiff",
  "dpx",
  "tga",
  "bmp",
  "exr",
  "webp"
]

/**
 * Looks at a folder. Fails unless it holds pictures of one kind and nothing else, numbered without a gap, none of them
 * empty. Hidden files are not looked at.
 */
export const read = Effect.fn("ImageSequence.read")(function* (
  folder: string
): Effect.fn.Return<ImageSequence, MediaUnreadable> {
  const unreadable = (detail: string) => new MediaUnreadable({ path: folder, detail })
  const attempt = <A>(run: () => Promise<A>) =>
    Effect.mapError(Effect.tryPromise(run), ({ cause }) => unreadable(String(cause)))
  const found = (yield* attempt(() => fs.readdir(folder))).filter((name) => !name.startsWith("."))
  const numbered = found.map((name) => {
    const [, prefix = "", digits = "", suffix = ""] = /^(.*?)(\d+)(\.\w+)$/su.exec(name) ?? []
    return { name, prefix, digits, suffix, number: Number(digits) }
  })
  const odd = numbered.find(({ suffix }) => !extensions.includes(suffix.slice(1).toLowerCase()))
  if (odd !== undefined) {
    return yield* unreadable(`${JSON.stringify(odd.name)} is no numbered picture (${extensions.join(", ")})`)
  }
  const ordered = numbered.toSorted((a, b) => a.number - b.number)
  const [start] = ordered
  if (start === undefined) return yield* unreadable("it holds no pictures")
  // With zeros in front all numbers have one width; without, each has its own.
  const width =
    start.digits.startsWith("0") || start.digits.length === ordered.at(-1)?.digits.length ? start.digits.length : 1
  const nameOf = (number: number) => `${start.prefix}${String(number).padStart(width, "0")}${start.suffix}`
  const gap = ordered.findIndex(({ name }, index) => name !== nameOf(start.number + index))
  if (gap !== -1) {
    return yield* unreadable(
      `${JSON.stringify(nameOf(start.number + gap))} is not there, and ${JSON.stringify(ordered[gap]?.name)} is`
    )
  }
  const sizes = yield* Effect.forEach(ordered, ({ name }) => attempt(() => fs.stat(path.join(folder, name))), {
    concurrency: 16
  })
  const hollow = sizes.findIndex((one) => !one.isFile() || one.size === 0)
  if (hollow !== -1) return yield* unreadable(`${JSON.stringify(ordered[hollow]?.name)} is empty, or no file`)
  return {
    folder,
    names: ordered.map(({ name }) => name),
    pattern: `${escaped(start.prefix)}%${width > 1 ? `0${width}` : ""}d${start.suffix}`,
    first: start.number,
    bytes: sizes.reduce((sum, { size }) => sum + size, 0)
  }
})

/** ffmpeg's options for a sequence as an input, `-i` and all; they keep it to files. */
export const inputArgs = (
  { first, folder, pattern }: ImageSequence,
  rate: FrameRate.FrameRate
): ReadonlyArray<string> => [
  ..."-protocol_whitelist file,pipe -format_whitelist image2 -f image2 -pattern_type sequence -framerate".split(" "),
  FrameRate.format(rate),
  "-start_number",
  String(first),
  "-i",
  Ffmpeg.fileUrl(path.join(escaped(folder), pattern))
]

const escaped = (name: string): string => name.replaceAll("%", "%%")
