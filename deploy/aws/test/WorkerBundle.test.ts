/** The function's code as Lambda gets it: unpacked somewhere else, run by a bare Node. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { WorkerError } from "@helios-infra/core/WorkerError"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import { Effect } from "effect"
import { unzipSync } from "fflate"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll } from "vitest"
import * as WorkerBundle from "../src/WorkerBundle.ts"

const folder = mkdtempSync(join(tmpdir(), "helios-infra-bundle-"))
afterAll(() => rmSync(folder, { recursive: true }))

let bundle: WorkerBundle.WorkerBundle
let zip: Uint8Array
beforeAll(async () => {
  bundle = await WorkerBundle.bundle()
  zip = WorkerBundle.zip(bundle)
  for (const [name, bytes] of Object.entries(unzipSync(zip))) writeFileSync(join(folder, name), bytes)
})

/** What the handler answers, in a process that has nothing but the unpacked zip and these variables. */
const ask = async (event: unknown, env: Readonly<Record<string, string>>): Promise<WorkerProtocol.WorkerReply> => {
  const script = `
    const { handler } = await import("./handler.mjs")
    const context = { awsRequestId: "a-request", getRemainingTimeInMillis: () => 900_000 }
    console.error(JSON.stringify(await handler(${JSON.stringify(event)}, context)))`
  // The log goes to the standard output.
  const { stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: folder,
    env: { PATH: "/usr/bin:/bin", HOME: folder, TMPDIR: folder, ...env }
  })
  return Effect.runPromise(WorkerProtocol.decodeReply(JSON.parse(stderr)))
}

const refusal = async (event: unknown, env: Readonly<Record<string, string>> = {}): Promise<string> => {
  const reply = await ask(event, env)
  if (reply._tag !== "Error") return assert.fail(`it answered ${reply._tag}`)
  assert.instanceOf(reply.error, WorkerError)
  return `${reply.error.reason._tag} ${reply.error.reason._tag === "Refused" ? reply.error.reason.why : ""}`
}

const bucket = { HELIOS_INFRA_BUCKET: "a-bucket", AWS_REGION: "eu-central-1" }

describe("the zip", () => {
  it("is the same, byte for byte, for the same sources", async () => {
    const again = WorkerBundle.zip(await WorkerBundle.bundle())
    assert.isTrue(Buffer.from(again).equals(zip))
  })

  it("holds the handler and the licences of what is in it, and no path of the machine that made it", () => {
    const files = unzipSync(zip)
    assert.deepStrictEqual(Object.keys(files).toSorted(), ["handler.mjs", "handler.mjs.LEGAL.txt"])
    const text = new TextDecoder().decode(files["handler.mjs"])
    assert.notInclude(text, join(import.meta.dirname, "../../.."))
    assert.notInclude(text, "sourceMappingURL")
  })

  it("brings what it needs but Node itself", async () => {
    assert.isTrue(
      [...bundle.packages.keys()].some((name) => name.startsWith("@aws-sdk/")),
      "the AWS SDK"
    )
    assert.strictEqual(await refusal({}, bucket), "Refused InvalidJob")
  })
})

describe("the handler", () => {
  it.each([
    undefined,
    null,
    "chunk 3",
    { jobPath: "", chunkIndex: 0 },
    { jobPath: "artifact:jobs/j/job.json", chunkIndex: 0.5 }
  ])("refuses what is no request: %j", async (event) => {
    assert.strictEqual(await refusal(event, bucket), "Refused InvalidJob")
  })

  it.each(["artifact:jobs/j/job.json", "https://example.com/job.json", "/etc/hostname"])(
    "takes no job from anywhere when it was told of no bucket and no sources: %s",
    async (jobPath) => {
      assert.match(await refusal({ jobPath, chunkIndex: 0 }), /^Refused /)
    }
  )

  it.each(["https://example.com/job.json", "/etc/hostname", "file:///etc/hostname"])(
    "takes jobs from no other place than its bucket: %s",
    async (jobPath) => {
      assert.match(await refusal({ jobPath, chunkIndex: 0 }, bucket), /^Refused /)
    }
  )
})
