import { assert, describe, it } from "@effect/vitest"
import { ArtifactError, ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import * as FakeArtifactStorage from "@helios-infra/testkit/FakeArtifactStorage"
import * as OutputCheck from "@helios-infra/core/OutputCheck"
import type { WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import { OutputInvalid, type Refused } from "@helios-infra/core/WorkerError"
import { encodeReply, type WorkerReply } from "@helios-infra/core/WorkerProtocol"
import * as Environment from "@helios-infra/process/Environment"
import * as WorkerRuntime from "@helios-infra/worker-runtime/WorkerRuntime"
import { Clock, Effect, Fiber, Layer, Stream } from "effect"
import { once } from "node:events"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Rig from "./Rig.ts"

const outputKey = "jobs/film/chunks/3/1.2/output.mov"
const logKey = "jobs/film/chunks/3/1.2/log.txt"

const reasonOf = (reply: WorkerReply) => {
  assert(reply._tag === "Error", `it answered with ${reply._tag}`)
  return reply.error.reason
}

/** An answer as it is sent. */
const onWire = (reply: WorkerReply): Effect.Effect<string> =>
  Effect.map(encodeReply(reply), (json) => JSON.stringify(json))

const refused = (reply: WorkerReply): Refused => {
  const reason = reasonOf(reply)
  assert(reason._tag === "Refused", reason.message)
  return reason
}

describe("an attempt with a storage", () => {
  it.live("says where its output is, how large, and its hash; sends its log; leaves nothing", () =>
    Effect.gen(function* () {
      const { dir, store, text, worker } = yield* Rig.withStorage()
      store(Rig.job(`echo frame=5; echo careful >&2; printf movie > "$1"`))
      const signals: Array<WorkerSignal> = []
      const reply = yield* worker.run(Rig.request(), { workerId: "w1", onSignal: (signal) => signals.push(signal) })
      assert(reply._tag === "Result")
      const { durationMs, ...result } = reply.result
      assert.isAbove(durationMs, 0)
      assert.deepStrictEqual(result, {
        exitCode: 0,
        stdout: "frame=5\n",
        stderr: "careful\n",
        outputFile: "part_3.mov",
        workerId: "w1",
        output: { location: `artifact:${outputKey}`, bytes: 5, sha256: Rig.sha256("movie") }
      })
      assert.strictEqual(text(outputKey), "movie")
      assert.sameMembers(text(logKey)?.trim().split("\n") ?? [], ["frame=5", "careful"])
      assert.deepInclude(signals, { _tag: "Frames", done: 5 })
      assert.deepStrictEqual(yield* Rig.filesIn(dir), [])
    })
  )

  it.live("needs no more than where the job is and which chunk: then it finds keys that no other attempt has", () =>
    Effect.gen(function* () {
      const { fake, store, worker } = yield* Rig.withStorage()
      store(Rig.job(`printf movie > "$1"`))
      const bare = { jobPath: "artifact:jobs/film/job.json", chunkIndex: 3 }
      const replies = yield* Effect.all([worker.run(bare), worker.run(bare)], { concurrency: 2 })
      const locations = replies.map((reply) => {
        assert(reply._tag === "Result")
        return reply.result.output?.location ?? ""
      })
      for (const location of locations) {
        assert.match(location, /^artifact:jobs\/film\/chunks\/3\/\d+\.1\/output\.mov$/)
        assert.isTrue(fake.artifacts.has(location.slice("artifact:".length)))
      }
      assert.strictEqual(new Set(locations).size, 2)
    })
  )

  it.live("runs its command in a folder with the job's assets, and fetches those once", () =>
    Effect.gen(function* () {
      const { fake, store, text, worker } = yield* Rig.withStorage()
      store(Rig.job(`cat fonts/a.txt b.txt > "$1"; ./run.sh`, { assetsUrl: "artifact:jobs/film/assets.json" }))
      const run = "#!/bin/sh\necho ran"
      const assets = [
        Rig.asset("fonts/a.txt", "ah", "artifact:assets/a"),
        Rig.asset("b.txt", "be", "artifact:assets/b"),
        Rig.asset("run.sh", run, "artifact:assets/run")
      ]
      fake.store("jobs/film/assets.json", Rig.assetList(...assets))
      fake.store("assets/a", "ah")
      fake.store("assets/b", "be")
      fake.store("assets/run", run)
      assert.strictEqual((yield* worker.run(Rig.request()))._tag, "Result")
      assert.strictEqual(text(outputKey), "ahbe")
      assert.strictEqual(text(logKey), "ran\n")
      yield* worker.run(Rig.request())
      assert.lengthOf(
        fake.calls.filter(({ key, operation }) => operation === "get" && key === "assets/a"),
        1
      )
    })
  )

  it.live(
    "answers with the exit code and the end of what the command printed when that fails, and sends all of it",
    () =>
      Effect.gen(function* () {
        const { dir, store, text, worker } = yield* Rig.withStorage()
        store(Rig.job(`echo first; echo broken >&2; printf half > "$1"; exit 7`))
        const reply = yield* worker.run(Rig.request(), { workerId: "w1" })
        assert(reply._tag === "Error")
        const { adapter, attempt, chunkId, jobId, reason, workerId } = reply.error
        assert.deepStrictEqual(
          { adapter, attempt, chunkId, jobId, workerId },
          { adapter: "worker", attempt: 2, chunkId: 3, jobId: "film", workerId: "w1" }
        )
        assert(reason._tag === "RenderFailed")
        assert.strictEqual(reason.exitCode, 7)
        assert.strictEqual(reason.stderrTail, "broken\n")
        assert.sameMembers(text(logKey)?.trim().split("\n") ?? [], ["first", "broken"])
        assert.isUndefined(text(outputKey))
        assert.deepStrictEqual(yield* Rig.filesIn(dir), [])
      })
  )

  it.live("refuses an output that is a folder, and says what to render instead", () =>
    Effect.gen(function* () {
      const { store, text, worker } = yield* Rig.withStorage()
      store(Rig.job(`mkdir "$1"; printf one > "$1/0.png"`))
      assert.match(refused(yield* worker.run(Rig.request())).fix, /chunk 3 is a folder.*render it as a video/)
      assert.isUndefined(text(outputKey))
    })
  )

  it.live("does not say yes to an output that its check does not like, nor to none, nor to an empty one", () =>
    Effect.gen(function* () {
      const picky = Layer.succeed(OutputCheck.OutputCheck, {
        check: (job, result) =>
          Effect.fail(
            OutputCheck.failure(
              job,
              result,
              new OutputInvalid({ expected: "10 frames", found: `${result.output?.bytes} bytes` })
            )
          )
      })
      const checked = yield* Rig.withStorage({ outputCheck: picky })
      checked.store(Rig.job(`printf movie > "$1"`))
      const reason = reasonOf(yield* checked.worker.run(Rig.request()))
      assert(reason._tag === "OutputInvalid")
      assert.strictEqual(reason.found, "5 bytes")
      assert.isUndefined(checked.text(outputKey))
      for (const script of ["true", `: > "$1"`]) {
        const { store, text, worker } = yield* Rig.withStorage()
        store(Rig.job(script))
        assert.strictEqual(reasonOf(yield* worker.run(Rig.request()))._tag, "OutputInvalid")
        assert.isUndefined(text(outputKey))
      }
    })
  )

  it.live("keeps what a command left in its temporary folder, or locked up, to itself", () =>
    Effect.gen(function* () {
      const { dir, store, worker } = yield* Rig.withStorage()
      store(
        Rig.job(`mkdir -p "$TMPDIR/a/b" locked/in; touch "$TMPDIR/a/b/c" locked/in/d; chmod 0 locked; printf m > "$1"`)
      )
      assert.strictEqual((yield* worker.run(Rig.request()))._tag, "Result")
      assert.deepStrictEqual(yield* Effect.promise(() => fs.readdir(dir)), [])
    })
  )
})

describe("an attempt with URLs", () => {
  it.live("puts its output and log there, and looks there whether it is still wanted", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      fake.store("jobs/film/job.json", JSON.stringify(Rig.job(`echo hello; printf movie > "$1"`)))
      const url = (key: string, method: "GET" | "PUT") => storage.url(key, { method, expires: "1 hour" })
      const jobPath = yield* url("jobs/film/job.json", "GET")
      const artifacts = {
        output: { key: outputKey, url: yield* url(outputKey, "PUT") },
        log: { key: logKey, url: yield* url(logKey, "PUT") },
        cancelled: {
          key: "jobs/film/chunks/3/1.2/cancelled",
          url: yield* url("jobs/film/chunks/3/1.2/cancelled", "GET")
        }
      }
      const worker = yield* WorkerRuntime.make({
        workspaceDir: yield* Rig.folder,
        sources: [new URL(jobPath).origin],
        allowLocal: true
      })
      const reply = yield* worker.run(Rig.request({ jobPath, artifacts }))
      assert(reply._tag === "Result", JSON.stringify(reply))
      assert.strictEqual(reply.result.output?.location, `artifact:${outputKey}`)
      assert.strictEqual(Buffer.from(fake.artifacts.get(outputKey)?.content ?? []).toString(), "movie")
      assert.strictEqual(Buffer.from(fake.artifacts.get(logKey)?.content ?? []).toString(), "hello\n")
      fake.store("jobs/film/chunks/3/1.2/cancelled", "")
      assert.strictEqual((yield* worker.run(Rig.request({ jobPath, artifacts })))._tag, "Cancelled")
    })
  )

  it.live("tells no part of them that is a secret, in answers and in logs", () =>
    Effect.gen(function* () {
      const origin = yield* Rig.server((_, response) => response.writeHead(500).end())
      const worker = yield* WorkerRuntime.make({ workspaceDir: yield* Rig.folder, sources: [origin], allowLocal: true })
      const printed: Array<string> = []
      for (const jobPath of [`${origin}/job.json?sig=hush`, "https://elsewhere.example/job.json?sig=hush#hush"]) {
        const reply = yield* worker.run(Rig.request({ jobPath })).pipe(Rig.logsTo(printed))
        assert.strictEqual(reply._tag, "Error")
        printed.push(yield* onWire(reply))
      }
      // A storage that says more than it should.
      const { storage } = yield* FakeArtifactStorage.make()
      const cause = new Error(
        "GET https://bucket.example/job.json?X-Amz-Signature=hush, https://b.example/x#hush failed"
      )
      const get = (key: string) => Stream.fail(new ArtifactError({ key, reason: "Unavailable", cause }))
      const { worker: told } = yield* Rig.withStorage({ storage: Layer.succeed(ArtifactStorage, { ...storage, get }) })
      const reply = yield* told.run(Rig.request()).pipe(Rig.logsTo(printed))
      assert.include(yield* onWire(reply), "https://bucket.example/job.json?…")
      printed.push(yield* onWire(reply))
      assert.include(printed.join("\n"), "job.json")
      assert.notInclude(printed.join("\n"), "hush")
    })
  )
})

