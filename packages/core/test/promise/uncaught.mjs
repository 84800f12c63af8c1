import { JobExecutor } from "@helios-infra/core/promise"

const workerAdapter = { execute: async () => ({ exitCode: 3, stdout: "", stderr: "no such scene", durationMs: 1 }) }
const chunk = { id: 0, startFrame: 0, frameCount: 1, outputFile: "0.mov", command: "render 0.mov" }
const job = { metadata: { totalFrames: 1, fps: 30 }, chunks: [chunk] }

async function renderMyFilm() {
  await new JobExecutor(job, { workerAdapter, retries: 0 }).execute()
}

await renderMyFilm()
