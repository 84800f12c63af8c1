/**
 * Which frames and how much sound a `.mkv` or `.webm` holds, from the heads of its blocks (RFC 9559).
 *
 * Matroska's own index (Cues) names key frames only, so every block is looked at, and nothing is read of what is in it beyond
 * the few bytes that say how long its sound is. That can be done while the file is written ({@link follow}): when it is
 * whole, only what came last is left to look at. Laced blocks, which ffmpeg does not write, are not covered.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import * as fs from "node:fs/promises"
import type { TimeBase } from "./FrameGrid.ts"
import { MediaUnreadable } from "./MediaProbe.ts"

/** One stream of a file, by its blocks. */
export interface Track {
  readonly kind: "Video" | "Audio" | "Other"
  /** The length of one tick. */
  readonly tick: TimeBase
  /** When each frame begins to be shown, in ticks, ascending; empty where it is no picture. */
  readonly timestamps: ReadonlyArray<number>
  /** How long the frame that is shown last is shown, in ticks; 0 where the file does not say. */
  readonly lastDuration: number
  /** How many samples of sound decode, for codecs whose packets say that themselves: PCM, Opus, AAC and FLAC. */
  readonly samples: number | undefined
}

/** A file that is looked at while it is written. */
export interface Follower {
  /** Looks at what has been written since. There may be no file yet. */
  readonly advance: Effect.Effect<void, MediaUnreadable>
  /** Looks at the rest of a file that is whole. Fails where it is not. */
  readonly finish: Effect.Effect<ReadonlyArray<Track>, MediaUnreadable>
}

/** Reads a file that is whole. */
export const read = Effect.fn("MatroskaIndex.read")(function* (
  path: string
): Effect.fn.Return<ReadonlyArray<Track>, MediaUnreadable> {
  return yield* (yield* follow(path)).finish
})

/** Begins to look at a file that is being written, from its start to its end. */
export const follow = (path: string): Effect.Effect<Follower> =>
  Effect.map(Semaphore.make(1), (one) => {
    const unreadable = (detail: string) => new MediaUnreadable({ path, detail })
    const blocks = makeBlocks()

    const advance = Effect.acquireUseRelease(
      Effect.tryPromise(() => fs.open(path)),
      Effect.fnUntraced(function* (file) {
        const { size } = yield* Effect.tryPromise(() => file.stat())
        const window = Buffer.alloc(windowBytes)
        let start = 0
        let end = 0
        /** What is at a place, as far as it is written. */
        const at = Effect.fnUntraced(function* (from: number, bytes: number) {
          const wanted = Math.min(bytes, size - from)
          if (bytes > windowBytes) {
            const own = Buffer.alloc(wanted)
            yield* Effect.tryPromise(() => file.read(own, 0, wanted, from))
            return own
          }
          if (from < start || from + wanted > end) {
            const { bytesRead } = yield* Effect.tryPromise(() => file.read(window, 0, windowBytes, from))
            start = from
            end = from + bytesRead
          }
          return window.subarray(from - start, Math.min(from - start + bytes, end - start))
        })
        while (blocks.position() < size) {
          const needed = blocks.needs(yield* at(blocks.position(), headBytes))
          if (needed === undefined || blocks.position() + needed > size) break
          blocks.take(yield* at(blocks.position(), needed))
        }
        return size
      }),
      (file) => Effect.ignore(Effect.tryPromise(() => file.close()))
    ).pipe(
      Effect.mapError(({ cause }) => unreadable(String(cause))),
      Effect.flatMap((size) => {
        const trouble = blocks.trouble()
        return trouble === undefined ? Effect.succeed(size) : unreadable(trouble)
      }),
      Semaphore.withPermit(one)
    )

    return {
      advance: Effect.tryPromise(() => fs.access(path)).pipe(
        Effect.isSuccess,
        Effect.flatMap((isThere) => (isThere ? Effect.asVoid(advance) : Effect.void))
      ),
      finish: Effect.flatMap(advance, (size) => {
        if (blocks.position() !== size) return unreadable("it ends inside a block")
        return blocks.hasCues() ? Effect.succeed(blocks.tracks()) : unreadable("it has no index (Cues)")
      })
    }
  })

/** How much is read at once: as far as the next few small blocks. */
const windowBytes = 4096

/** How much of an element is looked at before it is known how much is needed: its head, and that of a block. */
const headBytes = 48

/** The most that descriptions of streams are read of, in bytes. */
const mostDescription = 1 << 24

// ---
// elements
// ---