describe("an attempt without a storage", () => {
  it.live("renders in the workspace's folder, and leaves its output there under its own name", () =>
    Effect.gen(function* () {
      const dir = yield* Rig.folder
      yield* Rig.write(path.join(dir, "input.txt"), "ink")
      yield* Rig.write(path.join(dir, "job.json"), JSON.stringify(Rig.job(`cat input.txt > "$1"`)))
      const worker = yield* WorkerRuntime.make({ workspaceDir: dir })
      const reply = yield* worker.run({ jobPath: path.join(dir, "job.json"), chunkIndex: 3 })
      assert(reply._tag === "Result", JSON.stringify(reply))
      const location = path.join(dir, "part_3.mov")
      assert.deepStrictEqual(reply.result.output, { location, bytes: 3, sha256: Rig.sha256("ink") })
      assert.strictEqual(yield* Rig.read(location), "ink")
      assert.deepStrictEqual(yield* Rig.filesIn(dir), ["input.txt", "job.json", "part_3.mov"])
      // A relative name is meant from there as well.
      assert.strictEqual((yield* worker.run({ jobPath: "job.json", chunkIndex: 3 }))._tag, "Result")
    })
  )

  it.live("cannot send anything that it is asked to send", () =>
    Effect.gen(function* () {
      const dir = yield* Rig.folder
      yield* Rig.write(path.join(dir, "job.json"), JSON.stringify(Rig.job(`printf m > "$1"`)))
      const worker = yield* WorkerRuntime.make({ workspaceDir: dir })
      const { fix, why } = refused(yield* worker.run(Rig.request({ jobPath: "job.json" })))
      assert.strictEqual(why, "Unsupported")
      assert.include(fix, "no storage")
    })
  )
})

