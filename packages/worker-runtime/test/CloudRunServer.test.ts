import { assert, describe, it } from "@effect/vitest"
import * as CloudRunServer from "@helios-infra/worker-runtime/CloudRunServer"
import { ConfigProvider, Duration, Effect, Fiber, Schema } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as path from "node:path"
import * as Rig from "./Rig.ts"
import * as ServerRig from "./ServerRig.ts"

const Entry = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const decodeEntry = Schema.decodeUnknownEffect(Entry)

const chunk = { jobPath: "job.json", chunkIndex: 3, jobId: "film", attempt: 2 }
const headers = { "content-type": "application/json", accept: "application/x-ndjson" }

/** A process that serves, and what it printed. */
const process_ = Effect.fnUntraced(function* (kind: "effect" | "promise", drainTimeout: Duration.Input = "8 seconds") {
  const dir = yield* Rig.folder
  let printed = ""
  const child: ChildProcess = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const program = path.join(import.meta.dirname, "fixtures", "serve.ts")
      const limit = String(Duration.toMillis(drainTimeout))
      const args = ["--conditions=@helios-infra/source", program, dir, kind, limit]
      const env = { ...process.env, GOOGLE_CLOUD_PROJECT: "films", K_REVISION: "render-00001" }
      const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] })
      child.stdout.on("data", (piece: Buffer) => (printed += piece.toString()))
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const ended = Effect.callback<string>((resume) => {
    const told = () => resume(Effect.succeed(child.signalCode ?? String(child.exitCode)))
    if (child.exitCode !== null || child.signalCode !== null) return told()
    child.once("exit", told)
  })
  yield* Rig.waitFor(
    Effect.sync(() => printed.includes("listening on")),
    "the port"
  )
  const url = /http:\/\/localhost:\d+/.exec(printed)?.[0] ?? ""
  yield* Rig.waitFor(
    Effect.map(ServerRig.call(url, { path: "/ready" }), ({ status }) => status === 200),
    "readiness"
  )
  const store = (script: string) => Rig.write(path.join(dir, "job.json"), JSON.stringify(Rig.job(script)))
  const ask = (more: Readonly<Record<string, string>> = {}) =>
    ServerRig.call(url, { body: JSON.stringify(chunk), headers: { ...headers, ...more } })
  const entries = Effect.suspend(() => Effect.forEach(printed.trimEnd().split("\n"), (line) => decodeEntry(line)))
  return { ask, child, dir, ended, entries, store, url }
})

/** Its commands, not itself. */
const commandsIn = (dir: string) => Effect.sync(() => Rig.processesWith(dir))

describe("an instance that is told to end", () => {
  it.live("gives what runs its time", () =>
    Effect.gen(function* () {
      const { ask, child, dir, ended, store } = yield* process_("promise")
      const go = path.join(dir, "go")
      yield* store(`while ! [ -e ${go} ]; do sleep 0.02; done; printf movie > "$1"`)
      const asked = yield* Effect.forkChild(ask())
      yield* Rig.waitFor(
        Effect.map(commandsIn(dir), (found) => found.length > 0),
        "the command"
      )
      child.kill("SIGTERM")
      yield* Rig.waitFor(
        Effect.map(ask(), ({ status }) => status === 503),
        "the word that it ends"
      )
      yield* Rig.write(go, "")
      const { text } = yield* Fiber.join(asked)
      assert.strictEqual((yield* ServerRig.lastIn(text))._tag, "Result")
      assert.strictEqual(yield* ended, "0")
    })
  )

  for (const [kind, signal] of [
    ["promise", "SIGTERM"],
    ["effect", "SIGINT"]
  ] as const) {
    it.live(`stops a command that does not listen, says so, and is over (${kind}, ${signal})`, () =>
      Effect.gen(function* () {
        const { ask, child, dir, ended, store } = yield* process_(kind, "200 millis")
        yield* store(`sleep 601 & trap : TERM; while :; do sleep 602; done`)
        const asked = yield* Effect.forkChild(ask())
        yield* Rig.waitFor(
          Effect.map(commandsIn(dir), (found) => found.length >= 3),
          "the command"
        )
        child.kill(signal)
        const [took, code] = yield* Effect.timed(ended)
        assert.strictEqual(code, "0")
        // Not the five seconds that a command has elsewhere: of Cloud Run's ten there are two left after the attempt's eight.
        assert.isBelow(Duration.toMillis(took), 4500)
        assert.deepStrictEqual(yield* commandsIn(dir), [])
        const { text } = yield* Fiber.join(asked)
        const reply = yield* ServerRig.lastIn(text)
        assert(reply._tag === "Error")
        assert.strictEqual(reply.error.reason._tag, "WorkerLost")
        assert.match(reply.error.workerId ?? "", /^render-00001\/[\da-f]{8}$/)
        assert.deepStrictEqual(yield* Rig.filesIn(dir), ["job.json"])
      })
    )
  }

  it.live("is over at once where nothing runs", () =>
    Effect.gen(function* () {
      const { child, ended, url } = yield* process_("promise")
      yield* ServerRig.call(url, { path: "/health" })
      child.kill("SIGTERM")
      assert.strictEqual(yield* Effect.timeout(ended, "5 seconds"), "0")
    })
  )
})

