import { Strays } from "@helios-infra/process"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"

const example = join(import.meta.dirname, "..")

const start = (): { readonly child: ChildProcess; readonly printed: () => string } => {
  const child = spawn(
    process.execPath,
    ["--conditions=@helios-infra/source", join(example, "src/demo.ts"), "--small"],
    {
      cwd: example,
      stdio: ["ignore", "pipe", "pipe"]
    }
  )
  let text = ""
  child.stdout.on("data", (data: Buffer) => (text += data.toString()))
  child.stderr.on("data", (data: Buffer) => (text += data.toString()))
  return { child, printed: () => text }
}

const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  if (await condition()) return
  await setTimeout(50)
  await until(condition)
}

/** The exit code, once all that it printed is there. */
const closed = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => child.once("close", (code) => resolve(code)))

const processesOf = (job: string) => Effect.runPromise(Strays.find(job))

describe("the demo", () => {
  it("renders, stitches and verifies a film, and says where it is", { timeout: 120_000 }, async () => {
    const { child, printed } = start()
    const code = await closed(child)
    assert.strictEqual(code, 0, printed())
    for (const text of ["4 of 4 chunks, completed", "frame numbers  each one once, in order", "play it:"]) {
      assert.include(printed(), text)
    }
    assert.notInclude(printed(), "✗")
  })

  it(
    "leaves nothing running after Ctrl-C, Chromium neither, and says that it is paused",
    { timeout: 120_000 },
    async () => {
      const { child, printed } = start()
      const ended = closed(child)
      await until(() => /job-\S+(?=:)/.test(printed()) || child.exitCode !== null)
      const job = /job-\S+(?=:)/.exec(printed())?.[0]
      assert(job !== undefined, printed())
      // Some frames are done: browsers and encoders run.
      await until(() => /^ +[1-9]\d* %/m.test(printed()) || child.exitCode !== null)
      await until(async () => (await processesOf(job)).length >= 4 || child.exitCode !== null)
      assert.isNull(child.exitCode, printed())
      child.kill("SIGINT")
      const code = await ended
      assert.strictEqual(code, 130, printed())
      assert.include(printed(), "paused:")
      assert.deepStrictEqual(await processesOf(job), [])
    }
  )
})