describe("a request", () => {
  it.live("that is none is answered, whatever it is", () =>
    Effect.gen(function* () {
      const { dir, worker } = yield* Rig.withStorage()
      const events: ReadonlyArray<unknown> = [
        null,
        undefined,
        "{}",
        17,
        [],
        [{ jobPath: "x", chunkIndex: 0 }],
        {},
        { jobPath: "x" },
        { jobPath: "", chunkIndex: 0 },
        { jobPath: "x", chunkIndex: "0" },
        { jobPath: "x", chunkIndex: 0.5 },
        { protocol: 2, jobPath: "x", chunkIndex: 0 },
        { jobPath: "x", chunkIndex: 0, env: { A: 1 } },
        { jobPath: "y".repeat(1_000_000), chunkIndex: null }
      ]
      for (const event of events) {
        const reply = yield* worker.run(event)
        assert.strictEqual(refused(reply).why, "InvalidJob")
        assert.isBelow((yield* onWire(reply)).length, 20_000)
      }
      const reply = yield* worker.run({ jobId: "film", chunkIndex: 3 })
      assert(reply._tag === "Error")
      assert.include(reply.error.message, "chunk 3 of job film")
      assert.deepStrictEqual(yield* Rig.filesIn(dir), [])
    })
  )

  it.live("for a job that is none, or has no such chunk, is refused", () =>
    Effect.gen(function* () {
      const { fake, store, worker } = yield* Rig.withStorage()
      assert.strictEqual(refused(yield* worker.run(Rig.request())).why, "NotFound")
      fake.store("jobs/film/job.json", "no json")
      assert.strictEqual(refused(yield* worker.run(Rig.request())).why, "InvalidJob")
      store({ ...Rig.job("true"), metadata: { totalFrames: 11, fps: 30 } })
      assert.include(refused(yield* worker.run(Rig.request())).fix, "frame 10 is in no chunk")
      store(Rig.job("true"))
      assert.include(refused(yield* worker.run(Rig.request({ chunkIndex: 4 }))).fix, "no chunk 4")
    })
  )

  it.live("may not have others' artifacts replaced", () =>
    Effect.gen(function* () {
      const { fake, store, worker } = yield* Rig.withStorage()
      store(Rig.job(`printf m > "$1"`))
      const { artifacts } = Rig.request()
      for (const key of ["assets/0", "jobs/film/job.json", "jobs/film/chunks/33/1.2/output.mov", "jobs/other/x"]) {
        for (const name of ["output", "log", "cancelled"]) {
          const reply = yield* worker.run(Rig.request({ artifacts: { ...artifacts, [name]: { key } } }))
          assert.strictEqual(refused(reply).why, "Unauthorized", `${name} ${key}`)
        }
      }
      assert.deepStrictEqual([...fake.artifacts.keys()], ["jobs/film/job.json"])
    })
  )
})

