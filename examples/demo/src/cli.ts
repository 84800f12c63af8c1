#!/usr/bin/env node
/**
 * The worker's program: renders one range of frames of a Helios composition into one file.
 *
 * An ordinary program that knows nothing of jobs: anything that can run a command line can run a chunk with it. It
 * prints `frame=N` as it goes, exits 0 only when the file holds exactly the frames and samples that were asked for, and
 * otherwise leaves no file and says why. A signal ends it at once, and its browser with it.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { rename, writeFile } from "node:fs/promises"
import { dirname, extname, join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { format, parseArgs } from "node:util"
import { Renderer } from "@helios-project/renderer"
import { ensureChromium } from "./browser.ts"
import { findFfmpeg, listStreams } from "./ffmpeg.ts"
import { cutSound, sampleRange } from "./sound.ts"

const usage = `usage: node cli.ts --headless --composition page.html --start-frame A --frame-count N \\
         --fps 30 --width 1280 --height 720 [--audio sound.wav] -o part.mov

  --headless      show no window (Chromium from @sparticuz/chromium has none)
  --audio         a WAV for the whole film, 48 kHz stereo 16 bits; the range's part of it goes into the file as PCM
  --verbose       print everything that the renderer says

FFMPEG_PATH and CHROMIUM_PATH choose the programs; TMPDIR, where the browser is unpacked.
`

class UsageError extends Error {}

interface Request {
  readonly composition: string
  readonly startFrame: number
  readonly frameCount: number
  readonly fps: number
  readonly width: number
  readonly height: number
  readonly audio: string | undefined
  readonly output: string
  readonly headless: boolean
  readonly verbose: boolean
}

const readArguments = (): Request => {
  const parse = () => {
    try {
      return parseArgs({
        options: {
          headless: { type: "boolean", default: false },
          composition: { type: "string" },
          "start-frame": { type: "string" },
          "frame-count": { type: "string" },
          fps: { type: "string" },
          width: { type: "string" },
          height: { type: "string" },
          audio: { type: "string" },
          output: { type: "string", short: "o" },
          verbose: { type: "boolean", default: false }
        }
      }).values
    } catch (error) {
      throw new UsageError(error instanceof Error ? error.message : String(error))
    }
  }
  const values = parse()
  const text = (name: "composition" | "output"): string => {
    const value = values[name]
    if (value === undefined || value === "") throw new UsageError(`--${name} is missing`)
    return value
  }
  const whole = (name: "start-frame" | "frame-count" | "fps" | "width" | "height", least: number): number => {
    const value = values[name]
    if (value === undefined) throw new UsageError(`--${name} is missing`)
    const number = Number(value)
    if (!/^\d+$/.test(value) || number < least) {
      throw new UsageError(`--${name} must be a whole number from ${least} up, not "${value}"`)
    }
    return number
  }
  return {
    composition: text("composition"),
    startFrame: whole("start-frame", 0),
    frameCount: whole("frame-count", 1),
    fps: whole("fps", 1),
    width: whole("width", 2),
    height: whole("height", 2),
    audio: values.audio,
    output: text("output"),
    headless: values.headless,
    verbose: values.verbose
  }
}

/** The last lines that the renderer said: it talks a lot, and that only matters when something went wrong. */
const said: Array<string> = []

const listenToRenderer = (verbose: boolean): void => {
  const listen = (...parts: ReadonlyArray<unknown>): void => {
    const lines = format(...parts)
      .trimEnd()
      .split("\n")
    if (verbose) process.stderr.write(`${lines.join("\n")}\n`)
    else said.splice(0, Math.max(0, said.push(...lines) - 20))
  }
  Object.assign(console, { log: listen, info: listen, warn: listen, error: listen })
}