describe("log entries", () => {
  it.live("are lines of JSON in the fields of Google's logging, beside the request's other ones", () =>
    Effect.gen(function* () {
      const { ask, entries, store } = yield* process_("promise")
      yield* store("echo no >&2; exit 3")
      const trace = "0af7651916cd43dd8448eb211c80319c"
      yield* ask({ "x-cloud-trace-context": `${trace}/255;o=1` })
      yield* ask({ traceparent: `00-${trace.replace("0", "1")}-b7ad6b7169203331-00` })
      yield* ask({ "x-cloud-trace-context": "../x", traceparent: "00-zz" })
      const [listening, first, second, third] = yield* entries
      assert.deepInclude(listening, { severity: "INFO" })
      assert.deepInclude(first, {
        severity: "WARNING",
        "logging.googleapis.com/labels": { job: "film", chunk: "3", attempt: "2" },
        "logging.googleapis.com/trace": `projects/films/traces/${trace}`,
        "logging.googleapis.com/spanId": "00000000000000ff",
        "logging.googleapis.com/trace_sampled": true
      })
      assert.match(String(first?.["message"]), /chunk 3 of job film.*exited with 3/s)
      assert.match(String(first?.["time"]), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
      assert.notProperty(first, "job")
      assert.deepInclude(second, {
        "logging.googleapis.com/trace": `projects/films/traces/${trace.replace("0", "1")}`,
        "logging.googleapis.com/spanId": "b7ad6b7169203331",
        "logging.googleapis.com/trace_sampled": false
      })
      assert.notProperty(third, "logging.googleapis.com/trace")
    })
  )
})

describe("the environment", () => {
  const served = (environment: Record<string, string>, options: Partial<CloudRunServer.Options> = {}) =>
    Effect.gen(function* () {
      const workspaceDir = yield* Rig.folder
      return yield* CloudRunServer.make({ auth: { type: "platform" }, workspaceDir, ...options })
    }).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(environment))), Rig.logsTo([]))

  it.live("says which port it is to be, if nobody else does", () =>
    Effect.gen(function* () {
      const { host, port } = yield* served({ PORT: "0" })
      assert.strictEqual(host, "0.0.0.0")
      const taken = yield* Effect.flip(served({ PORT: String(port) }))
      assert.strictEqual(taken._tag, "ListenError")
      assert.notStrictEqual((yield* served({ PORT: String(port) }, { port: 0 })).port, port)
      for (const wrong of ["x", "8080.5"]) {
        assert.strictEqual((yield* Effect.flip(served({ PORT: wrong })))._tag, "ConfigError")
      }
      assert.strictEqual((yield* Effect.flip(served({ PORT: "70000" })))._tag, "ListenError")
    })
  )

  it.live("does not open it to everybody", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(served({ PORT: "0" }, { auth: { type: "none" } }))
      assert.strictEqual(error._tag, "InvalidAuth")
    })
  )
})
