/**
 * The job file: which frames there are, and the command that renders each chunk of them.
 *
 * It is the file that the Helios CLI writes (`helios render --emit-job job.json`). Keys that this module does not know
 * are kept at every level. `decode` checks all that can be known without touching a file or running a command, and
 * reports every problem at once; it does not look at what the commands say.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as FrameRate from "./FrameRate.ts"
import type { VideoFormat } from "./VideoFormat.ts"

// ---------------------------------------------
// errors
// ---------------------------------------------

/** The job file is not one that can be run. Nothing was started. */
export class JobSpecError extends Schema.TaggedError<JobSpecError>()("JobSpecError", {
  /** What is wrong, and where: `{ path: "chunks[2].startFrame", message: "is missing" }`. The first 100 problems. */
  issues: Schema.Array(Schema.Struct({ path: Schema.String, message: Schema.String })),
  /** How many problems there are beyond those in `issues`. */
  more: Schema.Int
}) {
  override get message(): string {
    const listed = this.issues.slice(0, maxListed).map(({ path, message }) => `- ${path}: ${message}`)
    const rest = this.issues.length - listed.length + this.more
    const count = this.issues.length + this.more
    return [
      `the job file is not valid, nothing was started. Correct ${count === 1 ? "this" : `these ${count} problems`}, then try again:`,
      ...listed,
      ...(rest === 0 ? [] : [`- and ${rest} more`])
    ].join("\n")
  }
}

const maxListed = 20
const maxIssues = 100

type Issue = JobSpecError["issues"][number]

// ---------------------------------------------
// the rules of single values
// ---------------------------------------------

/** A value as a message shows it: short, whatever it is. */
const show = (value: unknown): string => {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "an array" : "an object"
    case "number":
      return Object.is(value, -0) ? "-0" : String(value)
    default:
      return typeof value
  }
}

/** More than two years at 30 frames per second; sums of two stay exact. */
const maxFrames = 2 ** 31 - 1

const whole = (least: number, most: number = Number.MAX_SAFE_INTEGER) =>
  Schema.Number.check(
    Schema.makeFilter(
      // -0 would come back from JSON as 0.
      (n) =>
        (Number.isSafeInteger(n) && n >= least && n <= most && !Object.is(n, -0)) ||
        `must be a whole number from ${least} to ${most}, is ${show(n)}`,
      { toJsonSchema: () => ({ type: "integer", minimum: least, maximum: most }) }
    )
  )

const Command = Schema.String.check(
  Schema.makeFilter(
    (command) => {
      if (!/\S/.test(command)) return "must not be empty: give the command line to run"
      return !command.includes("\0") || "must not contain a NUL character: no command line can"
    },
    { toJsonSchema: () => [{ pattern: "\\S" }, true] }
  )
)

const Fps = Schema.Union([Schema.Number, Schema.String])
  .annotate({ message: 'must be a number or a string such as 30, 29.97 or "30000/1001"' })
  .check(
    Schema.makeFilter(
      (fps) =>
        Option.isSome(FrameRate.parse(fps)) ||
        `must be frames per second above 0 and at most ${FrameRate.maxFramesPerSecond}, such as 30, 29.97 or "30000/1001", is ${show(fps)}`,
      { toJsonSchema: () => [{ exclusiveMinimum: 0, maximum: FrameRate.maxFramesPerSecond }, true] }
    )
  )

/** What a job can be called: 1 to 200 characters, none of them a control character. */
export const JobId = Schema.String.check(
  Schema.makeFilter(
    // Control characters and lone surrogates survive neither a folder's name nor a URL.
    (id) => /^[^\p{Cc}\p{Cs}]{1,200}$/u.test(id) || "must have 1 to 200 characters and no control characters",
    { toJsonSchema: () => [{ minLength: 1, maxLength: 200 }, true] }
  )
)

const irregular = /(?:^|\/)\.{0,2}(?:\/|$)/

