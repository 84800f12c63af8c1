/**
 * Finds ffmpeg as any user's program would, and runs it for its output.
 *
 * No shell is involved, and nothing here knows about jobs or chunks.
 */
import { execFile } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { createRequire } from "node:module"
import { delimiter, join } from "node:path"

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The program inside the package for this platform, where there is one. */
const carriedFfmpeg = (name: string): string | undefined => {
  const require = createRequire(import.meta.url)
  const installer = require.resolve("@ffmpeg-installer/ffmpeg")
  try {
    return createRequire(installer).resolve(`@ffmpeg-installer/${process.platform}-${process.arch}/${name}`)
  } catch {
    return undefined
  }
}

/**
 * The path of an ffmpeg: `FFMPEG_PATH`, then one in `PATH`, then the one that `@ffmpeg-installer/ffmpeg` carries for
 * machines without.
 */
export const findFfmpeg = (env: NodeJS.ProcessEnv = process.env): string => {
  const chosen = env["FFMPEG_PATH"]
  if (chosen !== undefined && chosen !== "") {
    if (!isExecutable(chosen)) throw new Error(`FFMPEG_PATH says ${chosen}, which is not a program`)
    return chosen
  }
  const name = process.platform === "win32" ? "ffmpeg.exe" : "ffmpeg"
  const inPath = (env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find(isExecutable)
  if (inPath !== undefined) return inPath
  const carried = carriedFfmpeg(name)
  if (carried !== undefined && isExecutable(carried)) return carried
  throw new Error("no ffmpeg found: install it (on Debian: apt-get install ffmpeg), or point FFMPEG_PATH at one")
}

/** Runs ffmpeg to its end and gives what it wrote to its standard output; rejects with what it complained about. */
export const runFfmpeg = (ffmpeg: string, args: ReadonlyArray<string>): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    execFile(
      ffmpeg,
      ["-nostdin", "-hide_banner", "-v", "error", ...args],
      { encoding: "buffer", maxBuffer: 1 << 30 },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout)
        const said = stderr.toString().trim()
        reject(new Error(`${ffmpeg} ${args.join(" ")} failed${said === "" ? `: ${error.message}` : `:\n${said}`}`))
      }
    )
  })

/** One stream of a file, packet by packet, as the container times it; nothing is decoded. */
export interface StreamPackets {
  readonly kind: string
  readonly codec: string
  /** `"1280x720"`, for a picture. */
  readonly dimensions: string | undefined
  /** In Hz, for sound. */
  readonly sampleRate: number | undefined
  /** When each packet is shown and for how long, in seconds, in the order of their showing. */
  readonly packets: ReadonlyArray<{ readonly start: number; readonly duration: number }>
}

/** Lists every stream of a file. */
export const listStreams = async (ffmpeg: string, file: string): Promise<ReadonlyArray<StreamPackets>> => {
  const text = (await runFfmpeg(ffmpeg, ["-i", file, "-map", "0", "-c", "copy", "-f", "framecrc", "-"])).toString()
  const headers = new Map<string, string>()
  const packets = new Map<number, Array<{ start: number; duration: number }>>()
  for (const line of text.split("\n")) {
    const header = /^#(\w+) (\d+): (.*)$/.exec(line)
    if (header !== null) {
      headers.set(`${header[1]} ${header[2]}`, header[3] ?? "")
      continue
    }
    const [stream, , pts, duration] = line.split(",").map(Number)
    if (line.startsWith("#") || stream === undefined || pts === undefined || duration === undefined) continue
    const [num = 0, den = 1] = (headers.get(`tb ${stream}`) ?? "").split("/").map(Number)
    const list = packets.get(stream) ?? []
    list.push({ start: (pts * num) / den, duration: (duration * num) / den })
    packets.set(stream, list)
  }
  return Array.from({ length: [...headers.keys()].filter((key) => key.startsWith("tb ")).length }, (_, index) => {
    const sampleRate = headers.get(`sample_rate ${index}`)
    return {
      kind: headers.get(`media_type ${index}`) ?? "unknown",
      codec: headers.get(`codec_id ${index}`) ?? "unknown",
      dimensions: headers.get(`dimensions ${index}`),
      sampleRate: sampleRate === undefined ? undefined : Number(sampleRate),
      packets: (packets.get(index) ?? []).toSorted((a, b) => a.start - b.start)
    }
  })
}