describe("the environment of a command", () => {
  it.live("has no credentials of the worker's, and of the request's variables only those that may pass", () =>
    Effect.gen(function* () {
      const env = { PATH: process.env["PATH"], AWS_SECRET_ACCESS_KEY: "hush", AWS_SESSION_TOKEN: "hush", LANG: "C" }
      const { store, text, worker } = yield* Rig.withStorage({ env: { MINE: "yes" } }).pipe(
        Effect.provideService(Environment.ParentEnvironment, env)
      )
      store(Rig.job(`env > "$1"`))
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      const reply = yield* worker
        .run(Rig.request({ env: { HELIOS_SEED: "7" }, traceparent }))
        .pipe(Effect.provideService(Environment.ParentEnvironment, env))
      assert.strictEqual(reply._tag, "Result")
      const seen = text(outputKey)?.split("\n") ?? []
      assert.includeMembers(seen, ["HELIOS_SEED=7", "MINE=yes", "LANG=C", `TRACEPARENT=${traceparent}`])
      assert.notInclude(seen.join("\n"), "hush")
      for (const name of ["LD_PRELOAD", "NODE_OPTIONS", "PATH", "AWS_SECRET_ACCESS_KEY", "HELIOS_BROWSER_ARGS"]) {
        const { fix, why } = refused(yield* worker.run(Rig.request({ env: { HELIOS_SEED: "7", [name]: "x" } })))
        assert.strictEqual(why, "Unsupported")
        assert.include(fix, name)
        assert.notInclude(fix, "HELIOS_SEED")
      }
    })
  )
})