/** The name without `.`, `..` and double slashes; undefined when it leads out of the folder that it is relative to. */
const normalize = (name: string): string | undefined => {
  if (!irregular.test(name)) return name
  const segments: Array<string> = []
  for (const segment of name.split("/")) {
    if (segment === "" || segment === ".") continue
    if (segment !== "..") segments.push(segment)
    else if (segments.pop() === undefined) return undefined
  }
  return segments.join("/")
}

/** What is wrong with a name in the job's folder. */
const misnamed = (name: string, example: string): string | undefined => {
  if (name === "") return `must not be empty: name ${example}`
  if (name.length > 1024) return `must have at most 1024 characters, has ${name.length}`
  if (/[\0\p{Cs}]/u.test(name)) return `contains a character that no file name can: ${show(name)}`
  if (name.includes("\\")) return `write / between folders, so that the job runs on any system, is ${show(name)}`
  if (name.startsWith("/") || /^[a-z]:/i.test(name)) return `must be relative to the job's folder, is ${show(name)}`
  if (normalize(name) === undefined) {
    return `leads out of the job's folder: put the job file above its files, is ${show(name)}`
  }
  return undefined
}

/** What a JSON Schema can say of such a name. */
const nameInJson: Schema.Annotations.Filter = {
  toJsonSchema: () => [{ minLength: 1, maxLength: 1024, pattern: String.raw`^[^/\\]` }, true]
}

const OutputFile = Schema.String.check(
  Schema.makeFilter((name) => {
    const wrong = misnamed(name, 'a file such as "part_0.mov"')
    if (wrong !== undefined) return wrong
    return !/(^|\/)\.{0,2}$/.test(name) || `names a folder: add a file name, is ${show(name)}`
  }, nameInJson)
)

const AssetName = Schema.String.check(
  Schema.makeFilter((name) => misnamed(name, 'a file or a folder such as "assets"') ?? true, nameInJson)
)

// ---------------------------------------------
// the job file
// ---------------------------------------------

const unknownKeys = [Schema.Record(Schema.String, Schema.Unknown)] as const

/** What the whole video is. */
export interface Metadata {
  /** How many frames all chunks have together. */
  readonly totalFrames: number
  /** Frames per second: a number, or what {@link FrameRate.parse} reads from a string. */
  readonly fps: number | string
  /** Picture width in pixels. */
  readonly width?: number
  /** Picture height in pixels. */
  readonly height?: number
  /** Seconds, rounded as the writer of the file saw fit: nothing is derived from it. */
  readonly duration?: number
}

/** The schema of {@link Metadata}. */
export const Metadata: Schema.Codec<Metadata> = Schema.StructWithRest(
  Schema.Struct({
    totalFrames: whole(1, maxFrames).annotateKey({ description: "How many frames all chunks have together." }),
    fps: Fps.annotateKey({ description: "Frames per second: 30, 29.97 or 30000/1001." }),
    width: Schema.optionalKey(whole(1)).annotateKey({ description: "Picture width in pixels." }),
    height: Schema.optionalKey(whole(1)).annotateKey({ description: "Picture height in pixels." }),
    duration: Schema.optionalKey(
      Schema.Number.check(
        Schema.makeFilter(
          (n) =>
            (Number.isFinite(n) && n >= 0 && !Object.is(n, -0)) || `must be a number of seconds from 0, is ${show(n)}`,
          { toJsonSchema: () => ({ type: "number", minimum: 0 }) }
        )
      )
    ).annotateKey({ description: "Seconds, rounded as the writer of the file saw fit: nothing is derived from it." })
  }),
  unknownKeys
)

/** A range of frames and the command that renders it. */
export interface Chunk {
  /** Names the chunk everywhere; unique in the job. */
  readonly id: number
  readonly startFrame: number
  readonly frameCount: number
  /** The file that the command writes, relative to the job's folder, with `/` between folders; unique in the job. */
  readonly outputFile: string
  /** The command line, to be split without a shell. */
  readonly command: string
}

