import * as Ffmpeg from "@helios-infra/stitcher-ffmpeg/Ffmpeg"
import * as Environment from "@helios-infra/process/Environment"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

/** Looks for ffmpeg on a machine that has only what is given. */
const find = (machine: {
  readonly variables?: Environment.Variables
  readonly bundled?: string
  readonly option?: string
}) =>
  Ffmpeg.find({ ffmpegPath: machine.option }).pipe(
    Effect.map((ffmpeg) => ffmpeg.path),
    Effect.provideService(Environment.ParentEnvironment, machine.variables ?? {}),
    Effect.provideService(Ffmpeg.StaticBinary, Effect.succeed(Option.fromNullishOr(machine.bundled)))
  )

const program = (file: string, mode = 0o755) =>
  Effect.promise(async () => {
    await fs.mkdir(path.dirname(file), { recursive: true })
    await fs.writeFile(file, "#!/bin/sh\n", { mode })
    return file
  })

describe("finding ffmpeg", () => {
  it.live("takes the option, then the variable, then ffmpeg-static, then PATH", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const option = yield* program(path.join(dir, "a/ffmpeg"))
      const variable = yield* program(path.join(dir, "b/ffmpeg"))
      const bundled = yield* program(path.join(dir, "c/ffmpeg"))
      const inPath = yield* program(path.join(dir, "d/ffmpeg"))
      const PATH = `${path.join(dir, "empty")}:${path.dirname(inPath)}`
      const variables = { FFMPEG_PATH: variable, PATH }
      assert.strictEqual(yield* find({ option, variables, bundled }), option)
      assert.strictEqual(yield* find({ variables, bundled }), variable)
      assert.strictEqual(yield* find({ variables: { PATH }, bundled }), bundled)
      assert.strictEqual(yield* find({ variables: { PATH, FFMPEG_PATH: "" } }), inPath)
      assert.strictEqual(yield* find({ variables: { PATH, FFMPEG_PATH: "ffmpeg" } }), inPath)
    })
  )

  it.live("passes over an ffmpeg-static whose file was not downloaded, and over what cannot be executed", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const plain = yield* program(path.join(dir, "a/ffmpeg"), 0o644)
      yield* Effect.promise(() => fs.mkdir(path.join(dir, "b/ffmpeg"), { recursive: true }))
      const good = yield* program(path.join(dir, "c/ffmpeg"))
      const PATH = [plain, path.join(dir, "b/ffmpeg"), good].map((file) => path.dirname(file)).join(":")
      assert.strictEqual(yield* find({ variables: { PATH }, bundled: path.join(dir, "missing") }), good)
    })
  )

  it.live("takes nothing else in place of what was asked for", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const good = yield* program(path.join(dir, "good/ffmpeg"))
      const plain = yield* program(path.join(dir, "plain/ffmpeg"), 0o644)
      const PATH = path.dirname(good)
      for (const wrong of [plain, dir, path.join(dir, "missing"), "no-such-program"]) {
        const option = yield* Effect.flip(find({ option: wrong, variables: { PATH }, bundled: good }))
        assert.include(option.message, `the option ffmpegPath names ${wrong}`)
        const variable = yield* Effect.flip(find({ variables: { PATH, FFMPEG_PATH: wrong }, bundled: good }))
        assert.include(variable.message, `the variable FFMPEG_PATH names ${wrong}`)
      }
    })
  )

  it.live("says what to do when there is none", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(find({ variables: {} }))
      for (const way of ["apt install ffmpeg", "npm install ffmpeg-static", "FFMPEG_PATH", "ffmpegPath"]) {
        assert.include(error.message, way)
      }
    })
  )

  it.live("asks the package ffmpeg-static, and lives without it", () =>
    Effect.gen(function* () {
      // Installed here without its program: its install script is not allowed to run.
      const named = yield* yield* Ffmpeg.StaticBinary
      const dir = yield* real.folder
      const good = yield* program(path.join(dir, "ffmpeg"))
      const found = yield* Ffmpeg.find().pipe(Effect.provideService(Environment.ParentEnvironment, { PATH: dir }))
      const there =
        Option.isSome(named) &&
        (yield* Effect.promise(() =>
          fs.access(named.value).then(
            () => true,
            () => false
          )
        ))
      assert.strictEqual(found.path, there ? Option.getOrThrow(named) : good)
    })
  )
})