describe("where a job may come from", () => {
  const jobText = JSON.stringify(Rig.job(`printf movie > "$1"`))

  it.live("is a server under https that was allowed, whose certificate is known", () =>
    Effect.gen(function* () {
      const { ca, origin, port } = yield* Rig.tlsServer((_, response) => response.end(jobText))
      const make = (options: Partial<WorkerRuntime.Options>) =>
        Rig.withStorage({ sources: [`${origin}/jobs/`, `https://127.0.0.1:${port}/jobs/`], ...options })
      const { worker } = yield* make({ ca, allowLocal: true })
      assert.strictEqual((yield* worker.run(Rig.request({ jobPath: `${origin}/jobs/job.json?sig=1` })))._tag, "Result")
      for (const jobPath of [`${origin}/other/job.json`, `${origin}/jobs/../other`, `${origin}/jobs/..%2fother`]) {
        assert.strictEqual(refused(yield* worker.run(Rig.request({ jobPath }))).why, "Unauthorized")
      }
      // Nobody's certificate.
      const { worker: trusting } = yield* make({ allowLocal: true })
      assert.strictEqual(
        reasonOf(yield* trusting.run(Rig.request({ jobPath: `${origin}/jobs/job.json` })))._tag,
        "Transport"
      )
      // A name that leads to this machine, and its address.
      const { worker: careful } = yield* make({ ca })
      for (const host of [origin, `https://127.0.0.1:${port}`]) {
        const { fix, why } = refused(yield* careful.run(Rig.request({ jobPath: `${host}/jobs/job.json` })))
        assert.strictEqual(why, "Unauthorized")
        assert.include(fix, "private network")
      }
    })
  )

  it.live("is no address that was not allowed, and never one of the machine's metadata", () =>
    Effect.gen(function* () {
      const { worker } = yield* Rig.withStorage({ sources: ["https://cdn.example.com/jobs"] })
      for (const jobPath of [
        "http://169.254.169.254/latest/meta-data/",
        "http://cdn.example.com/jobs/a",
        "https://cdn.example.com.evil.example/jobs/a",
        "https://cdn.example.com@evil.example/jobs/a",
        "https://user:secret@cdn.example.com/jobs/a",
        "https://cdn.example.com:444/jobs/a",
        "https://cdn.example.com/jobs-of-others/a",
        "file:///etc/passwd",
        "data:application/json,{}",
        "/etc/passwd",
        "job.json",
        "artifact:../job.json"
      ]) {
        assert.strictEqual(refused(yield* worker.run(Rig.request({ jobPath }))).why, "Unauthorized", jobPath)
      }
      const { worker: metadata } = yield* Rig.withStorage({
        sources: ["https://169.254.169.254/", "https://[fd00:ec2::254]/"]
      })
      for (const jobPath of ["https://169.254.169.254/x", "https://[fd00:ec2::254]/x"]) {
        assert.include(refused(yield* metadata.run(Rig.request({ jobPath }))).fix, "private network")
      }
    })
  )

  it.live("is not where a server sends it on to", () =>
    Effect.gen(function* () {
      let asked = 0
      const elsewhere = yield* Rig.server((_, response) => {
        asked++
        response.end(jobText)
      })
      const origin = yield* Rig.server((_, response) => response.writeHead(302, { location: elsewhere }).end())
      const { worker } = yield* Rig.withStorage({ sources: [origin], allowLocal: true })
      const { fix, why } = refused(yield* worker.run(Rig.request({ jobPath: `${origin}/job.json` })))
      assert.strictEqual(why, "Unauthorized")
      assert.include(fix, "redirects are not followed")
      assert.strictEqual(asked, 0)
    })
  )

  it.live("is a file below an allowed folder, not one that a link there leads to, and no pipe", () =>
    Effect.gen(function* () {
      const [dir, outside] = [yield* Rig.folder, yield* Rig.folder]
      yield* Rig.write(path.join(dir, "a/job.json"), jobText)
      yield* Rig.write(path.join(outside, "job.json"), jobText)
      yield* Effect.promise(() => fs.symlink(path.join(outside, "job.json"), path.join(dir, "link.json")))
      yield* Effect.promise(() => fs.symlink(outside, path.join(dir, "linked")))
      const { worker } = yield* Rig.withStorage({ sources: [dir] })
      const at = (jobPath: string) => worker.run(Rig.request({ jobPath }))
      assert.strictEqual((yield* at(path.join(dir, "a/job.json")))._tag, "Result")
      for (const jobPath of [
        path.join(outside, "job.json"),
        "../x",
        "link.json",
        "linked/job.json",
        `${dir}-not/job.json`
      ]) {
        assert.strictEqual(refused(yield* at(jobPath)).why, "Unauthorized", jobPath)
      }
      assert.strictEqual(refused(yield* at("none.json")).why, "NotFound")
      assert.strictEqual(refused(yield* at("a")).why, "InvalidJob")
    })
  )

  it.live("is read no further than it may be long, and no longer than it may take", () =>
    Effect.gen(function* () {
      let sent = 0
      const piece = Buffer.alloc(2 ** 16, " ")
      const origin = yield* Rig.server((request, response) => {
        if (request.url === "/silent") return
        if (request.url === "/told") return void response.writeHead(200, { "content-length": 2 ** 30 }).write(" ")
        if (request.url === "/drop") return void setInterval(() => response.write(" "), 20).unref()
        const more = (): void => {
          while (!response.destroyed && sent < 2 ** 30) {
            sent += piece.length
            if (!response.write(piece)) return void response.once("drain", more)
          }
        }
        more()
      })
      const { fake, worker } = yield* Rig.withStorage({
        sources: [origin],
        allowLocal: true,
        jobBytes: 2 ** 20,
        jobTimeout: "2 seconds",
        idleTimeout: "200 millis"
      })
      const at = (jobPath: string) => worker.run(Rig.request({ jobPath }))
      assert.strictEqual(refused(yield* at(`${origin}/endless`)).why, "TooLarge")
      assert.isBelow(sent, 2 ** 27)
      assert.strictEqual(refused(yield* at(`${origin}/told`)).why, "TooLarge")
      for (const slow of ["silent", "drop"]) {
        assert.strictEqual(reasonOf(yield* at(`${origin}/${slow}`))._tag, "Transport", slow)
      }
      fake.store("big", Buffer.alloc(2 ** 20 + 1))
      assert.strictEqual(refused(yield* at("artifact:big")).why, "TooLarge")
    })
  )
})

