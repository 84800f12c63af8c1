/**
 * The index of a finished `.mp4` or `.mov`: which samples are played when, and where in the file they are.
 *
 * Reading it costs the same however long the samples are: it is read from the file's own tables (ISO/IEC 14496-12), and
 * nothing of what they point to is looked at, beyond that it lies inside the file. Fragments, which have no such index, are
 * not covered.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as fs from "node:fs/promises"
import type { TimeBase } from "./FrameGrid.ts"
import { MediaUnreadable } from "./MediaProbe.ts"

/** One stream of a file, by its tables. */
export interface Track {
  readonly kind: "Video" | "Audio" | "Other"
  /** The length of one tick. */
  readonly tick: TimeBase
  /**
   * When each frame begins to be shown, in ticks, ascending; what its edit list cuts off at the start is below 0. Empty where
   * it is no picture: plain sound has as many samples as it has numbers.
   */
  readonly timestamps: ReadonlyArray<number>
  /** Whether the frame that is stored first is the one that is shown first. */
  readonly startsClosed: boolean
  /** How long the frame that is shown last is shown, in ticks. */
  readonly lastDuration: number
  /** How long all samples take together, in ticks, without what the edit list cuts off at the start. */
  readonly length: number
}

/** The largest index that is read, in bytes: that of a film of two days. */
const maxIndex = 1 << 29

/** Reads the index of a file. */
export const read = Effect.fn("MovIndex.read")(function* (
  path: string
): Effect.fn.Return<ReadonlyArray<Track>, MediaUnreadable> {
  const unreadable = (detail: string) => new MediaUnreadable({ path, detail })
  const { boxes, bytes, index } = yield* Effect.acquireUseRelease(
    Effect.tryPromise(() => fs.open(path)),
    (file) =>
      Effect.gen(function* () {
        const { size } = yield* Effect.tryPromise(() => file.stat())
        const found = yield* topLevel(file, size)
        const moov = found.find(({ type }) => type === "moov")
        if (moov === undefined) return { boxes: found, bytes: size, index: undefined }
        const buffer = Buffer.alloc(Math.min(moov.end - moov.start, maxIndex))
        yield* Effect.tryPromise(() => file.read(buffer, 0, buffer.length, moov.start))
        return { boxes: found, bytes: size, index: buffer }
      }),
    (file) => Effect.ignore(Effect.tryPromise(() => file.close()))
  ).pipe(Effect.mapError(({ cause }) => unreadable(String(cause))))
  const last = boxes.at(-1)
  if (last !== undefined && last.end > bytes) return yield* unreadable(`it ends inside its ${last.type}`)
  if (index === undefined) return yield* unreadable("it has no index (moov)")
  // Whatever a table claims that the file does not hold ends in a range error.
  const tracks = Result.try(() =>
    children(index)
      .filter(({ type }) => type === "trak")
      .map(({ content }) => trackOf(content))
  )
  if (Result.isFailure(tracks)) return yield* unreadable(`its index is damaged: ${String(tracks.failure)}`)
  const outside = tracks.success.find(({ furthest }) => furthest > bytes)
  if (outside !== undefined) return yield* unreadable("its index points behind its end")
  return tracks.success.map(({ track }) => track)
})

// ---
// boxes
// ---

interface Span {
  readonly type: string
  /** Where its content starts and ends in the file. */
  readonly start: number
  readonly end: number
}

const topLevel = Effect.fnUntraced(function* (file: fs.FileHandle, size: number) {
  const spans: Array<Span> = []
  const head = Buffer.alloc(16)
  let at = 0
  while (at + 8 <= size) {
    const position = at
    yield* Effect.tryPromise(() => file.read(head, 0, 16, position))
    const short = head.readUInt32BE(0)
    const length = short === 1 ? Number(head.readBigUInt64BE(8)) : short === 0 ? size - at : short
    // Less than a header would be read again and again.
    const end = at + Math.max(length, 8)
    spans.push({ type: head.toString("latin1", 4, 8), start: at + (short === 1 ? 16 : 8), end })
    at = end
  }
  return spans
})

interface Box {
  readonly type: string
  readonly content: Buffer
}

const children = (parent: Buffer): ReadonlyArray<Box> => {
  const found: Array<Box> = []
  let at = 0
  while (at + 8 <= parent.length) {
    const length = parent.readUInt32BE(at)
    if (length < 8 || at + length > parent.length) break
    found.push({ type: parent.toString("latin1", at + 4, at + 8), content: parent.subarray(at + 8, at + length) })
    at += length
  }
  return found
}

const child = (parent: Buffer, type: string): Buffer | undefined =>
  children(parent).find((box) => box.type === type)?.content

const needed = (parent: Buffer, type: string): Buffer => {
  const found = child(parent, type)
  if (found === undefined) throw new RangeError(`no ${type}`)
  return found
}

// ---
// tables
// ---

