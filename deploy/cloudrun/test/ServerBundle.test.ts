/** The service's code as the image has it: copied somewhere else, run by a bare Node. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import type { Bundle } from "@helios-infra/deploy-bundle"
import { Effect, Schema } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach } from "vitest"
import { parse } from "yaml"
import * as ServerBundle from "../src/ServerBundle.ts"
import * as Manifest from "./Manifest.ts"

const root = join(import.meta.dirname, "../../..")
const folder = mkdtempSync(join(tmpdir(), "helios-infra-server-"))
afterAll(() => rmSync(folder, { recursive: true }))
const inFile = join(folder, "server.mjs/workspace")

let bundle: Bundle
beforeAll(async () => {
  bundle = await ServerBundle.bundle()
  for (const { bytes, name } of bundle.files) writeFileSync(join(folder, name), bytes)
})

/** A server that runs. */
interface Running {
  readonly process: ChildProcess
  /** All that it printed so far. */
  readonly printed: () => string
  /** The folder that it works in. */
  readonly workspace: string
}

const started: Array<ChildProcess> = []
afterEach(() => {
  for (const process of started.splice(0)) process.kill("SIGKILL")
})

/** Starts the bundle with these variables and no others. */
const start = (variables: Readonly<Record<string, string>>): Running => {
  const workspace = mkdtempSync(join(folder, "workspace-"))
  const child = spawn(process.execPath, ["server.mjs"], {
    cwd: folder,
    env: {
      PATH: "/usr/bin:/bin",
      HOME: workspace,
      PORT: "0",
      HELIOS_INFRA_WORKSPACE: workspace,
      FFMPEG_PATH: ffmpeg,
      ...variables
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  started.push(child)
  let text = ""
  child.stdout.on("data", (piece: Buffer) => (text += piece.toString()))
  child.stderr.on("data", (piece: Buffer) => (text += piece.toString()))
  return { process: child, printed: () => text, workspace }
}

/** How a server ended, by its exit code. */
const ended = async ({ process }: Running): Promise<number | null> => {
  if (process.exitCode === null) await once(process, "exit")
  return process.exitCode
}

/** Where a server listens, once it does. */
const urlOf = async (server: Running): Promise<string> => {
  for (;;) {
    const url = /http:\/\/localhost:\d+/.exec(server.printed())?.[0]
    if (url !== undefined) return url
    if (server.process.exitCode !== null) throw new Error(`it ended: ${server.printed()}`)
    // oxlint-disable-next-line eslint/no-await-in-loop -- until it has printed where
    await once(server.process.stdout ?? server.process, "data")
  }
}

const platform = { HELIOS_INFRA_AUTH: "platform" }

/** Asks for a chunk. */
const render = async (url: string, request: unknown) => {
  const response = await fetch(`${url}/render`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request)
  })
  const reply = await Effect.runPromise(WorkerProtocol.decodeReply(await response.json()))
  return { status: response.status, reply }
}

const why = (reply: WorkerProtocol.WorkerReply): string =>
  reply._tag === "Error" && reply.error.reason._tag === "Refused" ? reply.error.reason.why : `no refusal: ${reply._tag}`

describe("the bundle", () => {
  it("holds the server and the licences of what is in it, and no path of the machine that made it", () => {
    assert.deepStrictEqual(
      readdirSync(folder)
        .filter((name) => name.startsWith("server"))
        .toSorted(),
      ["server.mjs", "server.mjs.LEGAL.txt"]
    )
    const text = readFileSync(join(folder, "server.mjs"), "utf8")
    assert.notInclude(text, root)
    assert.notInclude(text, "sourceMappingURL")
  })

  it("is the same, byte for byte, for the same sources", async () => {
    const again = await ServerBundle.bundle()
    const bytes = ({ files }: Bundle) => files.map(({ bytes }) => Buffer.from(bytes).toString("base64"))
    assert.deepStrictEqual(bytes(again), bytes(bundle))
  })

  it("is at most 950 kB, with Google's client for its storage and without AWS's", () => {
    const sizes = [...bundle.packages.values()].reduce((total, size) => total + size, 0)
    assert.isAtMost(sizes, 950_000)
    assert.isTrue(bundle.packages.has("@google-cloud/storage"))
    assert.deepStrictEqual(
      [...bundle.packages.keys()].filter((name) => /^@(?:aws|smithy)/.test(name)),
      []
    )
  })
})

describe("the server", () => {
  it("answers the probes of service.yaml, and takes work, and ends when it is told to", async () => {
    const server = start(platform)
    const url = await urlOf(server)
    const text = readFileSync(join(import.meta.dirname, "../service.yaml"), "utf8").replace(/(?<=ingress: ).+/, "all")
    const [{ livenessProbe, startupProbe }] = Manifest.decode(parse(text)).spec.template.spec.containers
    for (const { httpGet } of [livenessProbe, startupProbe]) {
      // The second is answered with 503 until it is ready; who waits for it asks again.
      // oxlint-disable-next-line eslint/no-await-in-loop -- until it is
      while ((await fetch(`${url}${httpGet.path}`)).status !== 200);
    }
    server.process.kill("SIGTERM")
    assert.strictEqual(await ended(server), 0)
  })

  it("renders a chunk of a job in a folder, and looks at every frame of it", { timeout: 30_000 }, async () => {
    const server = start(platform)
    const chunk = { id: 3, startFrame: 0, frameCount: 5, outputFile: "part_3.mov" }
    const source = "-f lavfi -i testsrc=size=64x48:rate=30:duration=1 -frames:v 5 -c:v mpeg4"
    const job = (command: string) => ({ metadata: { totalFrames: 5, fps: 30 }, chunks: [{ ...chunk, command }] })
    const write = (name: string, command: string) =>
      writeFileSync(join(server.workspace, name), JSON.stringify(job(command)))
    write("job.json", `${ffmpeg} -hide_banner -y ${source} part_3.mov`)
    write("short.json", `${ffmpeg} -hide_banner -y ${source.replace("-frames:v 5", "-frames:v 4")} part_3.mov`)
    const url = await urlOf(server)

    const short = await render(url, { jobPath: "short.json", chunkIndex: 3 })
    assert.strictEqual(short.reply._tag === "Error" ? short.reply.error.reason._tag : short.reply._tag, "OutputInvalid")
    assert.isFalse(existsSync(join(server.workspace, "part_3.mov")))

    const { reply, status } = await render(url, { jobPath: "job.json", chunkIndex: 3 })
    assert.strictEqual(status, 200)
    assert.strictEqual(reply._tag, "Result", server.printed())
    assert.isTrue(existsSync(join(server.workspace, "part_3.mov")))
  })

  it("refuses who has no token, where it looks at tokens itself", async () => {
    const url = await urlOf(
      start({
        HELIOS_INFRA_AUTH: "id-token",
        HELIOS_INFRA_AUDIENCE: "https://worker.example.com",
        HELIOS_INFRA_ACCOUNTS: "render@my-project.iam.gserviceaccount.com"
      })
    )
    const { reply, status } = await render(url, { jobPath: "job.json", chunkIndex: 3 })
    assert.strictEqual(status, 401)
    assert.strictEqual(why(reply), "Unauthorized")
    assert.strictEqual((await fetch(`${url}/health`)).status, 200)
  })

  it("takes jobs from no other place than its bucket", async () => {
    const url = await urlOf(start({ ...platform, HELIOS_INFRA_BUCKET: "my-renders" }))
    for (const jobPath of [
      "https://example.com/job.json",
      "http://metadata.google.internal/job.json",
      "/etc/hostname"
    ]) {
      // oxlint-disable-next-line eslint/no-await-in-loop -- it takes one at a time
      assert.strictEqual(why((await render(url, { jobPath, chunkIndex: 0 })).reply), "Unauthorized", jobPath)
    }
  })

  it.each([
    ["nobody has said who may", {}, "HELIOS_INFRA"],
    ["what was said is none of its ways", { HELIOS_INFRA_AUTH: "none" }, "HELIOS_INFRA"],
    [
      "tokens for anybody would count",
      { HELIOS_INFRA_AUTH: "id-token", HELIOS_INFRA_ACCOUNTS: "a@b" },
      "audience is empty"
    ],
    [
      "nobody's tokens would count",
      { HELIOS_INFRA_AUTH: "id-token", HELIOS_INFRA_AUDIENCE: "a" },
      "allowedAccounts is empty"
    ],
    ["its folder cannot be made", { ...platform, HELIOS_INFRA_WORKSPACE: inFile }, inFile]
  ])("does not start, and says why in its log, when %s", async (_, variables, said) => {
    const server = start(variables)
    assert.strictEqual(await ended(server), 1)
    const entries = server.printed().trimEnd().split("\n")
    const entry = Schema.decodeUnknownSync(
      Schema.fromJsonString(Schema.Struct({ severity: Schema.String, message: Schema.String }))
    )(entries.at(-1))
    assert.strictEqual(entry.severity, "CRITICAL")
    assert.include(entry.message, said)
  })
})
