/** What the server renders, and how. It knows nothing of HTTP. */
import { mkdirSync } from "node:fs"
import { join, resolve } from "node:path"
import { setTimeout } from "node:timers/promises"
import { FileJobRepository, LocalWorkerAdapter } from "@helios-infra/adapter-local/promise"
import { ChunkPlan } from "@helios-infra/core"
import { JobManager, type JobExecutionOptions, type JobState } from "@helios-infra/core/promise"
import { FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg/promise"
import { Effect } from "effect"

/** A command is code, so it is written here, and clients choose numbers in it. */
const plan = (seconds: number) =>
  ChunkPlan.make({
    totalFrames: seconds * 30,
    fps: 30,
    width: 640,
    height: 360,
    chunks: { size: 90 },
    command:
      "ffmpeg -v error -progress pipe:1 -y " +
      "-f lavfi -i testsrc2=size=640x360:rate=30,trim=start_frame={startFrame},setpts=PTS-STARTPTS " +
      "-frames:v {frameCount} -c:v libx264 -bf 0 -pix_fmt yuv420p {output}"
  })

export class Films {
  /** Where finished films appear. */
  readonly dir: string
  readonly jobs: JobManager
  readonly #adapter: LocalWorkerAdapter
  readonly #stitcher = new FfmpegStitcher()
  /** Jobs that this process has run. */
  readonly #taken = new Set<string>()
  #draining = false

  /** Without a `concurrency`, as many chunks at once as the machine has processors. */
  constructor(data: string, concurrency?: number) {
    this.dir = resolve(data, "films")
    mkdirSync(this.dir, { recursive: true })
    this.#adapter = new LocalWorkerAdapter({ concurrency })
    this.jobs = new JobManager({ repository: new FileJobRepository(join(data, "jobs")) })
  }

  /** Begins a film and does not wait for it: how it ends stands in its job. */
  async start(seconds: number): Promise<JobState> {
    const job = await this.jobs.createJob(await Effect.runPromise(plan(seconds)))
    this.#run(job.id)
    return job
  }

  /** Takes up what an earlier process left: paused when it was told to end, running when it was killed. */
  async recover(): Promise<void> {
    for (const { id, status } of await this.jobs.listJobs()) {
      if (status === "paused" || status === "pending") this.#run(id)
    }
    for (const job of await this.jobs.recoverJobs({ options: ({ id }) => this.#take(id) })) {
      console.log(`job ${job.jobId}: ${job.how === "error" ? job.error.message : job.how}`)
    }
  }

  /** Lets chunks that are being rendered end, for so many milliseconds; whatever is not done then is paused. */
  async drain(milliseconds: number): Promise<void> {
    this.#draining = true
    const pause = (mode: "drain" | "interrupt") =>
      Promise.all(Array.from(this.#taken, (id) => this.jobs.pauseJob(id, { mode })))
    await Promise.race([pause("drain"), setTimeout(milliseconds)])
    await pause("interrupt")
  }

  get draining(): boolean {
    return this.#draining
  }

  #run(id: string): void {
    this.jobs.runJob(id, this.#take(id)).catch((error: unknown) => console.error(error))
  }

  /** How a job is run here. */
  #take(id: string): JobExecutionOptions {
    if (this.#draining) throw new Error("this process is about to end")
    this.#taken.add(id)
    return { workerAdapter: this.#adapter, stitcher: this.#stitcher, jobDir: this.dir, outputFile: `${id}.mp4` }
  }
}
