#!/usr/bin/env node
/**
 * Renders the film: eight chunks, two at a time, each by a program of its own in headless Chromium; stitches them while
 * it shows how far it is; then judges the result frame by frame.
 *
 * `--small` renders the first two seconds in a small size. Ctrl-C pauses the job: nothing of it is left running, and the
 * exit code is 130.
 */
import * as JobManager from "@helios-infra/core/JobManager"
import * as JobRepository from "@helios-infra/core/JobRepository"
import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { ensureChromium } from "./browser.ts"
import { findFfmpeg } from "./ffmpeg.ts"
import { full, type DemoJob, small, writeJob } from "./job.ts"
import { makeProgressDisplay } from "./progress-bars.ts"
import { seconds, timeline } from "./timeline.ts"
import { formatReport, verify } from "./verify.ts"

const { values: flags } = parseArgs({ options: { small: { type: "boolean", default: false } }, allowPositionals: true })
const settings = flags.small ? small : full
const folder = join(import.meta.dirname, "..", "out", flags.small ? "small" : "")

const { chunks, fps, frames, height, width } = settings
const film = `${frames} frames of ${width}x${height} at ${fps} per second`

/** Two at a time: a browser and an encoder each keep a core busy. */
const concurrency = 2

class FilmInvalid extends Schema.TaggedError<FilmInvalid>()("FilmInvalid", { file: Schema.String }) {
  override get message(): string {
    return `${this.file} is not what it should be`
  }
}

const say = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

/** Renders and stitches, with bars on the terminal meanwhile. */
const render = Effect.fnUntraced(function* (job: DemoJob) {
  const jobs = yield* JobManager.JobManager
  const repository = yield* JobRepository.JobRepository
  const { id } = yield* jobs.create(job.spec)
  yield* say(`${id}: ${film}, in ${chunks} chunks, ${concurrency} at a time`)
  const display = makeProgressDisplay(process.stdout)
  const watching = jobs
    .watch(id)
    .pipe(
      Stream.runForEach((progress) =>
        Effect.sync(() => (progress.status === "running" ? display.update : display.done)(progress))
      )
    )
  const running = jobs
    .run(id, { outputFile: "film.mp4", concurrency, attemptTimeout: "5 minutes" })
    .pipe(
      Effect.onInterrupt(() =>
        Effect.flatMap(Effect.orDie(jobs.get(id)), (state) =>
          say(
            `\n${state.status}: ${state.chunks.filter((chunk) => chunk.status === "accepted").length} chunks are kept, nothing is left running`
          )
        )
      )
    )
  const [state] = yield* Effect.all([running, watching], { concurrency: "unbounded" })
  return { state, records: yield* Stream.runCollect(repository.read(id)) }
})

const program = Effect.gen(function* () {
  const ffmpeg = findFfmpeg()
  // Two workers that start at once would both unpack it.
  yield* Effect.promise(() => ensureChromium())
  yield* Effect.promise(() => rm(folder, { recursive: true, force: true }))
  const job = yield* Effect.promise(() => writeJob(folder, settings))

  const workspace = LocalWorkspace.layer({ dir: job.folder })
  const services = JobManager.layer.pipe(
    Layer.provideMerge(JobRepository.layerMemory),
    Layer.provide([
      LocalWorkerAdapter.layer(),
      FfmpegStitcher.layer({ ffmpegPath: ffmpeg }),
      FfmpegOutputCheck.layer({ ffmpegPath: ffmpeg })
    ]),
    Layer.provide(workspace)
  )
  const { records, state } = yield* render(job).pipe(Effect.provide(services))
  yield* Effect.forEach(timeline(state, records), say)

  const file = state.outputFile ?? ""
  const [took, report] = yield* Effect.timed(
    Effect.promise(() => verify(ffmpeg, file, { frames, fps, seams: job.seams, sound: job.soundFile }))
  )
  yield* Effect.forEach(formatReport(report), say)
  if (!report.ok) return yield* new FilmInvalid({ file })
  yield* say(`verified in ${seconds(Duration.toMillis(took))}`)
  yield* say(`\n  ${file}\n  play it: ffplay ${file}, or open it in a browser or any player`)
})

/** What went wrong: the message where it was foreseen, all there is to know where it was not. */
const explain = (cause: Cause.Cause<{ readonly message: string }>): string =>
  Option.match(Cause.findErrorOption(cause), { onNone: () => Cause.pretty(cause), onSome: (error) => error.message })

NodeRuntime.runMain(
  program.pipe(
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.sync(() => process.stderr.write(`\n${explain(cause)}\n`))
    )
  ),
  { disableErrorReporting: true }
)