const ids = {
  segment: 0x18_53_80_67,
  cluster: 0x1f_43_b6_75,
  blockGroup: 0xa0,
  info: 0x15_49_a9_66,
  timestampScale: 0x2a_d7_b1,
  tracks: 0x16_54_ae_6b,
  trackEntry: 0xae,
  trackNumber: 0xd7,
  trackType: 0x83,
  codec: 0x86,
  codecDelay: 0x56_aa,
  audio: 0xe1,
  sampleRate: 0xb5,
  channels: 0x9f,
  bitDepth: 0x62_64,
  timestamp: 0xe7,
  simpleBlock: 0xa3,
  block: 0xa1,
  blockDuration: 0x9b,
  discardPadding: 0x75_a2,
  cues: 0x1c_53_bb_6b
} as const

/** What is in them is looked at one after the other: whether they say how long they are does not matter. */
const opened: ReadonlySet<number> = new Set([ids.segment, ids.cluster, ids.blockGroup])

/** What is in them is needed whole. */
const whole: ReadonlySet<number> = new Set([ids.info, ids.tracks, ids.timestamp, ids.blockDuration, ids.discardPadding])

interface Head {
  readonly id: number
  /** How many bytes its head has, and its content. */
  readonly head: number
  readonly content: number
}

/** How many bytes a number of variable length has, by its first; none where that is no such number. */
const widthOf = (first: number | undefined): number => (first === undefined || first === 0 ? 0 : Math.clz32(first) - 23)

const sizeAt = (bytes: Buffer, at: number): { readonly width: number; readonly value: number } | undefined => {
  const width = widthOf(bytes[at])
  if (width === 0 || at + width > bytes.length) return undefined
  let value = (bytes[at] ?? 0) & (0xff >> width)
  for (let next = at + 1; next < at + width; next++) value = value * 256 + (bytes[next] ?? 0)
  return { width, value }
}

const headOf = (bytes: Buffer, at = 0): Head | undefined => {
  const idWidth = widthOf(bytes[at])
  if (idWidth === 0 || idWidth > 4 || at + idWidth >= bytes.length) return undefined
  const size = sizeAt(bytes, at + idWidth)
  return size && { id: bytes.readUIntBE(at, idWidth), head: idWidth + size.width, content: size.value }
}

const children = (parent: Buffer): ReadonlyArray<{ readonly id: number; readonly content: Buffer }> => {
  const found = []
  for (let at = 0; at < parent.length;) {
    const head = headOf(parent, at)
    if (head === undefined) break
    const start = at + head.head
    found.push({ id: head.id, content: parent.subarray(start, start + head.content) })
    at = start + head.content
  }
  return found
}

const numberOf = (content: Buffer | undefined, otherwise: number): number =>
  content === undefined || content.length === 0 || content.length > 6
    ? content?.length === 8
      ? Number(content.readBigUInt64BE())
      : otherwise
    : content.readUIntBE(0, content.length)

const floatOf = (content: Buffer | undefined, otherwise: number): number =>
  content?.length === 4 ? content.readFloatBE() : content?.length === 8 ? content.readDoubleBE() : otherwise

// ---
// blocks
// ---

interface Described {
  readonly kind: Track["kind"]
  readonly timestamps: Array<number>
  readonly durations: Map<number, number>
  /** How many samples a packet has; none where its codec does not say. */
  readonly samplesOf: ((packet: Buffer, bytes: number) => number | undefined) | undefined
  readonly sampleRate: number
  /** In nanoseconds: what is decoded before the first sample that is heard, and behind the last one. */
  readonly codecDelay: number
  discarded: number
  samples: number
}