describe("what goes wrong with a storage", () => {
  it.live("is tried again, and then is a transport failure; what is not allowed is refused", () =>
    Effect.gen(function* () {
      const { fake, store, text, worker } = yield* Rig.withStorage()
      store(Rig.job(`printf movie > "$1"`))
      const trouble = (key: RegExp, fault: FakeArtifactStorage.Fault, times = 1) =>
        fake.trouble({ key, fault, times, operation: key === outputs ? "put" : "get" })
      const outputs = /output/
      trouble(/job\.json/, { _tag: "Fails", reason: "Unavailable" })
      trouble(outputs, { _tag: "Corrupt" })
      trouble(outputs, { _tag: "Cut", after: 2 })
      assert.strictEqual((yield* worker.run(Rig.request()))._tag, "Result")
      assert.strictEqual(text(outputKey), "movie")
      trouble(outputs, { _tag: "Fails", reason: "Unavailable" }, 3)
      assert.strictEqual(reasonOf(yield* worker.run(Rig.request()))._tag, "Transport")
      trouble(outputs, { _tag: "Corrupt" }, 3)
      assert.strictEqual(reasonOf(yield* worker.run(Rig.request()))._tag, "Transport")
      trouble(outputs, { _tag: "Fails", reason: "Unauthorized" })
      assert.strictEqual(refused(yield* worker.run(Rig.request())).why, "Unauthorized")
      trouble(outputs, { _tag: "Fails", reason: "TooLarge" })
      assert.strictEqual(refused(yield* worker.run(Rig.request())).why, "TooLarge")
    })
  )

  it.live("does not fail an attempt whose output came through, when it is only the log that did not", () =>
    Effect.gen(function* () {
      const { fake, store, worker } = yield* Rig.withStorage({ margin: "500 millis" })
      store(Rig.job(`echo hello; printf movie > "$1"`))
      fake.trouble({ key: /log/, operation: "put", fault: { _tag: "Fails", reason: "Unauthorized" } })
      assert.strictEqual((yield* worker.run(Rig.request()))._tag, "Result")
      fake.trouble({ key: /log/, operation: "put", fault: { _tag: "Slow", by: "Infinity" } })
      assert.strictEqual((yield* worker.run(Rig.request()))._tag, "Result")
    })
  )

  it.live("takes no more time than there is: an upload that hangs is given up before the platform ends it", () =>
    Effect.gen(function* () {
      const { dir, fake, store, worker } = yield* Rig.withStorage({ margin: "500 millis" })
      store(Rig.job(`printf movie > "$1"`))
      fake.trouble({ key: /output/, operation: "put", fault: { _tag: "Slow", by: "Infinity" } })
      const reason = reasonOf(yield* worker.run(Rig.request(), { remainingMs: 2500 }))
      assert(reason._tag === "TimedOut")
      assert.deepStrictEqual({ ...reason }, { ...reason, limit: "platform", afterMs: 2000 })
      assert.deepStrictEqual(yield* Rig.filesIn(dir), [])
    })
  )

  it.live("is reported when a PUT to a URL is refused, or broken off", () =>
    Effect.gen(function* () {
      let status = 403
      const origin = yield* Rig.server((request, response) => {
        if (request.method === "GET") return void response.writeHead(404).end()
        if (status === 0) return void request.socket.destroy()
        request.resume().once("end", () => response.writeHead(status).end())
      })
      const { store, worker } = yield* Rig.withStorage({ sources: [origin], allowLocal: true })
      store(Rig.job(`head -c 3000000 /dev/zero > "$1"`))
      const { artifacts } = Rig.request()
      const output = { ...artifacts.output, url: `${origin}/output` }
      const put = worker.run(Rig.request({ artifacts: { ...artifacts, output } }))
      assert.strictEqual(refused(yield* put).why, "Unauthorized")
      status = 503
      assert.strictEqual(reasonOf(yield* put)._tag, "Transport")
      status = 0
      assert.strictEqual(reasonOf(yield* put)._tag, "Transport")
      status = 200
      assert.strictEqual((yield* put)._tag, "Result")
    })
  )
})

