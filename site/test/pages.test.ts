/**
 * Runs what the pages say can be run, as a reader would: for each page in a folder of its own, block after block, with the
 * packages installed, an ffmpeg in `PATH` and a small `job.json`. What a block leaves running is ended with it.
 */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { assert, describe, it } from "@effect/vitest"
import * as Command from "@helios-infra/process/Command"
import { Effect } from "effect"
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { type Fence, fencesOf, fileOf, place } from "../src/Fences.ts"
import { install } from "../src/Packages.ts"
import { root, written } from "../src/Pages.ts"

const withFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "helios-page-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

/** What a program prints; dies with all of it where the program fails. */
const run = Effect.fnUntraced(function* (folder: string, args: Command.Options["args"]) {
  const env = {
    PATH: [join(folder, "bin"), process.env["PATH"]].join(delimiter),
    HOME: folder,
    NODE_OPTIONS: "--conditions=@helios-infra/source",
    NO_COLOR: "1"
  }
  const options = { args, cwd: folder, env, timeout: "2 minutes", tailBytes: 65_536 } as const
  const { exitCode, stderr, stdout } = yield* Command.run(options)
  assert.strictEqual(exitCode, 0, `${args.join(" ")}\n${stdout}${stderr}`)
  return stdout
})

/** Has vitest take the packages from their sources, as `NODE_OPTIONS` has Node. */
const vitestConfig = `
const conditions = ["@helios-infra/source", "node", "development|production"]
export default { resolve: { conditions }, ssr: { resolve: { conditions, externalConditions: conditions } } }
`

/** Makes the folder that of a reader who has saved everything that the page says. */
const fill = Effect.fnUntraced(function* (folder: string, page: string) {
  yield* Effect.promise(async () => {
    install(folder)
    await mkdir(join(folder, "bin"))
    await symlink(ffmpeg, join(folder, "bin", "ffmpeg"))
    await symlink(process.execPath, join(folder, "bin", "node"))
    await mkdir(join(folder, "node_modules", ".bin"))
    await symlink("../vitest/vitest.mjs", join(folder, "node_modules", ".bin", "vitest"))
    await writeFile(join(folder, "vitest.config.mjs"), vitestConfig)
    const saved = fencesOf(page).filter((fence) => fence.run || fence.name !== undefined)
    await Promise.all(
      saved.map(async (fence) => {
        const file = join(folder, fileOf(fence))
        await mkdir(dirname(file), { recursive: true })
        await writeFile(file, fence.code)
      })
    )
  })
  yield* run(folder, ["node", join(root, "examples/recipes/src/ffmpeg-only.ts")])
})

const argsOf = (fence: Fence): Command.Options["args"] =>
  fence.language === "sh" ? ["bash", "-euo", "pipefail", fileOf(fence)] : ["node", fileOf(fence)]

/** `…` stands for anything within a line. */
const pattern = (line: string): RegExp => {
  const parts = line.split("…").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"))
  return new RegExp(`^${parts.join(".*")}$`, "m")
}

describe("what the pages say can be run", () => {
  for (const page of ["README.md", ...written]) {
    const fences = fencesOf(page).filter((fence) => fence.run || fence.output)
    if (fences.length === 0) continue
    it.live(
      page,
      () =>
        Effect.gen(function* () {
          const folder = yield* withFolder
          yield* fill(folder, page)
          let printed = ""
          for (const fence of fences) {
            if (fence.run) printed = yield* run(folder, argsOf(fence))
            else for (const line of fence.code.trimEnd().split("\n")) assert.match(printed, pattern(line), place(fence))
          }
        }),
      180_000
    )
  }
})