const chunkFields = {
  id: whole(0).annotateKey({ description: "Names the chunk everywhere; unique in the job." }),
  startFrame: whole(0, maxFrames).annotateKey({ description: "The chunk's first frame." }),
  frameCount: whole(1, maxFrames).annotateKey({ description: "How many frames the chunk has." }),
  outputFile: OutputFile.annotateKey({
    description:
      "The file that the command writes, relative to the job's folder, with / between folders; unique in the job."
  }),
  command: Command.annotateKey({ description: "The command line that renders the chunk, to be split without a shell." })
}

/** The schema of {@link Chunk}. */
export const Chunk: Schema.Codec<Chunk> = Schema.StructWithRest(Schema.Struct(chunkFields), unknownKeys)

/** A job file. */
export interface JobSpec {
  /** Names the job; whoever runs a job without one chooses one. */
  readonly id?: string
  /**
   * Files and folders that the commands read, relative to the job's folder: with a storage, they are sent there for
   * workers elsewhere.
   */
  readonly assets?: ReadonlyArray<string>
  /** Where workers elsewhere find the list of the job's assets; set in the copy of the job file that is for them. */
  readonly assetsUrl?: string
  readonly metadata: Metadata
  /** In any order; together they hold every frame exactly once. */
  readonly chunks: ReadonlyArray<Chunk>
  /** The command line that joins the chunks, for jobs that bring no stitcher. */
  readonly mergeCommand?: string
}

/**
 * The schema of {@link JobSpec}, for embedding in other schemas.
 *
 * Checks each value on its own. What only the whole can tell (every frame exactly once, unique ids and outputs) is
 * checked by {@link decode}: take job files from outside through that.
 */
export const JobSpec: Schema.Codec<JobSpec> = Schema.StructWithRest(
  Schema.Struct({
    id: Schema.optionalKey(JobId).annotateKey({
      description: "Names the job; whoever runs a job without one chooses one."
    }),
    assets: Schema.optionalKey(Schema.Array(AssetName)).annotateKey({
      description: "Files and folders that the commands read, relative to the job's folder."
    }),
    assetsUrl: Schema.optionalKey(Schema.String).annotateKey({
      description:
        "Where workers elsewhere find the list of the job's assets; set in the copy of the job file that is for them."
    }),
    metadata: Metadata.annotateKey({ description: "What the whole video is." }),
    chunks: Schema.Array(Chunk)
      .check(
        Schema.makeFilter((chunks) => chunks.length > 0 || "must hold at least one chunk", {
          toJsonSchema: () => ({ minItems: 1 })
        })
      )
      .annotateKey({ description: "In any order; together they hold every frame exactly once." }),
    mergeCommand: Schema.optionalKey(Command).annotateKey({
      description: "The command line that joins the chunks, for jobs that bring no stitcher."
    })
  }),
  unknownKeys
)

// ---------------------------------------------
// the rules of the whole
// ---------------------------------------------

/** What the rules of the whole look at; what is absent is wrong by itself and was reported as such. */
interface Seen {
  readonly metadata: { readonly totalFrames?: number | undefined }
  readonly chunks: ReadonlyArray<{ readonly [K in keyof typeof chunkFields]?: Chunk[K] | undefined }>
}

const range = (first: number, end: number): string =>
  end - first === 1 ? `frame ${first} is` : `frames ${first}-${end - 1} are`

const uniqueIds = ({ chunks }: Seen): ReadonlyArray<Issue> => {
  const seen = new Map<number, number>()
  return chunks.flatMap(({ id }, index) => {
    if (id === undefined) return []
    const earlier = seen.get(id)
    if (earlier === undefined) seen.set(id, index)
    return earlier === undefined
      ? []
      : [{ path: `chunks[${index}].id`, message: `${id} is also the id of chunks[${earlier}]: give each its own` }]
  })
}

