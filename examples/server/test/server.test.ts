/** The server as a process of its own, used by a client with `fetch`, ended in every way. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { FileJobRepository } from "@helios-infra/adapter-local/promise"
import { JobManager, type JobState } from "@helios-infra/core/promise"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join, resolve } from "node:path"
import { promisify } from "node:util"
import { vi } from "vitest"

const token = "a-token-for-tests"

const Begun = Schema.Struct({ id: Schema.String })
const Told = Schema.Struct({
  status: Schema.String,
  fraction: Schema.optionalKey(Schema.Number),
  progress: Schema.optionalKey(Schema.Number)
})
type Told = typeof Told.Type

/** A folder with an ffmpeg, in which servers can be started one after the other. */
class Place implements AsyncDisposable {
  readonly data: string
  readonly #folder: string
  #server: ChildProcess | undefined
  #said = ""
  url = ""

  private constructor(folder: string) {
    this.#folder = folder
    this.data = join(folder, "data")
  }

  static async make(): Promise<Place> {
    const folder = await mkdtemp(join(tmpdir(), "helios-server-"))
    await mkdir(join(folder, "bin"))
    await symlink(ffmpeg, join(folder, "bin", "ffmpeg"))
    return new Place(folder)
  }

  async start(): Promise<void> {
    const bin = join(this.#folder, "bin")
    const env = {
      PATH: [bin, process.env["PATH"]].join(delimiter),
      PORT: "0",
      TOKEN: token,
      DATA: this.data,
      CONCURRENCY: "2"
    }
    const server = resolve(import.meta.dirname, "../src/server.ts")
    this.#said = ""
    this.#server = spawn(process.execPath, ["--conditions=@helios-infra/source", server], { env, cwd: this.#folder })
    this.#server.stderr?.on("data", (data) => (this.#said += data))
    this.url = await new Promise((found, failed) => {
      this.#server?.stdout?.on("data", (data) => {
        this.#said += data
        const [, url] = /listening on (\S+)/.exec(this.#said) ?? []
        if (url !== undefined) found(url)
      })
      this.#server?.once("exit", () => failed(new Error(this.#said)))
    })
  }

  /** Ends the server; gives its exit code. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<number | null> {
    const server = this.#server
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return null
    const exited = once(server, "exit")
    server.kill(signal)
    await exited
    return server.exitCode
  }

  request(path: string, options: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.url), { ...options, headers: { Authorization: `Bearer ${token}` } })
  }

  /** Begins a film and gives the id of its job. */
  async begin(seconds: number): Promise<string> {
    const response = await this.request("/films", { method: "POST", body: JSON.stringify({ seconds }) })
    assert.strictEqual(response.status, 202)
    return Schema.decodeUnknownSync(Begun)(await response.json()).id
  }

