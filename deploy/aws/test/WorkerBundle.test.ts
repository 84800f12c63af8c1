/** The function's code as Lambda gets it: unpacked somewhere else, run by a bare Node. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import type { Bundle } from "@helios-infra/deploy-bundle"
import { Effect, Schema } from "effect"
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

let bundle: Bundle
let zip: Uint8Array
beforeAll(async () => {
  bundle = await WorkerBundle.bundle()
  zip = WorkerBundle.zip(bundle)
  for (const [name, bytes] of Object.entries(unzipSync(zip))) writeFileSync(join(folder, name), bytes)
})

/** What the handler answers to each of the events, in a process that has nothing but the unpacked zip and these variables. */
const ask = async (
  events: ReadonlyArray<unknown>,
  env: Readonly<Record<string, string>>
): Promise<ReadonlyArray<WorkerProtocol.WorkerReply>> => {
  const script = `
    const { handler } = await import("./handler.mjs")
    const context = { awsRequestId: "a-request", getRemainingTimeInMillis: () => 900_000 }
    const replies = []
    for (const event of ${JSON.stringify(events)}) replies.push(await handler(event, context))
    console.error(JSON.stringify(replies))`
  // The log goes to the standard output.
  const { stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: folder,
    env: { PATH: "/usr/bin:/bin", HOME: folder, TMPDIR: folder, ...env }
  })
  return Effect.runPromise(Effect.forEach(Replies(JSON.parse(stderr)), WorkerProtocol.decodeReply))
}

const Replies = Schema.decodeUnknownSync(Schema.Array(Schema.Unknown))

/** The reasons for which the handler refuses all of the events. */
const refusals = async (
  events: ReadonlyArray<unknown>,
  env: Readonly<Record<string, string>> = {}
): Promise<ReadonlyArray<string>> =>
  (await ask(events, env)).map((reply) =>
    reply._tag === "Error" && reply.error.reason._tag === "Refused"
      ? reply.error.reason.why
      : `no refusal: ${reply._tag}`
  )

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
    assert.deepStrictEqual(await refusals([{}], bucket), ["InvalidJob"])
  })
})

describe("the handler", () => {
  it("refuses what is no request", async () => {
    const events = [null, "chunk 3", [], { jobPath: "", chunkIndex: 0 }, { jobPath: "artifact:jobs/j/job.json" }]
    assert.deepStrictEqual(
      await refusals(events, bucket),
      events.map(() => "InvalidJob")
    )
  })

  const request = (jobPath: string) => ({ jobPath, chunkIndex: 0 })

  it("takes jobs from no other place than its bucket", async () => {
    const elsewhere = ["https://example.com/job.json", "http://169.254.169.254/job.json", "/etc/hostname"].map(request)
    assert.deepStrictEqual(
      await refusals(elsewhere, bucket),
      elsewhere.map(() => "Unauthorized")
    )
  })

  it("takes jobs from nowhere when it was told of no bucket and no sources", async () => {
    const anywhere = ["artifact:jobs/j/job.json", "https://example.com/job.json", "/etc/hostname"].map(request)
    assert.notInclude((await refusals(anywhere)).join(), "no refusal")
  })
})
