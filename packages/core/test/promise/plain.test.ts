import { execFile } from "node:child_process"
import { resolve } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"

const program = (name: string) =>
  promisify(execFile)(process.execPath, ["--conditions=@helios-infra/source", resolve(import.meta.dirname, name)])

describe("plain JavaScript", () => {
  it("runs jobs with classes of its own, and ends by itself when they are done", async () => {
    const { stdout } = await program("plain.mjs")
    assert.deepStrictEqual(JSON.parse(stdout), {
      status: "completed",
      percents: [25, 50, 75, 100],
      stitched: 4,
      saved: "completed",
      logs: ["rendered 0", "rendered 1", "rendered 2", "rendered 3"]
    })
  })

  it("prints a failure that nobody catches as the error that it is", async () => {
    const failed = await program("uncaught.mjs").then(
      () => assert.fail("it ended well"),
      (error: { readonly code: number; readonly stderr: string }) => error
    )
    assert.strictEqual(failed.code, 1)
    assert.match(failed.stderr, /JobError: chunk 0 failed after 1 attempt.*no such scene/s)
    assert.match(failed.stderr, /at async renderMyFilm .*uncaught\.mjs/)
    assert.notMatch(failed.stderr, /node_modules|Fiber|~effect/)
  })
})