describe("an attempt that has to end", () => {
  const stubborn = `echo begun; trap "" TERM; setsid sleep 600 & while :; do sleep 0.05; done`

  it.live("before the platform ends it: kills its command, sends its log, and says so", () =>
    Effect.gen(function* () {
      const { dir, store, text, worker } = yield* Rig.withStorage({ margin: "1 second" })
      store(Rig.job(stubborn))
      const before = yield* Clock.currentTimeMillis
      const reason = reasonOf(yield* worker.run(Rig.request(), { remainingMs: 3000 }))
      assert(reason._tag === "TimedOut")
      assert.strictEqual(reason.limit, "platform")
      assert.strictEqual(reason.afterMs, 2000)
      assert.isAtLeast((yield* Clock.currentTimeMillis) - before, 1990)
      assert.strictEqual(text(logKey), "begun\n")
      assert.deepStrictEqual(Rig.processesWith(dir), [])
      assert.deepStrictEqual(yield* Rig.filesIn(dir), [])
    })
  )

  it.live("before its orchestrator stops it, which is told as the attempt's limit", () =>
    Effect.gen(function* () {
      const { store, worker } = yield* Rig.withStorage()
      store(Rig.job(stubborn))
      const deadlineMs = (yield* Clock.currentTimeMillis) + 2000
      const reason = reasonOf(yield* worker.run(Rig.request({ deadlineMs }), { remainingMs: 900_000 }))
      assert(reason._tag === "TimedOut")
      assert.strictEqual(reason.limit, "attempt")
      const late = reasonOf(yield* worker.run(Rig.request({ deadlineMs: 1 })))
      assert(late._tag === "TimedOut")
      assert.strictEqual(late.afterMs, 0)
    })
  )

  it.live("because it is not wanted any more", () =>
    Effect.gen(function* () {
      const { dir, fake, store, text, worker } = yield* Rig.withStorage()
      store(Rig.job(stubborn))
      const begun = { line: false }
      const running = yield* Effect.forkChild(
        worker.run(Rig.request(), { onSignal: ({ _tag }) => void (begun.line ||= _tag === "Line") })
      )
      yield* Rig.waitFor(
        Effect.sync(() => begun.line),
        "the first line"
      )
      fake.store("jobs/film/chunks/3/1.2/cancelled", "")
      assert.strictEqual((yield* Fiber.join(running))._tag, "Cancelled")
      assert.strictEqual(text(logKey), "begun\n")
      assert.isUndefined(text(outputKey))
      assert.deepStrictEqual(Rig.processesWith(dir), [])
      assert.deepStrictEqual(yield* Rig.filesIn(dir), [])
    })
  )

  it.live("because nobody listens any more", () =>
    Effect.gen(function* () {
      const { dir, store, worker } = yield* Rig.withStorage()
      store(Rig.job(stubborn))
      const begun = { line: false }
      const running = yield* Effect.forkChild(
        worker.run(Rig.request(), { onSignal: ({ _tag }) => void (begun.line ||= _tag === "Line") })
      )
      yield* Rig.waitFor(
        Effect.sync(() => begun.line),
        "the first line"
      )
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(Rig.processesWith(dir), [])
      assert.deepStrictEqual(yield* Rig.filesIn(dir), [])
    })
  )

  it.live("goes on when it cannot be asked whether it is wanted", () =>
    Effect.gen(function* () {
      const { fake, store, worker } = yield* Rig.withStorage()
      store(Rig.job(`sleep 0.3; printf movie > "$1"`))
      fake.trouble({ operation: "head", fault: { _tag: "Fails", reason: "Unauthorized" }, times: 100 })
      assert.strictEqual((yield* worker.run(Rig.request()))._tag, "Result")
    })
  )
})