const uniqueOutputs = ({ chunks }: Seen): ReadonlyArray<Issue> => {
  // Names that differ in case or in Unicode composition only are one file on macOS and Windows.
  const keys = chunks.map(({ outputFile }) =>
    outputFile === undefined ? undefined : normalize(outputFile)?.normalize("NFC").toLowerCase()
  )
  const owners = new Map<string, number>()
  const issue = (index: number, message: string): Issue => ({ path: `chunks[${index}].outputFile`, message })
  const duplicates = keys.flatMap((key, index) => {
    if (key === undefined) return []
    const owner = owners.get(key)
    if (owner === undefined) owners.set(key, index)
    return owner === undefined
      ? []
      : [issue(index, `${show(chunks[index]?.outputFile)} is also the output of chunks[${owner}]: give each its own`)]
  })
  const nested = keys.flatMap((key, index) => {
    for (let slash = key?.indexOf("/") ?? -1; key !== undefined && slash >= 0; slash = key.indexOf("/", slash + 1)) {
      const owner = owners.get(key.slice(0, slash))
      if (owner !== undefined) {
        return [issue(index, `${show(chunks[index]?.outputFile)} needs a folder where chunks[${owner}] writes a file`)]
      }
    }
    return []
  })
  return [...duplicates, ...nested]
}

/**
 * Every frame exactly once.
 *
 * Frames count from 0, or, in what the Helios CLI writes for `--start-frame 100`, from 100: the last chunk's end then
 * lies `totalFrames` after the first one's start.
 */
const tiling = ({ chunks, metadata: { totalFrames } }: Seen): ReadonlyArray<Issue> => {
  const ranges = chunks.flatMap(({ id, startFrame, frameCount }, index) =>
    startFrame === undefined || frameCount === undefined
      ? []
      : [
          {
            index,
            name: id === undefined ? `chunks[${index}]` : `chunk ${id}`,
            startFrame,
            end: startFrame + frameCount
          }
        ]
  )
  ranges.sort((a, b) => a.startFrame - b.startFrame || a.index - b.index)
  const start = ranges[0]?.startFrame
  if (start === undefined) return []

  // Without all ranges nobody can say which frames are missing, or where the video ends.
  const complete = totalFrames !== undefined && ranges.length === chunks.length
  const lastEnd = ranges.reduce((end, chunk) => Math.max(end, chunk.end), 0)
  const first = complete && lastEnd - start !== totalFrames ? 0 : start
  const end = complete ? first + totalFrames : Infinity

  const issues: Array<Issue> = []
  const missing = (from: number, to: number): void => {
    if (complete && from < to) issues.push({ path: "chunks", message: `${range(from, to)} in no chunk` })
  }
  let reached = first
  let owner = ranges[0]
  for (const chunk of ranges) {
    if (owner !== undefined && owner !== chunk && chunk.startFrame < reached) {
      const both = range(chunk.startFrame, Math.min(reached, chunk.end))
      issues.push({
        path: `chunks[${chunk.index}]`,
        message: `${both} in ${owner.name} (chunks[${owner.index}]) and again in ${chunk.name}`
      })
    }
    missing(reached, Math.min(chunk.startFrame, end))
    if (chunk.end > end) {
      issues.push({
        path: `chunks[${chunk.index}]`,
        message: `${range(Math.max(chunk.startFrame, end), chunk.end)} beyond the last frame, ${end - 1}: correct ${chunk.name} or metadata.totalFrames`
      })
    }
    if (chunk.end > reached) {
      reached = chunk.end
      owner = chunk
    }
  }
  missing(reached, end)
  return issues
}

const problems = (seen: Seen): ReadonlyArray<Issue> => [...uniqueIds(seen), ...tiling(seen), ...uniqueOutputs(seen)]

// ---------------------------------------------
// decoding
// ---------------------------------------------

const member = (input: unknown, key: string): unknown => (Predicate.hasProperty(input, key) ? input[key] : undefined)

const reader = <A>(schema: Schema.Codec<A>) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (input: unknown, key: string): A | undefined => Option.getOrUndefined(decode(member(input, key)))
}
const readId = reader(chunkFields.id)
const readCount = reader(chunkFields.frameCount)
const readPosition = reader(chunkFields.startFrame)
const readOutputFile = reader(chunkFields.outputFile)

