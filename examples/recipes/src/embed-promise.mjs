import { readFileSync } from "node:fs"
import { LocalWorkerAdapter } from "@helios-infra/adapter-local/promise"
import { JobManager } from "@helios-infra/core/promise"
import { FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg/promise"

const stop = new AbortController()
process.once("SIGINT", () => stop.abort(new Error("stopped by Ctrl-C")))

const jobs = new JobManager()
const job = await jobs.createJob(JSON.parse(readFileSync("job.json", "utf8")))
const tools = { workerAdapter: new LocalWorkerAdapter(), stitcher: new FfmpegStitcher() }
const onProgress = ({ percent }) => console.error(`${percent} %`)
const options = { ...tools, outputFile: "film.mp4", retries: 3, signal: stop.signal, onProgress }
const { outputFile } = await jobs.runJob(job.id, options)
console.log(outputFile)