/** Takes elements one after the other. */
const makeBlocks = () => {
  const described = new Map<number, Described>()
  let position = 0
  let scale = 1_000_000
  let cluster = 0
  let hasCues = false
  let trouble: string | undefined
  let last: { readonly track: Described; readonly at: number } | undefined

  const block = (bytes: Buffer, length: number): void => {
    const number = sizeAt(bytes, 0)
    const track = number && described.get(number.value)
    if (number === undefined || track === undefined) {
      trouble = "it has a block of no stream"
      return
    }
    const at = cluster + bytes.readInt16BE(number.width)
    if (((bytes[number.width + 2] ?? 0) & 0x06) !== 0) trouble = "its blocks are laced"
    last = { track, at }
    if (track.kind === "Video") track.timestamps.push(at)
    const start = number.width + 3
    track.samples += track.samplesOf?.(bytes.subarray(start), length - start) ?? Number.NaN
  }

  return {
    position: () => position,
    trouble: () => trouble,
    hasCues: () => hasCues,
    /** How many bytes of the next element are needed before it can be taken; none where its head is not there yet. */
    needs: (bytes: Buffer): number | undefined => {
      const head = headOf(bytes)
      if (head === undefined) return undefined
      if (opened.has(head.id)) return head.head
      if (whole.has(head.id)) return head.head + Math.min(head.content, mostDescription)
      if (head.id === ids.simpleBlock || head.id === ids.block) return Math.min(head.head + head.content, headBytes)
      return head.head
    },
    take: (bytes: Buffer): void => {
      const head = headOf(bytes)
      if (head === undefined) return
      const { id } = head
      const content = bytes.subarray(head.head, head.head + head.content)
      position += head.head + (opened.has(id) ? 0 : head.content)
      switch (id) {
        case ids.info:
          scale = numberOf(children(content).find((one) => one.id === ids.timestampScale)?.content, scale)
          break
        case ids.tracks:
          for (const entry of children(content)) if (entry.id === ids.trackEntry) describe(described, entry.content)
          break
        case ids.timestamp:
          cluster = numberOf(content, 0)
          break
        case ids.simpleBlock:
        case ids.block:
          block(content, head.content)
          break
        case ids.blockDuration:
          last?.track.durations.set(last.at, numberOf(content, 0))
          break
        case ids.discardPadding:
          if (last !== undefined && content.length > 0 && content.length <= 6) {
            last.track.discarded += content.readIntBE(0, content.length)
          }
          break
        case ids.cues:
          hasCues = true
      }
    },
    tracks: (): ReadonlyArray<Track> =>
      [...described.values()].map((track) => {
        const timestamps = track.timestamps.toSorted((a, b) => a - b)
        const cut = Math.round(((track.codecDelay + track.discarded) * track.sampleRate) / 1e9)
        return {
          kind: track.kind,
          tick: { numerator: scale / 1_000_000, denominator: 1000 },
          timestamps,
          lastDuration: track.durations.get(timestamps.at(-1) ?? -1) ?? 0,
          samples: Number.isNaN(track.samples) ? undefined : track.samples - cut
        }
      })
  }
}

const describe = (described: Map<number, Described>, entry: Buffer): void => {
  const own = new Map(children(entry).map(({ content, id }) => [id, content]))
  const audio = new Map(children(own.get(ids.audio) ?? Buffer.alloc(0)).map(({ content, id }) => [id, content]))
  const type = numberOf(own.get(ids.trackType), 0)
  const codec = own.get(ids.codec)?.toString("latin1") ?? ""
  const channels = numberOf(audio.get(ids.channels), 1)
  const frame = (channels * numberOf(audio.get(ids.bitDepth), 0)) / 8
  described.set(numberOf(own.get(ids.trackNumber), 0), {
    kind: type === 1 ? "Video" : type === 2 ? "Audio" : "Other",
    timestamps: [],
    durations: new Map(),
    samplesOf: codec.startsWith("A_PCM/") && frame > 0 ? (_, bytes) => bytes / frame : packets[codec],
    sampleRate: floatOf(audio.get(ids.sampleRate), 8000),
    codecDelay: numberOf(own.get(ids.codecDelay), 0),
    discarded: 0,
    samples: 0
  })
}

// ---
// packets of sound
// ---

/** How many samples at 48 kHz an Opus frame has, by its configuration (RFC 6716, 3.1). */
const opusFrame = (toc: number): number => {
  const configuration = toc >> 3
  if (configuration < 12) return [480, 960, 1920, 2880][configuration & 3] ?? 0
  return configuration < 16 ? ([480, 960][configuration & 1] ?? 0) : ([120, 240, 480, 960][configuration & 3] ?? 0)
}

const opusPacket = (packet: Buffer): number => {
  const [toc = 0, count = 0] = packet
  const frames = (toc & 3) === 0 ? 1 : (toc & 3) === 3 ? count & 63 : 2
  return frames * opusFrame(toc)
}

/** The block size in a FLAC frame's head (RFC 9639, 9.1.1), behind a number of variable length where it is not in a table. */
const flacPacket = (packet: Buffer): number | undefined => {
  const code = (packet[2] ?? 0) >> 4
  if (code >= 8) return 256 * 2 ** (code - 8)
  if (code === 1) return 192
  if (code >= 2 && code <= 5) return 576 * 2 ** (code - 2)
  const coded = packet[4] ?? 0
  // As many bytes as there are ones in front, as in UTF-8.
  const width = coded < 0x80 ? 1 : Math.clz32(~(coded << 24))
  const at = 4 + width
  if (code === 0 || packet.length < at + 2) return undefined
  return (code === 6 ? packet.readUInt8(at) : packet.readUInt16BE(at)) + 1
}

const packets: Readonly<Record<string, (packet: Buffer) => number | undefined>> = {
  A_OPUS: opusPacket,
  A_AAC: () => 1024,
  A_FLAC: flacPacket
}
