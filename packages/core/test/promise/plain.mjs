// What an embedder writes who has never heard of Effect.
import { JobManager } from "@helios-infra/core/promise"

class MyAdapter {
  async execute(job) {
    return { exitCode: 0, stdout: `rendered ${job.meta.chunkId}`, stderr: "", durationMs: 1 }
  }
}

class MyStitcher {
  async stitch(inputs) {
    this.stitched = inputs.length
    return { exitCode: 0, stdout: "", stderr: "", durationMs: 1 }
  }
}

class MyRepository {
  rows = new Map()
  async save(job) {
    this.rows.set(job.id, JSON.stringify(job))
  }
  async get(jobId) {
    return JSON.parse(this.rows.get(jobId) ?? "null")
  }
  async list() {
    return [...this.rows.values()].map((row) => JSON.parse(row))
  }
  async delete(jobId) {
    this.rows.delete(jobId)
  }
}

const repository = new MyRepository()
const stitcher = new MyStitcher()
const percents = []
const jobs = new JobManager({ repository, defaultConcurrency: 1 })
const job = await jobs.createJob({
  metadata: { totalFrames: 8, fps: 30 },
  chunks: [0, 1, 2, 3].map((id) => ({
    id,
    startFrame: id * 2,
    frameCount: 2,
    outputFile: `${id}.mov`,
    command: `render ${id}.mov`
  }))
})
const { status } = await jobs.runJob(job.id, {
  workerAdapter: new MyAdapter(),
  stitcher,
  outputFile: "film.mp4",
  onProgress: ({ percent }) => percents.push(percent)
})
const saved = (await repository.get(job.id)).status
const logs = (await jobs.logsOf(job.id)).map(({ log }) => log)
console.log(JSON.stringify({ status, percents, stitched: stitcher.stitched, saved, logs }))
