// Plans a job whose chunks are rendered by ffmpeg alone, and writes it to job.json, for embed.ts to run. Any program that can render a range of frames takes the place of ffmpeg in the template.
import { writeFile } from "node:fs/promises"
import { ChunkPlan } from "@helios-infra/core"
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"

const ffmpeg = process.env["FFMPEG_PATH"] ?? "ffmpeg"

const program = Effect.gen(function* () {
  const job = yield* ChunkPlan.make({
    totalFrames: 96,
    fps: 24,
    width: 320,
    height: 180,
    chunks: { count: 4 },
    outputFile: "part_{id:2}.mov",
    // {output} is the place of the attempt; it is filled in when the attempt starts.
    command: [
      `'${ffmpeg}' -v error -progress pipe:1 -y`,
      "-f lavfi -i testsrc2=size=320x180:rate=24,trim=start_frame={startFrame},setpts=PTS-STARTPTS",
      "-f lavfi -i sine=frequency=440:sample_rate=48000,atrim=start={startSeconds},asetpts=PTS-STARTPTS",
      "-t {durationSeconds}",
      "-c:v libx264 -preset veryfast -bf 0 -pix_fmt yuv420p -c:a pcm_s16le {output}"
    ].join(" ")
  })
  yield* Effect.promise(() => writeFile("job.json", JSON.stringify(job, null, 2)))
})

NodeRuntime.runMain(program)
