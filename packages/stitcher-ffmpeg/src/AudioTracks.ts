/**
 * Tracks of sound that come from elsewhere (music, a voice) and lie under a whole video, beside what its chunks have.
 *
 * They are looked at before anything is joined, and mixed once, in the run of ffmpeg that joins: nothing here runs it for
 * that.
 */
import { CannotJoin, StitchError } from "@helios-infra/core/VideoStitcher"
import * as Effect from "effect/Effect"
import * as path from "node:path"
import * as Ffmpeg from "./Ffmpeg.ts"
import { toolBroken } from "./internal/stitchFailure.ts"

/** A track. */
export interface AudioTrack {
  /** A file of this machine with sound. It is heard from its first sample on, and not longer than the video. */
  readonly path: string
  /** When it begins, in seconds from the first frame. Default: 0. */
  readonly startSeconds?: number | undefined
  /** How loud it is against what it was: 0.5 is half. Default: 1. */
  readonly volume?: number | undefined
}

/** The sound that tracks are mixed into. */
export interface Bed {
  /** ffmpeg's name of what the chunks have, in a filter graph; none where they are silent. */
  readonly stream: string | undefined
  readonly sampleRate: number
  readonly layout: string
  readonly channels: number
  readonly samples: number
}

/** Sound comes from files of this machine, and from no playlist. */
const confined = [
  "-protocol_whitelist",
  "file,pipe",
  "-format_whitelist",
  "aac,aiff,au,caf,flac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mp3,ogg,w64,wav"
]

/** Fails with `CannotJoin` unless every track is a file with sound. */
export const check = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  tracks: ReadonlyArray<AudioTrack>
): Effect.fn.Return<void, StitchError> {
  for (const { path: file, startSeconds = 0, volume = 1 } of tracks) {
    const refuse = (fix: string) =>
      new StitchError({ reason: new CannotJoin({ fix: `the audio track ${file} ${fix}` }) })
    if (!(startSeconds >= 0 && Number.isFinite(startSeconds))) {
      return yield* refuse(`begins at ${startSeconds}: give a number of seconds from 0 on, as startSeconds`)
    }
    if (!(volume >= 0 && Number.isFinite(volume))) {
      return yield* refuse(`has the volume ${volume}: give a number from 0 on`)
    }
    const run = yield* ffmpeg
      .run([...inputOf(file), ..."-map 0:a:0 -frames:a 1 -f null -".split(" ")])
      .pipe(Effect.catchTag("ProcessError", toolBroken))
    if (run.exitCode !== 0) {
      return yield* refuse(`cannot be read: name a file with sound. ffmpeg says: ${Ffmpeg.describe(run)}`)
    }
  }
})

/** ffmpeg's inputs for tracks. */
export const inputs = (tracks: ReadonlyArray<AudioTrack>): ReadonlyArray<string> =>
  tracks.flatMap(({ path: file }) => inputOf(file))

const inputOf = (file: string): ReadonlyArray<string> => [...confined, "-i", Ffmpeg.fileUrl(path.resolve(file))]

/**
 * The filter graph that makes `[mixed]` of a bed and of tracks, which are ffmpeg's inputs from `first` on; and `[preview]`,
 * the same again, where there is one.
 */
export const mix = (bed: Bed, tracks: ReadonlyArray<AudioTrack>, first: number, preview: boolean): string => {
  const { channels, layout, sampleRate, samples, stream } = bed
  const same = `aresample=${sampleRate},aformat=sample_fmts=fltp:channel_layouts=${layout}`
  // None of them ever ends: a mixer would make the others louder then.
  const parts = [
    ...(stream === undefined ? [] : [`[${stream}]asetpts=N/SR/TB,${same},apad[bed]`]),
    ...tracks.map(({ startSeconds = 0, volume = 1 }, index) => {
      const delay = Array.from({ length: channels }, () => `${Math.round(startSeconds * sampleRate)}S`).join("|")
      return `[${first + index}:a:0]asetpts=N/SR/TB,${same},volume=${volume},adelay=${delay},apad[track${index}]`
    })
  ]
  const names = [...(stream === undefined ? [] : ["[bed]"]), ...tracks.map((_, index) => `[track${index}]`)]
  // The mixer divides by how many there are.
  const mixed = names.length === 1 ? "anull" : `amix=inputs=${names.length},volume=${names.length}`
  return [
    ...parts,
    `${names.join("")}${mixed},atrim=end_sample=${samples},asetpts=N/SR/TB${preview ? ",asplit[mixed][preview]" : "[mixed]"}`
  ].join(";")
}