/** Renders into `scratch`; the file gets its name once it is known to be whole. */
const render = async (request: Request, scratch: string, signal: AbortSignal): Promise<void> => {
  const { startFrame, frameCount, fps, width, height } = request
  const draft = join(scratch, `draft${extname(request.output)}`)
  const ffmpeg = findFfmpeg()
  const chromium = await ensureChromium()
  Object.assign(process.env, chromium.env)
  // In a file of its own: sound that is handed over in memory arrives cut short, and a seek in a file is not exact.
  const sound = join(scratch, "sound.wav")
  if (request.audio !== undefined) await writeFile(sound, await cutSound(request.audio, startFrame, frameCount, fps))

  const renderer = new Renderer({
    width,
    height,
    fps,
    startFrame,
    frameCount,
    durationInSeconds: frameCount / fps,
    ffmpegPath: ffmpeg,
    browserConfig: {
      executablePath: chromium.executablePath,
      headless: request.headless,
      gpu: false,
      args: ["--no-sandbox", "--font-render-hinting=none", "--force-color-profile=srgb"]
    },
    inputProps: { fps },
    // Each frame as a PNG: as fast as a video encoder in the page, without its losses, and a frame's pixels do not
    // depend on where its chunk began.
    webCodecsPreference: "disabled",
    intermediateImageFormat: "png",
    // No B-frames in this preset: packets are in the order of their showing and join with -c copy.
    videoCodec: "libx264",
    preset: "ultrafast",
    crf: 16,
    pixelFormat: "yuv420p",
    // `offset` puts the slice where the range begins, so that the renderer does not seek in it.
    ...(request.audio === undefined
      ? {}
      : { audioCodec: "pcm_s16le", audioTracks: [{ path: sound, offset: startFrame / fps }] })
  })
  const report = (frames: number): boolean => process.stdout.write(`frame=${frames}\n`)
  await renderer.render(pathToFileURL(resolve(request.composition)).href, draft, {
    signal,
    onProgress: (fraction) => report(Math.round(fraction * frameCount))
  })
  await check(ffmpeg, draft, request)
  await rename(draft, request.output)
  report(frameCount)
}

/** The renderer's word is not taken for it: the file must hold what was asked for. */
const check = async (ffmpeg: string, draft: string, request: Request): Promise<void> => {
  const { audio, fps, frameCount, output, startFrame } = request
  const streams = await listStreams(ffmpeg, draft)
  const frames = streams.find((stream) => stream.kind === "video")?.packets.length ?? 0
  if (frames !== frameCount) throw new Error(`${output} holds ${frames} frames instead of ${frameCount}`)
  if (audio === undefined) return
  const { start, end } = sampleRange(startFrame, frameCount, fps)
  const { packets, sampleRate } = streams.find((stream) => stream.kind === "audio") ?? { packets: [], sampleRate: 0 }
  const samples = Math.round(packets.reduce((sum, packet) => sum + packet.duration, 0) * (sampleRate ?? 0))
  if (samples !== end - start) throw new Error(`${output} holds ${samples} samples of sound instead of ${end - start}`)
}

// Nothing but a finished render makes this 0.
process.exitCode = 1

// Beside the output, so that the finished file needs only a new name. Whatever still writes when this process ends has no
// folder any more to leave anything in.
let scratch: string | undefined
process.on("exit", () => {
  if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true, maxRetries: 3 })
})

// Playwright kills the browser's whole process group when the process exits.
const quit = (code: number): never => process.exit(code)
const fail = (error: unknown): void => {
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n\n${usage}`)
    return quit(2)
  }
  // Playwright ends its messages with everything the browser was started with.
  const [reason = ""] = (error instanceof Error ? error.message : String(error)).split("\nBrowser logs:")
  process.stderr.write(`${said.map((line) => `${line}\n`).join("")}rendering failed: ${reason.trimEnd()}\n`)
  // Time for Playwright to remove the profile of a browser that crashed.
  setTimeout(quit, 500, 1)
}
// A browser that dies while the renderer moves its clock shows only as a rejection that nobody handles.
process.on("uncaughtException", fail)

try {
  const request = readArguments()
  listenToRenderer(request.verbose)
  const abort = new AbortController()
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129]
  ] as const) {
    process.on(signal, () => {
      abort.abort() // ends ffmpeg
      quit(code)
    })
  }
  rmSync(request.output, { force: true })
  scratch = mkdtempSync(join(dirname(resolve(request.output)), ".helios-demo-chunk-"))
  await render(request, scratch, abort.signal)
  process.exitCode = 0
} catch (error) {
  fail(error)
}
