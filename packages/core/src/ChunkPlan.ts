/**
 * Frames to chunks, and a job from a command template: for renderers that do not write a job file themselves.
 *
 * A plan knows nothing of how long a frame takes: chunks are as equal as they can be in frames.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as FrameRate from "./FrameRate.ts"
import * as JobSpec from "./JobSpec.ts"

/** The plan asks for what cannot be: `issues` say which option is wrong, and what to write instead. */
export class ChunkPlanError extends Schema.TaggedError<ChunkPlanError>()("ChunkPlanError", {
  issues: Schema.Array(Schema.Struct({ path: Schema.String, message: Schema.String }))
}) {
  override get message(): string {
    return ["the job cannot be planned:", ...this.issues.map(({ path, message }) => `- ${path}: ${message}`)].join("\n")
  }
}

type Issue = ChunkPlanError["issues"][number]

/** How to cut: into `count` chunks, or into chunks of at most `size` frames. */
export type Cut = { readonly count: number } | { readonly size: number }

/** Frames `startFrame` to `startFrame + frameCount - 1`, counted from 0. */
export interface FrameRange {
  readonly startFrame: number
  readonly frameCount: number
}

/** The most chunks that a plan may have. */
export const maxChunks = 1_000_000

const isPositive = (n: number): boolean => Number.isSafeInteger(n) && n >= 1

const checkCut = (totalFrames: number, cut: Cut): ReadonlyArray<Issue> => {
  const [path, value] = "count" in cut ? ["chunks.count", cut.count] : ["chunks.size", cut.size]
  const issues = [
    ...(isPositive(totalFrames)
      ? []
      : [{ path: "totalFrames", message: `must be a whole number from 1, is ${totalFrames}` }]),
    ...(isPositive(value) ? [] : [{ path, message: `must be a whole number from 1, is ${value}` }])
  ]
  if (issues.length > 0 || countOf(totalFrames, cut) <= maxChunks) return issues
  return [{ path, message: `gives more than ${maxChunks} chunks: make them larger` }]
}

const countOf = (totalFrames: number, cut: Cut): number =>
  "count" in cut ? Math.min(cut.count, totalFrames) : Math.ceil(totalFrames / cut.size)

/**
 * Cuts `totalFrames` frames into ranges: every frame once and in order, none empty, sizes that differ by one at most.
 *
 * More chunks than frames gives one chunk per frame.
 */
export const split = (totalFrames: number, cut: Cut): Result.Result<ReadonlyArray<FrameRange>, ChunkPlanError> => {
  const issues = checkCut(totalFrames, cut)
  if (issues.length > 0) return Result.fail(new ChunkPlanError({ issues }))
  const count = countOf(totalFrames, cut)
  const least = Math.floor(totalFrames / count)
  const larger = totalFrames % count
  return Result.succeed(
    Array.from({ length: count }, (_, index) => ({
      startFrame: index * least + Math.min(index, larger),
      frameCount: index < larger ? least + 1 : least
    }))
  )
}

// ---------------------------------------------
// templates
// ---------------------------------------------

/** What a chunk's placeholders stand for; times as decimal text. */
interface Values {
  readonly id: number
  readonly startFrame: number
  readonly endFrame: number
  readonly frameCount: number
  readonly startSeconds: string
  readonly durationSeconds: string
}

const names = ["id", "startFrame", "endFrame", "frameCount", "startSeconds", "durationSeconds"] as const
type Name = (typeof names)[number]

/** Placeholders of which two chunks never have the same. */
const telling: ReadonlyArray<Name> = ["id", "startFrame", "endFrame", "startSeconds"]

interface Template {
  readonly issues: ReadonlyArray<Issue>
  /** Whether it gives different text for every chunk. */
  readonly differs: boolean
  readonly namesOutput: boolean
  readonly render: (values: Values) => string
}

const plain = (name: string): string => name.replaceAll(/[\s_-]/g, "").toLowerCase()

const placeholder = /(\$|\{)?\{([^{}]{1,40})\}(\})?/g

const parse = (path: string, text: string): Template => {
  const issues: Array<Issue> = []
  const used = new Set<Name | "output">()
  const parts: Array<string | ((values: Values) => string)> = []
  let end = 0
  for (const match of text.matchAll(placeholder)) {
    const [found, before = "", inside = "", after = ""] = match
    const [word = ""] = inside.split(":", 1)
    const known = [...names, "output" as const].find((name) => plain(name) === plain(word))
    // Braces that are not ours belong to the command: ffmpeg's %{n}, JSON, JavaScript.
    if (known === undefined) continue
    const width = known === "output" || known.endsWith("Seconds") ? undefined : /:(\d{1,2})$/.exec(inside)?.[1]
    const wrapped = before === "$" || (before === "{" && after === "}")
    if (wrapped || inside !== (width === undefined ? known : `${known}:${width}`)) {
      issues.push({ path, message: `write {${known}}${known === "id" ? " or {id:4}" : ""} for ${found}` })
      continue
    }
    used.add(known)
    if (known !== "output") {
      const start = match.index + before.length
      parts.push(text.slice(end, start), (values) => String(values[known]).padStart(Number(width ?? 0), "0"))
      end = start + inside.length + 2
    }
  }
  parts.push(text.slice(end))
  return {
    issues,
    differs: telling.some((name) => used.has(name)),
    namesOutput: used.has("output"),
    render: (values) => parts.map((part) => (typeof part === "string" ? part : part(values))).join("")
  }
}

// ---------------------------------------------
// plans
// ---------------------------------------------