/** What is sound in an input that the schema rejects, so that the rules of the whole are reported together with it. */
const salvage = (input: unknown): Seen => {
  const chunks = member(input, "chunks")
  return {
    metadata: { totalFrames: readCount(member(input, "metadata"), "totalFrames") },
    chunks: (Array.isArray(chunks) ? chunks : []).map((chunk: unknown) => ({
      id: readId(chunk, "id"),
      startFrame: readPosition(chunk, "startFrame"),
      frameCount: readCount(chunk, "frameCount"),
      outputFile: readOutputFile(chunk, "outputFile")
    }))
  }
}

/** The runtime's own words, on one line. */
const detailOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).slice(0, 200).replaceAll(/\s+/g, " ")

const pathOf = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>((text, key) => {
    if (typeof key !== "string") return `${text}[${String(key)}]`
    return /^[\w$]{1,60}$/.test(key) ? `${text}${text === "" ? "" : "."}${key}` : `${text}[${show(key)}]`
  }, "") || "the job file"

const formatter = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => {
    if (issue._tag === "MissingKey") return "is missing"
    const text = SchemaIssue.defaultLeafHook(issue)
    return issue._tag === "InvalidType" ? text.replace(/^Expected /, "must be of type ") : text
  }
})

const decodeSchema = Schema.decodeUnknownEffect(JobSpec, { errors: "all" })

const invalid = (issues: ReadonlyArray<Issue>): JobSpecError =>
  new JobSpecError({ issues: issues.slice(0, maxIssues), more: Math.max(0, issues.length - maxIssues) })

const invalidAt = (path: string, message: string): JobSpecError => invalid([{ path, message }])

/** Unknown keys may hold anything; journals and workers take only what fits in JSON. */
const storable = (spec: JobSpec): Effect.Effect<JobSpec, JobSpecError> =>
  Effect.try({
    try: () => {
      JSON.stringify(spec)
      return spec
    },
    catch: (cause) => invalidAt("the job file", `cannot be written as JSON: ${detailOf(cause)}`)
  })

/** Checks that a value is a job file that can be run, and gives it back as it is: all problems at once if it is not. */
export const decode = (input: unknown): Effect.Effect<JobSpec, JobSpecError> =>
  Effect.matchEffect(decodeSchema(input), {
    onSuccess: (spec) => {
      const issues = problems(spec)
      return issues.length === 0 ? storable(spec) : Effect.fail(invalid(issues))
    },
    onFailure: ({ issue }) => {
      const single = formatter(issue).issues.map(({ path = [], message }) => ({
        path: pathOf(path.map((key) => (typeof key === "object" ? key.key : key))),
        message
      }))
      return Effect.fail(invalid([...single, ...problems(salvage(input))]))
    }
  })

/** {@link decode} for the text of a job file. */
export const decodeJson = (text: string): Effect.Effect<JobSpec, JobSpecError> =>
  Effect.flatMap(
    Effect.try({
      // Editors on Windows put a byte order mark in front, which is no JSON.
      try: (): unknown => JSON.parse(text.replace(/^\uFEFF/, "")),
      catch: (cause) => invalidAt("the job file", `is not JSON: ${detailOf(cause)}`)
    }),
    decode
  )

// ---------------------------------------------
// reading a decoded spec
// ---------------------------------------------

/** The chunks in the order of their frames. */
export const chunksInOrder = (spec: JobSpec): ReadonlyArray<Chunk> =>
  spec.chunks.toSorted((a, b) => a.startFrame - b.startFrame)

/** The frame rate of a decoded spec; a defect for one that was never decoded and has none. */
export const frameRate = (spec: JobSpec): FrameRate.FrameRate =>
  Option.getOrThrowWith(FrameRate.parse(spec.metadata.fps), () =>
    invalidAt("metadata.fps", `is no frame rate: ${show(spec.metadata.fps)}`)
  )

/** What the job file says about the picture of every chunk. */
export const format = (spec: JobSpec): VideoFormat => ({
  fps: FrameRate.format(frameRate(spec)),
  ...(spec.metadata.width === undefined ? {} : { width: spec.metadata.width }),
  ...(spec.metadata.height === undefined ? {} : { height: spec.metadata.height })
})