const trackOf = (trak: Buffer): { readonly track: Track; readonly furthest: number } => {
  const mdia = needed(trak, "mdia")
  const tables = needed(needed(mdia, "minf"), "stbl")
  const handler = needed(mdia, "hdlr").toString("latin1", 8, 12)
  const header = needed(mdia, "mdhd")
  const denominator = header.readUInt32BE(header.readUInt8(0) === 1 ? 20 : 12)
  const sizes = sizesOf(tables)
  const times = needed(tables, "stts")
  const skipped = skippedOf(trak)
  const common = {
    tick: { numerator: 1, denominator },
    length: lengthOf(times, sizes.count) - skipped
  }
  const furthest = furthestOf(tables, sizes)
  if (handler !== "vide") {
    return {
      track: {
        ...common,
        kind: handler === "soun" ? "Audio" : "Other",
        timestamps: [],
        startsClosed: true,
        lastDuration: 0
      },
      furthest
    }
  }
  const durations = runs(times, sizes.count)
  const offsets = child(tables, "ctts")
  const late = offsets === undefined ? undefined : runs(offsets, sizes.count)
  const timestamps: Array<number> = []
  let decoded = 0
  let latest = { at: -Infinity, duration: 0 }
  for (const [sample, duration] of durations.entries()) {
    const at = decoded + (late?.[sample] ?? 0) - skipped
    timestamps.push(at)
    if (at > latest.at) latest = { at, duration }
    decoded += duration
  }
  const shown = late === undefined ? timestamps : timestamps.toSorted((a, b) => a - b)
  const startsClosed = timestamps[0] === shown[0]
  return {
    track: { ...common, kind: "Video", timestamps: shown, startsClosed, lastDuration: latest.duration },
    furthest
  }
}

/** How long all samples take together. */
const lengthOf = (times: Buffer, samples: number): number => {
  let counted = 0
  let length = 0
  for (let entry = 0; entry < times.readUInt32BE(4); entry++) {
    const count = times.readUInt32BE(8 + entry * 8)
    counted += count
    length += count * times.readUInt32BE(12 + entry * 8)
  }
  if (counted !== samples) throw new RangeError(`${counted} times for ${samples} samples`)
  return length
}

/** One value for each sample, from a table of how many samples in a row have which. Negative ones come as such. */
const runs = (table: Buffer, samples: number): Int32Array => {
  const values = new Int32Array(samples)
  const entries = table.readUInt32BE(4)
  let sample = 0
  for (let entry = 0; entry < entries; entry++) {
    const end = Math.min(samples, sample + table.readUInt32BE(8 + entry * 8))
    values.fill(table.readInt32BE(12 + entry * 8), sample, end)
    sample = end
  }
  return values
}

interface Sizes {
  readonly count: number
  /** How many bytes a number of samples in a row have, from one of them on. */
  readonly of: (first: number, samples: number) => number
}

const sizesOf = (tables: Buffer): Sizes => {
  const table = needed(tables, "stsz")
  const same = table.readUInt32BE(4)
  const count = table.readUInt32BE(8)
  if (same !== 0) return { count, of: (_, samples) => samples * same }
  return {
    count,
    of: (first, samples) => {
      let bytes = 0
      for (let sample = first; sample < first + samples; sample++) bytes += table.readUInt32BE(12 + sample * 4)
      return bytes
    }
  }
}

/** How much the edit list cuts off at the start, in ticks. Pauses before it are not counted. */
const skippedOf = (trak: Buffer): number => {
  const edits = child(trak, "edts")
  const list = edits === undefined ? undefined : child(edits, "elst")
  if (list === undefined) return 0
  const wide = list.readUInt8(0) === 1
  for (let entry = 0; entry < list.readUInt32BE(4); entry++) {
    const at = 8 + entry * (wide ? 20 : 12)
    const from = wide ? Number(list.readBigInt64BE(at + 8)) : list.readInt32BE(at + 4)
    if (from >= 0) return from
  }
  return 0
}

/** Where the last byte of a track ends. Its samples lie in runs, whose places are in the file's order. */
const furthestOf = (tables: Buffer, sizes: Sizes): number => {
  const narrow = child(tables, "stco")
  const places = narrow ?? needed(tables, "co64")
  const placeOf = (run: number) =>
    narrow === undefined ? Number(places.readBigUInt64BE(8 + run * 8)) : places.readUInt32BE(8 + run * 4)
  const lengths = needed(tables, "stsc")
  const groups = lengths.readUInt32BE(4)
  const count = places.readUInt32BE(4)
  let sample = 0
  let furthest = 0
  for (let group = 0; group < groups; group++) {
    const first = lengths.readUInt32BE(8 + group * 12) - 1
    const next = group + 1 < groups ? lengths.readUInt32BE(8 + (group + 1) * 12) - 1 : count
    const samples = lengths.readUInt32BE(12 + group * 12)
    for (let run = first; run < next; run++) {
      furthest = Math.max(furthest, placeOf(run) + sizes.of(sample, samples))
      sample += samples
    }
  }
  if (sample !== sizes.count) throw new RangeError(`${sample} places for ${sizes.count} samples`)
  return furthest
}
