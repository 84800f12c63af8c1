import type { WorkerAdapter } from "@helios-infra/core"

/** An attempt at chunk 1, as core makes it. */
export const attempt = (command: string, place: string): WorkerAdapter.WorkerJob => ({
  id: "film/1/1.1",
  command,
  outputFile: "part_1.mov",
  meta: {
    _tag: "Chunk",
    jobId: "film",
    run: 1,
    attempt: 1,
    output: { _tag: "File", path: place },
    chunkId: 1,
    startFrame: 10,
    frameCount: 10,
    format: {}
  }
})
