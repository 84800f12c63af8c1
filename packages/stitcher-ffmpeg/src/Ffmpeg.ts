/**
 * Finds ffmpeg and runs it.
 *
 * Any build from 4.1 (2018) on will do, and ffprobe is not needed. How a process is started and ended is the business of
 * `@helios-infra/process`; what ffmpeg is asked for, that of the modules that use this one.
 */
import * as Command from "@helios-infra/process/Command"
import * as Environment from "@helios-infra/process/Environment"
import type { ProcessError } from "@helios-infra/process/ProcessError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as fs from "node:fs/promises"
import * as path from "node:path"

/** Where to find ffmpeg. */
export interface Options {
  /** The path of the program, or a name to look for in `PATH`. Default: see {@link find}. */
  readonly ffmpegPath?: string | undefined
}

/** An ffmpeg that is there. */
export interface Ffmpeg {
  /** Its absolute path. */
  readonly path: string
  /** Runs it without standard input. Interruption ends it. A non-zero exit code is a result, not an error. */
  readonly run: (args: ReadonlyArray<string>, options?: RunOptions) => Effect.Effect<Run, ProcessError>
  /**
   * Whether it is older than 5.1 (2022): it has to be told some things that later ones refuse, or do by themselves. It is
   * asked once.
   */
  readonly isOld: Effect.Effect<boolean, ProcessError>
}

/** How to run it. */
export interface RunOptions {
  /** The folder to run in. Default: the root of the file system. */
  readonly cwd?: string | undefined
  /** Told every line of its output, and of its log, each of these with its level. */
  readonly onLine?: ((stream: "stdout" | "stderr", line: string) => void) | undefined
}

/** An ffmpeg that has ended. */
export interface Run {
  /** `null` when a signal ended it. */
  readonly exitCode: number | null
  /** The first of what it called errors, 20 at most. */
  readonly errors: ReadonlyArray<string>
  /** The last of what it called warnings. */
  readonly warning: string | undefined
}

/** There is no ffmpeg where one was looked for; `fix` says what to do. */
export class FfmpegMissing extends Schema.TaggedError<FfmpegMissing>()("FfmpegMissing", { fix: Schema.String }) {
  override get message(): string {
    return this.fix
  }
}

/**
 * The file that the package `ffmpeg-static` names; none where it is not installed.
 *
 * It is an optional dependency that downloads its program when it is installed: the package can be there and name a
 * file that is not.
 */
export const StaticBinary: Context.Reference<Effect.Effect<Option.Option<string>>> = Context.Reference(
  "@helios-infra/stitcher-ffmpeg/Ffmpeg/StaticBinary",
  {
    defaultValue: () => {
      // Not a literal in `import()`: bundlers would want to resolve it, and fail where it is not installed.
      const name: string = "ffmpeg-static"
      return Effect.tryPromise((): Promise<unknown> => import(name)).pipe(
        Effect.map((module) =>
          Predicate.hasProperty(module, "default") && Predicate.isString(module.default)
            ? Option.some(module.default)
            : Option.none()
        ),
        Effect.orElseSucceed(() => Option.none<string>())
      )
    }
  }
)

/**
 * Finds ffmpeg: `ffmpegPath`, else the variable `FFMPEG_PATH`, else the package `ffmpeg-static`, else `PATH`.
 *
 * What was asked for by path or by variable and is not there is an error: nothing else is taken in its place.
 */
export const find = Effect.fn("Ffmpeg.find")(function* (options?: Options): Effect.fn.Return<Ffmpeg, FfmpegMissing> {
  const variables = yield* Environment.ParentEnvironment
  const searched = (variables["PATH"] ?? "").split(path.delimiter).filter((folder) => folder !== "")
  const inPath = (name: string) => firstExecutable(searched.map((folder) => path.join(folder, name)))

  const asked: ReadonlyArray<readonly [source: string, value: string | undefined]> = [
    ["the option ffmpegPath", options?.ffmpegPath],
    ["the variable FFMPEG_PATH", variables["FFMPEG_PATH"]]
  ]
  for (const [source, value] of asked) {
    if (value === undefined || value === "") continue
    const found = yield* value.includes(path.sep) ? firstExecutable([path.resolve(value)]) : inPath(value)
    if (Option.isSome(found)) return yield* make(found.value, variables)
    return yield* new FfmpegMissing({
      fix: `${source} names ${value}, which is no executable file: correct it, or remove it to use another ffmpeg`
    })
  }

  const bundled = yield* yield* StaticBinary
  const found = yield* firstExecutable(Option.toArray(bundled)).pipe(
    Effect.flatMap(Option.match({ onNone: () => inPath("ffmpeg"), onSome: (file) => Effect.succeedSome(file) }))
  )
  if (Option.isSome(found)) return yield* make(found.value, variables)
  return yield* new FfmpegMissing({
    fix:
      "there is no ffmpeg: install it (Debian, Ubuntu: apt install ffmpeg; macOS: brew install ffmpeg; " +
      "or npm install ffmpeg-static, with its install script allowed), or say where it is with the variable FFMPEG_PATH or the option ffmpegPath"
  })
})

