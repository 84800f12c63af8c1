import { LocalWorkspace } from "@helios-infra/adapter-local"
import { type JobError, JobManager, type JobState } from "@helios-infra/core"
import { FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as RealMachine from "./RealMachine.ts"

const { plan, render } = RealMachine

/** Runs a job whose chunks are rendered by `command`; gives how it ended, its state, and what is in its folder. */
const run = Effect.fnUntraced(function* (
  command: string,
  options: JobManager.RunOptions & { readonly files?: Readonly<Record<string, string>> } = {}
) {
  const { files = {}, ...runOptions } = options
  const dir = yield* RealMachine.folder
  yield* Effect.forEach(Object.entries(files), ([name, text]) => Effect.promise(() => writeFile(join(dir, name), text)))
  const spec = yield* plan(command)
  return yield* Effect.gen(function* () {
    const jobs = yield* JobManager.JobManager
    const { id } = yield* jobs.create(spec)
    const error: JobError.JobError | undefined = yield* jobs
      .run(id, { outputFile: "film.mp4", retries: 1, retryDelay: "10 millis", concurrency: 2, ...runOptions })
      .pipe(
        Effect.as(undefined),
        Effect.catch((error) => Effect.succeed(error))
      )
    const state: JobState.JobState = yield* jobs.get(id)
    const left = yield* Effect.promise(() => readdir(dir))
    const processes = yield* RealMachine.processesOf(id)
    return { dir, error, state, left: left.filter((name) => !(name in files)), processes }
  }).pipe(Effect.provide(RealMachine.layer(dir)))
})

type Ran = Effect.Success<ReturnType<typeof run>>

/** A job that failed as it should: named, bounded, nothing finished, nothing left but the outputs that were accepted. */
const assertFailed = ({ error, left, processes, state }: Ran, reason: string, attempts: number, text: RegExp): void => {
  assert.strictEqual(state.status, "failed")
  assert.strictEqual(error?.reason._tag, "ChunkFailed")
  if (error?.reason._tag !== "ChunkFailed") return
  const { last } = error.reason
  assert.strictEqual(last.reason._tag, reason)
  assert.strictEqual(last.attempt, attempts)
  assert.strictEqual(state.error?.chunkId, last.chunkId)
  assert.include(error.message, `chunk ${last.chunkId} of job ${state.id}, attempt ${attempts}`)
  assert.match(error.message, text)
  assert.notInclude(left, "film.mp4")
  assert.deepStrictEqual(
    left.filter((name) => name !== ".helios"),
    []
  )
  assert.deepStrictEqual(processes, [])
  assert.isBelow(state.progress, 1)
}

/** Only chunk 1 goes wrong: its command is the `wrong` one. */
const chunk1 = (wrong: string) =>
  `sh -c 'if [ {id} = 1 ]; then ${wrong}; else exec ${render({ output: '"$0"' })}; fi' {output}`

describe("a job on one machine", () => {
  it.live("ends as one file with every frame", () =>
    Effect.gen(function* () {
      const ran = yield* run(render({}))
      assert.isUndefined(ran.error)
      assert.strictEqual(ran.state.status, "completed")
      assert.deepStrictEqual(ran.left, ["film.mp4"])
      assert.strictEqual(yield* RealMachine.framesOf(join(ran.dir, "film.mp4")), 90)
    })
  )

  describe("fails, and says why, when", () => {
    it.live("a command does not exist: at once", () =>
      Effect.gen(function* () {
        assertFailed(yield* run("no-such-renderer --frames {startFrame} {output}"), "Refused", 1, /no-such-renderer/)
      })
    )

    it.live("a command cannot be read: at once", () =>
      Effect.gen(function* () {
        assertFailed(yield* run("render 'unclosed {startFrame} {output}"), "Refused", 1, /quot/)
      })
    )

    it.live("a chunk exits non-zero: after trying again, with what it said", () =>
      Effect.gen(function* () {
        const ran = yield* run(chunk1("echo out of paint >&2; exit 3"))
        assertFailed(ran, "RenderFailed", 2, /exited with 3[^]*out of paint/)
      })
    )

    it.live("a chunk is killed", () =>
      Effect.gen(function* () {
        assertFailed(yield* run(chunk1("kill -9 $$")), "RenderFailed", 2, /killed by SIGKILL/)
      })
    )

    it.live("a chunk hangs: when its time is over", () =>
      Effect.gen(function* () {
        const ran = yield* run(chunk1("sleep 600"), { attemptTimeout: "3 seconds", retries: 0 })
        assertFailed(ran, "TimedOut", 1, /3000 ms/)
      })
    )

    it.live("a chunk exits 0 without its file", () =>
      Effect.gen(function* () {
        assertFailed(yield* run(chunk1("true")), "OutputInvalid", 2, /expected a file/)
      })
    )

    it.live("a chunk exits 0 with an empty file", () =>
      Effect.gen(function* () {
        assertFailed(yield* run(chunk1('true > "$0"')), "OutputInvalid", 2, /empty/)
      })
    )

    it.live("a chunk exits 0 with a truncated file", () =>
      Effect.gen(function* () {
        const truncated = `${render({ output: '"$0"' })} && truncate -s -2000 "$0"`
        assertFailed(yield* run(chunk1(truncated)), "OutputInvalid", 2, /expected/)
      })
    )

    it.live("a chunk exits 0 with a file that is no video", () =>
      Effect.gen(function* () {
        assertFailed(yield* run(chunk1('echo hello > "$0"')), "OutputInvalid", 2, /expected/)
      })
    )

    it.live("a chunk exits 0 with 17 of 30 frames", () =>
      Effect.gen(function* () {
        const short = render({ frames: "17", output: '"$0"' })
        assertFailed(yield* run(chunk1(short)), "OutputInvalid", 2, /expected 30 frames, found 17 frames/)
      })
    )

    it.live("a chunk has another size", () =>
      Effect.gen(function* () {
        const wrong = render({ size: "48x64", output: '"$0"' })
        assertFailed(yield* run(chunk1(wrong)), "OutputInvalid", 2, /width 64, height 48[^]*width 48, height 64/)
      })
    )

    it.live("a chunk has another rate", () =>
      Effect.gen(function* () {
        const wrong = render({ rate: "25", output: '"$0"' })
        assertFailed(yield* run(chunk1(wrong)), "OutputInvalid", 2, /30[^]*25/)
      })
    )

    it.live("a chunk has another pixel format than the others", () =>
      Effect.gen(function* () {
        // The other two are accepted first, and say what the format is.
        const wrong = `sleep 2; ${render({ pixels: "yuv444p", output: '"$0"' })}`
        const ran = yield* run(chunk1(wrong), { concurrency: 3, retries: 0 })
        assertFailed(ran, "OutputInvalid", 1, /yuv420p[^]*yuv444p/)
      })
    )
  })

  it.live("survives a chunk that fails once", () =>
    Effect.gen(function* () {
      const once = `test -e failed || { touch failed; exit 1; }; ${render({ output: '"$0"' })}`
      const ran = yield* run(chunk1(once))
      assert.isUndefined(ran.error)
      assert.strictEqual(ran.state.chunks[1]?.attempts, 2)
      assert.strictEqual(yield* RealMachine.framesOf(join(ran.dir, "film.mp4")), 90)
    })
  )

  it.live("takes no old file for an output, from commands that write to a name of their own", () =>
    Effect.gen(function* () {
      const spec = { files: { "part_1.mov": "old" } }
      const named = yield* run(render({ output: "part_{id}.mov" }), spec)
      assert.isUndefined(named.error)
      // A command that names its output nowhere, and writes it only for two of three chunks.
      const nameless = `sh -c 'test {id} = 1 || exec ${render({ output: "part_$0.mov" })}' {id}`
      assertFailed(yield* run(nameless, { ...spec, retries: 0 }), "OutputInvalid", 1, /expected a file/)
    })
  )

  it.live("keeps its memory whatever a chunk prints", () =>
    Effect.gen(function* () {
      const before = process.memoryUsage.rss()
      const flood = `head -c 600000000 /dev/zero | tr "\\\\0" x; head -c 2000000 /dev/zero | tr "\\\\0" "\\\\n"; ${render({ output: '"$0"' })}`
      let most = 0
      const watch = Effect.sync(() => (most = Math.max(most, process.memoryUsage.rss()))).pipe(
        Effect.andThen(Effect.sleep("50 millis")),
        Effect.forever
      )
      const ran = yield* Effect.raceFirst(run(chunk1(flood)), watch)
      assert.isUndefined(ran.error)
      // A third of what was printed: the collector takes its time, the more so in a process that has run other tests.
      assert.isBelow((most - before) / 2 ** 20, 200)
    })
  )

  it.live("renders names that nobody should give", () =>
    Effect.gen(function* () {
      const dir = yield* RealMachine.folder
      const names = ['it\'s a "part" 100%.mov', "-leading dash.mov", "new\nline; rm -rf $HOME.mov"]
      const plain = yield* plan(render({}))
      const spec = {
        ...plain,
        chunks: plain.chunks.map((chunk, i) => ({ ...chunk, outputFile: names[i] ?? chunk.outputFile }))
      }
      const jobs = yield* JobManager.JobManager.pipe(Effect.provide(RealMachine.layer(dir)))
      const { id } = yield* jobs.create(spec)
      const outputFile = 'the film\'s "final"\ncut -y.mp4'
      const state = yield* jobs.run(id, { outputFile })
      assert.strictEqual(state.outputFile, join(dir, outputFile))
      assert.strictEqual(yield* RealMachine.framesOf(join(dir, outputFile)), 90)
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(dir)), [outputFile])
    })
  )

  it.live("says before it renders anything that the final file cannot be written", () =>
    Effect.gen(function* () {
      const ran = yield* run(render({}), { outputFile: "/dev/null/film.mp4" })
      assert.strictEqual(ran.error?.reason._tag, "WorkspaceError")
      assert.strictEqual(ran.state.status, "pending")
      assert.deepStrictEqual(ran.left, [])
    })
  )

  it.live("says how to get ffmpeg when the stitcher has none", () =>
    Effect.gen(function* () {
      const dir = yield* RealMachine.folder
      const stitcher = yield* FfmpegStitcher.make({ ffmpegPath: "/no/ffmpeg" }).pipe(
        Effect.provide(LocalWorkspace.layer({ dir }))
      )
      const ran = yield* run(render({}), { stitcher })
      assert.strictEqual(ran.error?.reason._tag, "StitchError")
      assert.match(ran.error?.message ?? "", /\/no\/ffmpeg/)
      assert.notInclude(ran.left, "film.mp4")
    })
  )
})
