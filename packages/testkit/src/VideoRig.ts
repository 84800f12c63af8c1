/**
 * How the contracts of stitchers and output checks get chunks, and look at what was made of them.
 *
 * The author of the implementation says how, since only they know what a chunk is to it: a file that ffmpeg wrote, or a
 * few labels in memory.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as plain from "./internal/plain.ts"

/** A way in which a chunk is not what it should be. */
export type Damage = "missing" | "empty" | "truncated" | "short" | "odd"

/** Makes chunks and looks into videos. All paths are below a folder of the case's own. */
export class VideoRig extends Context.Service<
  VideoRig,
  {
    /**
     * Writes a chunk with the frames from `startFrame` on, each frame different from all others, at 30 frames per second;
     * `name` has no extension, and can be any legal file name. Gives its location.
     */
    readonly chunk: (name: string, startFrame: number, frameCount: number) => Effect.Effect<string>
    /**
     * Spoils a chunk of `frameCount` frames: removes it, empties it, cuts its bytes off, leaves its last frame out
     * (`short`), or makes its pictures of another size (`odd`). Gives false where there is no such thing.
     */
    readonly damage: (location: string, how: Damage, frameCount: number) => Effect.Effect<boolean>
    /** The absolute path of a final file; `name` has no extension. */
    readonly output: (name: string) => string
    /** What tells each frame of a video from all others, in order. */
    readonly frames: (location: string) => Effect.Effect<ReadonlyArray<string>>
    /** The size of a file in bytes. */
    readonly size: (location: string) => Effect.Effect<Option.Option<number>>
    /** The names of all files that there are, hidden ones as well. */
    readonly files: Effect.Effect<ReadonlyArray<string>>
  }
>()("@helios-infra/testkit/VideoRig") {}

/** The same, for authors without Effect. */
export interface PlainVideoRig {
  /** Writes a chunk with so many frames, each different from all others, at 30 frames per second; gives its path. */
  readonly chunk: (name: string, startFrame: number, frameCount: number) => plain.Promised<string>
  /** Spoils a chunk; gives false where there is no such thing. */
  readonly damage: (path: string, how: Damage, frameCount: number) => plain.Promised<boolean>
  /** The absolute path of a final file; `name` has no extension. */
  readonly output: (name: string) => string
  /** What tells each frame of a video from all others, in order. */
  readonly frames: (path: string) => plain.Promised<ReadonlyArray<string>>
  /** The size of a file in bytes; `undefined` where there is none. */
  readonly size: (path: string) => plain.Promised<number | undefined>
  /** The names of all files that there are, hidden ones as well. */
  readonly files: () => plain.Promised<ReadonlyArray<string>>
}

/** A plain rig as the one that the contracts use. */
export const fromPlain = (rig: PlainVideoRig): VideoRig["Service"] => ({
  chunk: (name, startFrame, frameCount) => plain.ask(() => rig.chunk(name, startFrame, frameCount)),
  damage: (location, how, frameCount) => plain.ask(() => rig.damage(location, how, frameCount)),
  output: (name) => rig.output(name),
  frames: (location) => plain.ask(() => rig.frames(location)),
  size: (location) => plain.sizeOf(() => rig.size(location)),
  files: plain.ask(() => rig.files())
})
