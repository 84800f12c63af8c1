import { defineConfig } from "@helios-infra/config"

export default defineConfig({
  worker: { type: "local", concurrency: 2 },
  stitcher: { type: "ffmpeg", decode: "full" },
  repository: { type: "file", dir: "jobs" },
  job: { retries: 3, attemptTimeout: "10 minutes" }
})