describe("a worker that was killed", () => {
  it.live("leaves nothing to the next one: no folder, no half asset, no process", () =>
    Effect.gen(function* () {
      const dir = yield* Rig.folder
      yield* Rig.write(
        path.join(dir, "job.json"),
        JSON.stringify(Rig.job(`echo begun > ${dir}/begun; setsid sleep 600 & sleep 600`))
      )
      const child = yield* Rig.killedWorker(dir)
      yield* Rig.waitFor(Rig.exists(path.join(dir, "begun")), "the command")
      assert.isAbove(Rig.processesWith(`TMPDIR=${dir}`).length, 0)
      const gone = once(child, "exit")
      child.kill("SIGKILL")
      yield* Effect.promise(() => gone)
      assert.isAbove(Rig.processesWith(`TMPDIR=${dir}`).length, 0)
      yield* WorkerRuntime.make({ workspaceDir: dir })
      assert.deepStrictEqual(Rig.processesWith(`TMPDIR=${dir}`), [])
      assert.deepStrictEqual(yield* Rig.filesIn(dir), ["begun", "job.json"])
    })
  )

  it.live("does not have what others are doing taken away by the next one", () =>
    Effect.gen(function* () {
      const { dir, store, worker } = yield* Rig.withStorage()
      store(Rig.job(`touch ${dir}/begun; while [ ! -e ${dir}/go ]; do sleep 0.02; done; printf movie > "$1"`))
      const running = yield* Effect.forkChild(worker.run(Rig.request()))
      yield* Rig.waitFor(Rig.exists(path.join(dir, "begun")), "the command")
      yield* WorkerRuntime.make({ workspaceDir: dir })
      yield* Rig.write(path.join(dir, "go"), "")
      assert.strictEqual((yield* Fiber.join(running))._tag, "Result")
    })
  )
})

describe("a command that prints a lot", () => {
  it.live("has the beginning and the end of it sent, and costs no memory", () =>
    Effect.gen(function* () {
      const { fake, store, worker } = yield* Rig.withStorage({ logBytes: 2 ** 20 })
      const lines = 4_000_000
      store(Rig.job(`seq 1 ${lines}; printf movie > "$1"`))
      const before = process.memoryUsage().rss
      assert.strictEqual((yield* worker.run(Rig.request()))._tag, "Result")
      assert.isBelow(process.memoryUsage().rss - before, 100 * 2 ** 20)
      const log = Buffer.from(fake.artifacts.get(logKey)?.content ?? []).toString()
      assert.isBelow(log.length, 2 ** 20 + 100)
      assert.isTrue(log.startsWith("1\n2\n3\n"))
      assert.isTrue(log.endsWith(`${lines - 1}\n${lines}\n`))
      assert.match(log, /\n\[\d+ bytes are left out here\]\n/)
    })
  )
})
