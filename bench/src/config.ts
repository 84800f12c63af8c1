/**
 * What choosing by a file costs when a program starts: beside importing the same services in code, and beside a program
 * that imports every plugin, used or not.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Fresh from "./Fresh.ts"
import { inTurns, type Row, timed } from "./Measure.ts"

const rounds = 9

const chosen = (file: string) => `
import * as ConfigServices from "@helios-infra/config/ConfigServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
await Effect.runPromise(Effect.scoped(Layer.build(ConfigServices.layer({ file: ${JSON.stringify(file)} }))))
`

const inCode = `
import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
import * as JobManager from "@helios-infra/core/JobManager"
import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
const tools = [LocalWorkerAdapter.layer(), FfmpegStitcher.layer(), FfmpegOutputCheck.layer()]
const services = JobManager.layer.pipe(
  Layer.provide([FileJobRepository.layer({ dir: "jobs" }), ...tools]),
  Layer.provide(LocalWorkspace.layer({ dir: "." }))
)
await Effect.runPromise(Effect.scoped(Layer.build(services)))
`

const everything = `
import { sources } from "@helios-infra/config/FirstParty"
await Promise.all(Object.values(sources).flatMap((types) => Object.values(types)).map(({ load }) => load()))
`

/** What an SDK that nobody uses may add to a start, of what starting takes anyway. */
const slack = 1.6

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const folder = await mkdtemp(join(tmpdir(), "helios-bench-config-"))
  try {
    const file = join(folder, "helios.config.json")
    const repository = { type: "file", dir: "jobs" }
    await writeFile(file, JSON.stringify({ worker: { type: "local" }, stitcher: { type: "ffmpeg" }, repository }))
    const [ours, code, all] = await inTurns(
      rounds,
      () => timed(() => Fresh.run(chosen(file))),
      () => timed(() => Fresh.run(inCode)),
      () => timed(() => Fresh.run(everything))
    )
    const row = (name: string, other: number): Row => ({
      name,
      ours: `${ours.toFixed(0)} ms`,
      other: `${other.toFixed(0)} ms`,
      ratio: ours / other
    })
    return [
      {
        ...row("start a program with the services of helios.config.json, against the same in code", code),
        budget: { text: `at most ${slack} times`, kept: ours <= code * slack }
      },
      {
        ...row("the same, every SDK installed and unused, against importing all plugins", all),
        budget: { text: "less", kept: ours < all }
      }
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