/** What to plan. */
export interface Options {
  readonly totalFrames: number
  /** Frames per second, as {@link FrameRate.parse} reads it. */
  readonly fps: number | string
  /** Picture width in pixels. */
  readonly width?: number | undefined
  /** Picture height in pixels. */
  readonly height?: number | undefined
  readonly chunks: Cut
  /**
   * The command line of every chunk. Replaced in it:
   *
   * - `{id}`: the chunk's number, from 0.
   * - `{startFrame}`, `{endFrame}`: its first and its last frame, as the renderer counts them (`firstFrame`).
   * - `{frameCount}`: how many frames it has.
   * - `{startSeconds}`, `{durationSeconds}`: where it begins in the video and how long it is, rounded down to the
   *   microsecond: `2.502500`. Where the renderer takes a number of frames, give it that.
   *
   * A number of digits fills whole numbers up with zeros: `{id:4}` is `0007`. `{output}` stays: each attempt puts its
   * own place there. Other braces are left alone.
   */
  readonly command: string
  /** The name of every chunk's file, with the same placeholders but for `{output}`. Default: `"part_{id}.mov"`. */
  readonly outputFile?: string | undefined
  /** The command line that joins the chunks: as it is, or made from their files' names, which are in frame order. */
  readonly mergeCommand?: string | ((outputFiles: ReadonlyArray<string>) => string) | undefined
  /** What the renderer calls the first frame: 1 for Blender. Default: 0. */
  readonly firstFrame?: number | undefined
  readonly id?: string | undefined
  /** Files and folders that the command reads, relative to the job's folder, for workers elsewhere. */
  readonly assets?: ReadonlyArray<string> | undefined
  readonly assetsUrl?: string | undefined
  /** More for the job file's metadata, for whoever reads it. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
}

/** Whether a template gives every chunk a text of its own; only asked when the template itself is sound. */
const checkDiffers = (path: string, template: Template, message: string): ReadonlyArray<Issue> =>
  template.differs || template.issues.length > 0 ? template.issues : [{ path, message }]

const check = (options: Options, command: Template, outputFile: Template): ReadonlyArray<Issue> => {
  const { chunks, firstFrame = 0, fps, totalFrames } = options
  const cut = checkCut(totalFrames, chunks)
  const several = cut.length === 0 && countOf(totalFrames, chunks) > 1
  return [
    ...cut,
    ...(Option.isSome(FrameRate.parse(fps))
      ? []
      : [
          {
            path: "fps",
            message: `must be frames per second such as 30, 29.97 or "30000/1001", is ${String(fps).slice(0, 60)}`
          }
        ]),
    ...(Number.isSafeInteger(firstFrame) && firstFrame >= 0 && firstFrame <= Number.MAX_SAFE_INTEGER - totalFrames
      ? []
      : [{ path: "firstFrame", message: `must be a whole number from 0, is ${firstFrame}` }]),
    ...(several
      ? [
          ...checkDiffers(
            "command",
            command,
            "would render the same in every chunk: say {startFrame}, {startSeconds} or {id}"
          ),
          ...checkDiffers("outputFile", outputFile, "would be the same for every chunk: say {id} or {startFrame}")
        ]
      : [...command.issues, ...outputFile.issues]),
    ...(outputFile.namesOutput
      ? [{ path: "outputFile", message: "is itself what {output} stands for: say {id} or {startFrame}" }]
      : [])
  ]
}

/** Plans a job: one that {@link JobSpec.decode} takes, or everything that is wrong with the options. */
export const make: (options: Options) => Effect.Effect<JobSpec.JobSpec, ChunkPlanError> = Effect.fnUntraced(
  function* (options) {
    const { assets, assetsUrl, firstFrame = 0, fps, height, id, mergeCommand, totalFrames, width } = options
    const command = parse("command", options.command)
    const outputFile = parse("outputFile", options.outputFile ?? "part_{id}.mov")
    const issues = check(options, command, outputFile)
    if (issues.length > 0) return yield* new ChunkPlanError({ issues })

    const ranges = yield* Effect.fromResult(split(totalFrames, options.chunks))
    const rate = Option.getOrThrow(FrameRate.parse(fps))
    const chunks = ranges.map(({ frameCount, startFrame }, index) => {
      const values: Values = {
        id: index,
        startFrame: firstFrame + startFrame,
        endFrame: firstFrame + startFrame + frameCount - 1,
        frameCount,
        startSeconds: FrameRate.seconds(startFrame, rate),
        durationSeconds: FrameRate.seconds(frameCount, rate)
      }
      return {
        id: index,
        startFrame,
        frameCount,
        outputFile: outputFile.render(values),
        command: command.render(values)
      }
    })
    return yield* JobSpec.decode({
      ...(id === undefined ? {} : { id }),
      ...(assets === undefined ? {} : { assets }),
      ...(assetsUrl === undefined ? {} : { assetsUrl }),
      metadata: {
        ...options.metadata,
        totalFrames,
        fps,
        ...(width === undefined ? {} : { width }),
        ...(height === undefined ? {} : { height }),
        duration: (totalFrames * rate.denominator) / rate.numerator
      },
      chunks,
      ...(mergeCommand === undefined
        ? {}
        : {
            mergeCommand:
              typeof mergeCommand === "string" ? mergeCommand : mergeCommand(chunks.map((chunk) => chunk.outputFile))
          })
    }).pipe(Effect.mapError((error) => new ChunkPlanError({ issues: error.issues.slice(0, 20) })))
  }
)