describe("running ffmpeg", () => {
  it.live("gives its exit code, what it prints and what it calls errors", () =>
    Effect.gen(function* () {
      const ffmpeg = yield* Ffmpeg.find({ ffmpegPath: real.ffmpegPath })
      const lines: Array<string> = []
      const good = yield* ffmpeg.run(["-f", "lavfi", "-i", "testsrc2=s=16x16:d=0.2", "-f", "framecrc", "-"], {
        onLine: (stream, line) => stream === "stdout" && lines.push(line)
      })
      assert.deepStrictEqual({ ...good, warning: undefined }, { exitCode: 0, errors: [], warning: undefined })
      assert.lengthOf(
        lines.filter((line) => !line.startsWith("#")),
        5
      )
      const bad = yield* ffmpeg.run(["-i", Ffmpeg.fileUrl("/no/such file"), "-f", "null", "-"])
      assert.notStrictEqual(bad.exitCode, 0)
      assert.match(Ffmpeg.describe(bad), /No such file or directory/)
    })
  )

  it.live("asks it once whether it is old, and needs to be told to write each frame once", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const told = (name: string, options: string) =>
        Effect.gen(function* () {
          const file = path.join(dir, name)
          const script = `#!/bin/sh\necho "$@" >> '${file}.asked'\nprintf '%s\\n' ${options}\n`
          yield* Effect.promise(() => fs.writeFile(file, script, { mode: 0o755 }))
          const ffmpeg = yield* Ffmpeg.find({ ffmpegPath: file })
          const found = yield* Ffmpeg.eachFrameOnce(ffmpeg)
          assert.strictEqual(yield* ffmpeg.isOld, found.length > 0)
          assert.lengthOf((yield* Effect.promise(() => fs.readFile(`${file}.asked`, "utf8"))).trim().split("\n"), 1)
          return found
        })
      assert.deepStrictEqual(yield* told("4.1", "'-vsync   video sync method'"), ["-vsync", "vfr"])
      assert.deepStrictEqual(yield* told("5.1", "'-vsync   deprecated, use -fps_mode' '-fps_mode   set mode'"), [])
      assert.deepStrictEqual(yield* told("9", "'-fps_mode[:<stream_spec>]  set mode'"), [])
      // The one of the tests takes what it says that it needs.
      const ffmpeg = yield* Ffmpeg.find({ ffmpegPath: real.ffmpegPath })
      const twelve = "-f lavfi -i testsrc2=s=16x16:r=30:d=0.4 -vf settb=1/30,setpts=N -r 30".split(" ")
      const run = yield* ffmpeg.run([...twelve, ...(yield* Ffmpeg.eachFrameOnce(ffmpeg)), "-f", "null", "-"])
      assert.deepStrictEqual({ ...run, warning: undefined }, { exitCode: 0, errors: [], warning: undefined })
    })
  )

  it.live("says what it lacks, however it calls that", () =>
    Effect.gen(function* () {
      const ffmpeg = yield* Ffmpeg.find({ ffmpegPath: real.ffmpegPath })
      const picture = "-f lavfi -i testsrc2=s=16x16:d=0.1".split(" ")
      for (const [args, what] of [
        [[...picture, "-no_such_option", "1", "-f", "null", "-"], "no_such_option"],
        [[...picture, "-c:v", "no_such_encoder", "-f", "null", "-"], "no_such_encoder"],
        [[...picture, "-vf", "no_such_filter", "-f", "null", "-"], "no_such_filter"],
        [[...picture, "-f", "no_such_format", "-"], "no_such_format"],
        [["-f", "no_such_input", "-i", "x", "-f", "null", "-"], "no_such_input"]
      ] as const) {
        const lacking = yield* Ffmpeg.lacking(ffmpeg, yield* ffmpeg.run(args))
        assert.include(lacking, what)
        assert.match(lacking ?? "", /\(\S+\) cannot do .*: use ffmpeg 4\.1 or later/)
      }
    })
  )

  it.live("hands it no more of our environment than programs need", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const file = path.join(dir, "ffmpeg")
      yield* Effect.promise(() => fs.writeFile(file, "#!/bin/sh\nenv\n", { mode: 0o755 }))
      const lines: Array<string> = []
      const ffmpeg = yield* Ffmpeg.find({ ffmpegPath: file }).pipe(
        Effect.provideService(Environment.ParentEnvironment, { PATH: "/usr/bin:/bin", AWS_SECRET_ACCESS_KEY: "secret" })
      )
      yield* ffmpeg.run([], { onLine: (_, line) => lines.push(line) })
      assert.include(lines, "PATH=/usr/bin:/bin")
      assert.notInclude(lines.join("\n"), "secret")
    })
  )
})