/** A path in a form that ffmpeg takes as a file whatever is in it: `concat:a`, `-`, `%d`. */
export const fileUrl = (file: string): string => `file:${file}`

/** What went wrong in a run, in a line or a few. */
export const describe = (run: Run): string => {
  if (run.errors.length > 0) return run.errors.join("\n")
  const how = run.exitCode === null ? "ffmpeg was killed by a signal" : `ffmpeg exited with ${run.exitCode}`
  return run.warning === undefined ? how : `${how}: ${run.warning}`
}

/**
 * ffmpeg's options, beside `-r`, that have each frame written once, where its timestamp puts it. Old builds go by its length
 * otherwise; later ones refuse this, and 9 does not know it.
 */
export const eachFrameOnce = ({ isOld }: Pick<Ffmpeg, "isOld">): Effect.Effect<ReadonlyArray<string>, ProcessError> =>
  Effect.map(isOld, (old) => (old ? oldEachFrameOnce : []))

/** {@link eachFrameOnce}, of an old one. */
export const oldEachFrameOnce: ReadonlyArray<string> = ["-vsync", "vfr"]

/** The oldest release with all that this package asks for. */
export const oldest = "4.1"

/**
 * What an ffmpeg that ran does not have, and which one would, in words; `undefined` where it was something else that went
 * wrong. Builds are made with other encoders, and old ones do not know all options.
 */
export const lacking = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg,
  run: Run
): Effect.fn.Return<string | undefined, ProcessError> {
  const said = run.errors.find((error) =>
    /Unrecognized option|Option \S+ not found|Unknown (?:encoder|decoder|protocol|input format)|No such filter|Requested output format/.test(
      error
    )
  )
  if (run.exitCode === 0 || said === undefined) return undefined
  let version = "of unknown version"
  yield* ask(ffmpeg.path, ["-version"], (line) => {
    version = /^ffmpeg version (\S+)/.exec(line)?.[1] ?? version
  })
  return `${ffmpeg.path} (${version}) cannot do what it was asked for (${said.trim()}): use ffmpeg ${oldest} or later, built with that, by the option ffmpegPath or the variable FFMPEG_PATH`
})

/** Has a program tell of itself. */
const ask = (file: string, args: ReadonlyArray<string>, onLine: (line: string) => void) =>
  Command.run({
    args: [file, ...args],
    cwd: path.parse(file).root,
    env: {},
    name: "ffmpeg",
    onLine: (_, line) => onLine(line)
  })

/** Versions of builds between releases say nothing; the options that there are do. */
const isOld = Effect.fnUntraced(function* (file: string) {
  let isNew = false
  yield* ask(file, ["-hide_banner", "-h", "long"], (line) => {
    isNew ||= line.startsWith("-fps_mode")
  })
  return !isNew
})

const maxErrors = 20

const make = Effect.fnUntraced(function* (file: string, variables: Environment.Variables): Effect.fn.Return<Ffmpeg> {
  return { path: file, run: runner(file, variables), isOld: yield* Effect.cached(isOld(file)) }
})

const runner = (file: string, variables: Environment.Variables): Ffmpeg["run"] =>
  Effect.fnUntraced(function* (args, options) {
    const errors: Array<string> = []
    let warning: string | undefined
    const ended = yield* Command.run({
      args: [file, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", "-progress", "pipe:2", ...args],
      cwd: options?.cwd ?? path.parse(file).root,
      env: Environment.pick(variables),
      name: "ffmpeg",
      // Told to stop, ffmpeg finishes its file first; nobody wants that file any more.
      killGrace: "100 millis",
      onLine: (stream, line) => {
        // `[h264 @ 0x55d0] [error] text`: who says it, when it is not the program itself, comes first.
        const said = stream === "stderr" ? /^(?:\[[^\]]* @ [^\]]*\] )*\[(\w+)\] (.*)$/.exec(line) : null
        const [, level, text = ""] = said ?? []
        if (level === "warning") warning = text
        if ((level === "error" || level === "fatal" || level === "panic") && errors.length < maxErrors)
          errors.push(text)
        options?.onLine?.(stream, line)
      }
    })
    return { exitCode: ended.exitCode, errors, warning }
  })

const firstExecutable = (candidates: ReadonlyArray<string>): Effect.Effect<Option.Option<string>> =>
  Effect.findFirst(candidates, (file) =>
    Effect.tryPromise(() => fs.access(file, fs.constants.X_OK)).pipe(
      Effect.andThen(Effect.tryPromise(() => fs.stat(file))),
      Effect.map((stat) => stat.isFile()),
      Effect.orElseSucceed(() => false)
    )
  )