  /** The events of a film's progress, as they come. */
  async *events(id: string): AsyncGenerator<{ readonly event: string; readonly data: Told }> {
    const { body } = await this.request(`/films/${id}/progress`)
    let text = ""
    for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += part
      const events = text.split("\n\n")
      text = events.pop() ?? ""
      for (const one of events) {
        const [, event = "", data = ""] = /^event: (.*)\ndata: (.*)$/.exec(one) ?? []
        yield { event, data: Schema.decodeUnknownSync(Told)(JSON.parse(data)) }
      }
    }
  }

  /** What the last event says. */
  async last(id: string): Promise<Told | undefined> {
    let told: Told | undefined
    for await (const { data } of this.events(id)) told = data
    return told
  }

  /** Waits until so much of a film is done. */
  async until(id: string, fraction: number): Promise<void> {
    for await (const { data } of this.events(id)) if ((data.fraction ?? 0) >= fraction) return
  }

  /** A job, as another process reads it. */
  async read(id: string): Promise<JobState> {
    const repository = new FileJobRepository(join(this.data, "jobs"))
    const job = await new JobManager({ repository }).getJob(id)
    await repository.close()
    return job ?? assert.fail(`there is no job ${id}`)
  }

  /** How many frames its film has, by decoding them. */
  async frames(id: string): Promise<number> {
    const args = ["-v", "error", "-i", join(this.data, "films", `${id}.mp4`), "-map", "0:v:0", "-f", "framemd5", "-"]
    const { stdout } = await promisify(execFile)(ffmpeg, args)
    return stdout.split("\n").filter((line) => line.startsWith("0,")).length
  }

  /** The processes that render in this place. */
  async rendering(): Promise<ReadonlyArray<string>> {
    const lines = await Promise.all(
      (await readdir("/proc"))
        .filter((name) => /^\d+$/.test(name))
        .map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""))
    )
    return lines.filter((line) => line.startsWith("ffmpeg") && line.includes(this.#folder))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGTERM")
    await rm(this.#folder, { recursive: true, force: true })
  }
}

const accepted = ({ chunks }: JobState) => chunks.filter(({ status }) => status === "accepted")

describe("a web server that renders", { timeout: 120_000 }, () => {
  it("renders what it is asked for, and tells how far it is", async () => {
    await using place = await Place.make()
    await place.start()
    const id = await place.begin(9)
    const fractions: Array<number> = []
    let end: Told | undefined
    for await (const { data, event } of place.events(id)) {
      if (event === "end") end = data
      else if (data.fraction !== undefined) fractions.push(data.fraction)
    }
    assert.deepInclude(end, { status: "completed", progress: 1 })
    assert.deepStrictEqual(
      fractions,
      fractions.toSorted((a, b) => a - b),
      "never back"
    )
    assert.strictEqual(await place.frames(id), 270)
    const video = await place.request(`/videos/${id}.mp4`)
    assert.strictEqual(video.headers.get("content-type"), "video/mp4")
    assert.isAbove((await video.arrayBuffer()).byteLength, 10_000)
  })

  it("takes nothing from those without the token, no command from anybody, and no film that is none", async () => {
    await using place = await Place.make()
    await place.start()
    assert.strictEqual((await fetch(new URL("/films", place.url), { method: "POST" })).status, 401)
    for (const body of ["", "[]", '{"seconds":0}', '{"seconds":601}', '{"seconds":1.5}', '{"seconds":"1; id"}']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      assert.strictEqual((await place.request("/films", { method: "POST", body })).status, 400, body)
    }
    for (const path of [
      "/films/none",
      "/films/none/progress",
      "/films/..%2Fjobs",
      "/videos/..%2Fjobs%2Fx.mp4",
      "/videos/.helios"
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      assert.strictEqual((await place.request(path)).status, 404, path)
    }
    assert.strictEqual((await place.request("/films/none", { method: "DELETE" })).status, 404)
    assert.deepStrictEqual(await readdir(join(place.data, "films")), [])
  })

  it("cancels: nothing renders any more when it answers", async () => {
    await using place = await Place.make()
    await place.start()
    const id = await place.begin(300)
    const told = place.last(id)
    await vi.waitUntil(async () => (await place.rendering()).length > 0, 30_000)
    const response = await place.request(`/films/${id}`, { method: "DELETE" })
    assert.deepInclude(await response.json(), { id, status: "cancelled" })
    assert.deepStrictEqual(await place.rendering(), [])
    assert.deepInclude(await told, { status: "cancelled" }, "whoever watches is told")
    assert.deepStrictEqual(await readdir(join(place.data, "films")), [])
  })

  it("goes on after it was killed, and renders no accepted chunk again", async () => {
    await using place = await Place.make()
    await place.start()
    const id = await place.begin(30)
    await place.until(id, 0.3)
    await place.end("SIGKILL")
    const before = accepted(await place.read(id))
    assert.isAbove(before.length, 0)
    await place.start()
    assert.deepInclude(await place.last(id), { status: "completed" })
    const after = await place.read(id)
    for (const chunk of before) assert.deepInclude(after.chunks, chunk)
    assert.strictEqual(await place.frames(id), 900)
  })

  it("lets chunks end when it is told to end, and goes on with the next start", async () => {
    await using place = await Place.make()
    await place.start()
    const id = await place.begin(30)
    await place.until(id, 0.3)
    assert.strictEqual(await place.end("SIGTERM"), 0)
    assert.deepStrictEqual(await place.rendering(), [])
    const paused = await place.read(id)
    assert.strictEqual(paused.status, "paused")
    const begun = paused.chunks.filter(({ attempts }) => attempts > 0)
    assert.deepStrictEqual(begun, accepted(paused), "what had begun was waited for")
    await place.start()
    assert.deepInclude(await place.last(id), { status: "completed" })
    assert.isTrue(
      (await place.read(id)).chunks.every(({ attempts }) => attempts === 1),
      "nothing is rendered twice"
    )
    assert.strictEqual(await place.frames(id), 900)
  })
})
