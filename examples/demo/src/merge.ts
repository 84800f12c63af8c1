#!/usr/bin/env node
/**
 * What the job file's `mergeCommand` runs, for whoever has nothing better: joins the parts with ffmpeg's concat demuxer.
 *
 * The picture is copied, the sound encoded once over the whole. The demo itself uses `@helios-infra/stitcher-ffmpeg`,
 * which also checks what it joins.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { findFfmpeg, listStreams, runFfmpeg } from "./ffmpeg.ts"

const { values, positionals } = parseArgs({
  options: { fps: { type: "string" }, output: { type: "string", short: "o" } },
  allowPositionals: true
})
const fps = Number(values.fps)
if (!(fps > 0) || values.output === undefined || positionals.length === 0) {
  process.stderr.write("usage: node merge.ts --fps 30 -o film.mp4 part_0.mov part_1.mov …\n")
  process.exit(2)
}

const ffmpeg = findFfmpeg()
const scratch = await mkdtemp(join(tmpdir(), "helios-demo-merge-"))
try {
  const entry = async (part: string): Promise<string> => {
    const video = (await listStreams(ffmpeg, part)).find((stream) => stream.kind === "video")
    if (video === undefined) throw new Error(`${part} has no picture`)
    // Without a duration ffmpeg takes each part's length in whole milliseconds, and the parts drift apart.
    const seconds = (video.packets.length / fps).toFixed(9)
    return `file '${resolve(part).replaceAll("'", `'\\''`)}'\nduration ${seconds}\n`
  }
  const listFile = join(scratch, "parts.txt")
  await writeFile(listFile, (await Promise.all(positionals.map(entry))).join(""))
  const input = ["-f", "concat", "-safe", "0", "-i", listFile]
  const codecs = ["-c:v", "copy", "-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart"]
  await runFfmpeg(ffmpeg, ["-y", ...input, "-map", "0:v:0", "-map", "0:a:0?", ...codecs, values.output])
} finally {
  await rm(scratch, { recursive: true, force: true })
}
