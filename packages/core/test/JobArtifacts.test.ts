import { assert, describe, it } from "@effect/vitest"
import {
  AdapterPool,
  ArtifactLayout,
  type ArtifactStorage,
  JobArtifacts,
  JobSpec,
  VideoStitcher,
  WorkerAdapter,
  WorkerError,
  Workspace
} from "@helios-infra/core"
import { FakeArtifactStorage } from "@helios-infra/testkit"
import { Deferred, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { pass } from "./TestTime.ts"

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

const spec: JobSpec.JobSpec = {
  metadata: { totalFrames: 20, fps: 30 },
  assets: ["film.html", "media"],
  chunks: [
    { id: 0, startFrame: 0, frameCount: 10, outputFile: "part_0.mov", command: "render -o part_0.mov" },
    { id: 1, startFrame: 10, frameCount: 10, outputFile: "part_1.mov", command: "render -o part_1.mov" }
  ]
}

const attemptAt = (chunkId: number, attempt = 1): WorkerAdapter.WorkerJob => ({
  id: `film/${chunkId}/1.${attempt}`,
  command: `render -o part_${chunkId}.mov`,
  meta: {
    _tag: "Chunk",
    jobId: "film",
    run: 1,
    attempt,
    output: { _tag: "File", path: `/job/.helios/${chunkId}.${attempt}.mov` },
    chunkId,
    startFrame: chunkId * 10,
    frameCount: 10,
    format: {}
  },
  outputFile: `part_${chunkId}.mov`
})

/** A workspace of texts, and everything a test may want to turn. */
const makeRig = Effect.fnUntraced(function* (
  options: JobArtifacts.Options & {
    readonly execute?: WorkerAdapter.WorkerAdapter["Service"]["execute"]
    readonly readsRemote?: boolean
    readonly where?: "local" | "remote"
    /** What is made of the adapter. */
    readonly compose?: (adapter: WorkerAdapter.WorkerAdapter["Service"]) => WorkerAdapter.WorkerAdapter["Service"]
    readonly spec?: JobSpec.JobSpec
    readonly transfer?: false
  } = {}
) {
  const { fake, storage } = yield* FakeArtifactStorage.make()
  const files = new Map([
    ["film.html", "<p>film"],
    ["media/beat.wav", "boom"]
  ])
  const received = new Map<string, string>()
  const executed: Array<WorkerAdapter.WorkerJob> = []
  const remotes: Array<VideoStitcher.RemoteChunk> = []
  const checked: Array<string> = []
  const unused = () => Effect.die("not used")
  const workspace = Workspace.Workspace.of({
    root: "/job",
    place: unused,
    locate: ({ location }) => Effect.succeed(location),
    stat: () => Effect.succeedSome({ bytes: 3 }),
    publish: ({ location }, name) => Effect.sync(() => received.set(`/job/${name}`, received.get(location) ?? "local")),
    stage: unused,
    remove: () => Effect.void,
    transfer:
      options.transfer === false
        ? undefined
        : {
            assets: (names) =>
              Stream.fromIterable([...files]).pipe(
                Stream.filter(([path]) => names.some((name) => path === name || path.startsWith(`${name}/`))),
                Stream.map(([path, text]) => ({
                  path,
                  bytes: text.length,
                  sha256: sha256(text),
                  content: Stream.encodeText(Stream.suspend(() => Stream.make(files.get(path) ?? "")))
                }))
              ),
            receive: Effect.fnUntraced(function* (jobId, name, content) {
              const text = yield* Stream.mkString(Stream.decodeText(content))
              const path = `/job/.helios/${jobId}/${name.replaceAll("/", "_")}`
              received.set(path, text)
              return { path, bytes: text.length, sha256: sha256(text) }
            })
          }
  })
  const adapter = WorkerAdapter.make({
    info: { name: "elsewhere", where: options.where ?? "remote", stop: "never" },
    execute: (job, signal) => {
      executed.push(job)
      return (options.execute ?? (() => Effect.succeed(done(job))))(job, signal)
    }
  })
  const workerAdapter = options.compose?.(adapter) ?? adapter
  const job = yield* JobArtifacts.make(
    storage,
    { id: "film", spec: options.spec ?? spec },
    {
      workerAdapter,
      workspace,
      outputCheck: {
        check: (_, { output }) => {
          checked.push(output?.location ?? "nothing")
          return Effect.succeed({ location: "", bytes: 0, ...output, frames: 10, format: { width: 64 } })
        }
      },
      stitcher: VideoStitcher.VideoStitcher.of({
        ...(options.readsRemote === undefined ? undefined : { readsRemote: options.readsRemote }),
        stitch: ({ inputs, output, remote }) =>
          Effect.map(Stream.runCollect(inputs), (all) => {
            for (const one of all) {
              const there = remote?.(one)
              if (there !== undefined) remotes.push(there)
            }
            received.set(output, all.map(({ location }) => received.get(location) ?? location).join("+"))
            return { outputFile: output, bytes: 1, frames: 20, durationMs: 0 }
          })
      })
    },
    options
  )
  return { ...job, storage, fake, files, received, executed, checked, remotes }
})

const done = (job: WorkerAdapter.WorkerJob): WorkerAdapter.WorkerResult => ({
  exitCode: 0,
  stdout: "",
  stderr: "",
  durationMs: 1,
  output: { location: `artifact:${artifactsOf(job).output.key}`, bytes: 3 }
})

const artifactsOf = (job: WorkerAdapter.WorkerJob) => {
  if (job.meta._tag !== "Chunk" || job.meta.artifacts === undefined) throw new Error("it was told of no artifacts")
  return job.meta.artifacts
}

const output = (chunkId: number, text: string): VideoStitcher.ChunkOutput => ({
  index: chunkId,
  chunkId,
  attempt: 1,
  frameCount: 10,
  location: `artifact:jobs/film/chunks/${chunkId}/1.1/output.mov`,
  bytes: text.length,
  sha256: sha256(text)
})

const puts = (rig: { readonly fake: { readonly calls: ReadonlyArray<FakeArtifactStorage.Call> } }) =>
  rig.fake.calls.filter(({ operation }) => operation === "put").map(({ key }) => key)

const json = (rig: { readonly storage: ArtifactStorage.ArtifactStorage["Service"] }, key: string) =>
  rig.storage.get(key).pipe(
    Stream.decodeText,
    Stream.mkString,
    Effect.map((text): unknown => JSON.parse(text))
  )

describe("upload", () => {
  it.effect("sends the assets, their list and the job file, which names the list", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      yield* rig.upload
      assert.deepStrictEqual(
        puts(rig).toSorted(),
        [
          `assets/${sha256("<p>film")}`,
          `assets/${sha256("boom")}`,
          "jobs/film/assets.json",
          "jobs/film/job.json"
        ].toSorted()
      )
      assert.deepStrictEqual(yield* json(rig, "jobs/film/job.json"), {
        ...spec,
        id: "film",
        assetsUrl: "artifact:jobs/film/assets.json"
      })
      assert.deepStrictEqual(yield* json(rig, "jobs/film/assets.json"), {
        version: 1,
        assets: [
          { path: "film.html", bytes: 7, sha256: sha256("<p>film"), location: `artifact:assets/${sha256("<p>film")}` },
          { path: "media/beat.wav", bytes: 4, sha256: sha256("boom"), location: `artifact:assets/${sha256("boom")}` }
        ]
      })
    })
  )

  it.effect("sends no asset twice, also not for another job", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.store(`assets/${sha256("boom")}`, "boom")
      yield* rig.upload
      assert.notInclude(puts(rig), `assets/${sha256("boom")}`)
      assert.include(puts(rig), `assets/${sha256("<p>film")}`)
    })
  )

  it.effect("sends again what lies there in another size", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.store(`assets/${sha256("boom")}`, "bo")
      yield* rig.upload
      assert.include(puts(rig), `assets/${sha256("boom")}`)
    })
  )

  it.effect("fails when an asset changes on its way", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.trouble({ operation: "put", key: /^assets/, fault: { _tag: "Corrupt" }, times: 2 })
      const error = yield* Effect.flip(rig.upload)
      assert.strictEqual(error._tag === "ArtifactError" && error.reason, "Corrupt")
      assert.notInclude(puts(rig), "jobs/film/job.json")
    })
  )

  it.effect("is done once, whoever asks for it", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      yield* rig.upload
      const sent = puts(rig).length
      yield* rig.workerAdapter.execute(attemptAt(0), () => {})
      assert.lengthOf(puts(rig), sent)
    })
  )

  it.effect("is tried again by the next attempt when it failed", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.trouble({ operation: "put", key: /job.json/, fault: { _tag: "Fails", reason: "Unavailable" } })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(rig.upload)))
      yield* rig.workerAdapter.execute(attemptAt(0), () => {})
      assert.isTrue(rig.fake.artifacts.has("jobs/film/job.json"))
    })
  )

  it.effect("sends nothing for workers that are here", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig({
        where: "local",
        execute: () => Effect.succeed({ exitCode: 0, stdout: "", stderr: "", durationMs: 0 })
      })
      yield* rig.upload
      yield* rig.workerAdapter.execute(attemptAt(0), () => {})
      assert.deepStrictEqual(rig.fake.calls, [])
      assert.deepStrictEqual(rig.executed, [attemptAt(0)])
    })
  )

  it.effect("needs a workspace with files only for assets", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* makeRig({ transfer: false })).upload)
      assert.include(error.message, "cannot send assets")
      const { assets: _, ...none } = spec
      yield* (yield* makeRig({ transfer: false, spec: none })).upload
    })
  )
})

describe("attempts", () => {
  it.effect("are told where their artifacts are", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      yield* rig.workerAdapter.execute(attemptAt(1, 3), () => {})
      const [{ meta } = attemptAt(9)] = rig.executed
      assert.strictEqual(meta.jobDefUrl, "artifact:jobs/film/job.json")
      assert.deepStrictEqual(meta._tag === "Chunk" ? meta.artifacts : undefined, {
        output: { key: "jobs/film/chunks/1/1.3/output.mov" },
        log: { key: "jobs/film/chunks/1/1.3/log.txt" },
        cancelled: { key: "jobs/film/chunks/1/1.3/cancelled" }
      })
    })
  )

  it.live("get URLs where workers have no credentials", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig({ access: "urls" })
      yield* rig.workerAdapter.execute(attemptAt(0), () => {})
      const [job = attemptAt(9)] = rig.executed
      const text = (url: string) => Effect.promise(() => fetch(url).then((response) => response.text()))
      const { assetsUrl = "" } = yield* JobSpec.decodeJson(yield* text(job.meta.jobDefUrl ?? ""))
      const list = yield* Schema.decodeEffect(Schema.fromJsonString(ArtifactLayout.AssetList))(yield* text(assetsUrl))
      assert.strictEqual(yield* text(list.assets[1]?.location ?? ""), "boom")
      const { cancelled, output } = artifactsOf(job)
      yield* Effect.promise(() => fetch(output.url ?? "", { method: "PUT", body: "abc" }))
      assert.isTrue(rig.fake.artifacts.has(output.key))
      assert.strictEqual((yield* Effect.promise(() => fetch(cancelled.url ?? ""))).status, 404)
    })
  )

  it.effect("get a new list of assets before the URLs in the old one expire", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig({ access: "urls", urlsExpire: "2 hours" })
      const lists = () => puts(rig).filter((key) => key === "jobs/film/assets.json").length
      yield* rig.workerAdapter.execute(attemptAt(0), () => {})
      yield* TestClock.adjust("59 minutes")
      yield* rig.workerAdapter.execute(attemptAt(1), () => {})
      assert.strictEqual(lists(), 1)
      yield* TestClock.adjust("2 minutes")
      yield* rig.workerAdapter.execute(attemptAt(1, 2), () => {})
      assert.strictEqual(lists(), 2)
      assert.lengthOf(
        puts(rig).filter((key) => key.startsWith("assets/")),
        2
      )
    })
  )

  it.effect("that could not be stopped are told that they are not wanted any more", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const rig = yield* makeRig({
        execute: (_, signal) =>
          Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Effect.sync(() => signal({ _tag: "NotStopped", detail: "it runs on" })))
          )
      })
      const fiber = yield* Effect.forkChild(rig.workerAdapter.execute(attemptAt(0), () => {}))
      yield* Deferred.await(begun)
      assert.isFalse(rig.fake.artifacts.has("jobs/film/chunks/0/1.1/cancelled"))
      yield* Fiber.interrupt(fiber)
      assert.isTrue(rig.fake.artifacts.has("jobs/film/chunks/0/1.1/cancelled"))
      // The sign outlives the run: the worker may look for it later.
      yield* rig.workspace.remove("film", [])
      assert.deepStrictEqual(
        [...rig.fake.artifacts.keys()].filter((key) => key.startsWith("jobs/")),
        ["jobs/film/chunks/0/1.1/cancelled"]
      )
    })
  )

  for (const [name, reason, told] of [
    ["lost sight of", new WorkerError.Transport({ cause: "reset" }), true],
    ["ended by their platform", new WorkerError.TimedOut({ limit: "platform", afterMs: 1 }), false],
    ["that failed", new WorkerError.RenderFailed({ exitCode: 1, stderrTail: "" }), false]
  ] as const) {
    it.effect(`${name} are ${told ? "" : "not "}told so`, () =>
      Effect.gen(function* () {
        const rig = yield* makeRig({
          execute: (job) => Effect.fail(WorkerAdapter.failure("elsewhere", job, reason))
        })
        const error = yield* Effect.flip(rig.workerAdapter.execute(attemptAt(0), () => {}))
        assert.strictEqual(error.reason, reason)
        assert.strictEqual(rig.fake.artifacts.has("jobs/film/chunks/0/1.1/cancelled"), told)
      })
    )
  }

  it.effect("do not wait for ever for a storage that takes no sign", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig({
        execute: (job) =>
          Effect.fail(WorkerAdapter.failure("elsewhere", job, new WorkerError.Transport({ cause: "reset" })))
      })
      rig.fake.trouble({ operation: "put", key: /cancelled/, fault: { _tag: "Slow", by: "Infinity" } })
      const fiber = yield* Effect.forkChild(Effect.flip(rig.workerAdapter.execute(attemptAt(0), () => {})))
      yield* pass("11 seconds", "1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Transport")
    })
  )

  it.effect("fail for good when the storage refuses the job's credentials, else not", () =>
    Effect.gen(function* () {
      const reasonAfter = Effect.fnUntraced(function* (reason: ArtifactStorage.ArtifactError["reason"]) {
        const rig = yield* makeRig()
        rig.fake.trouble({ operation: "put", key: /job.json/, fault: { _tag: "Fails", reason } })
        return (yield* Effect.flip(rig.workerAdapter.execute(attemptAt(0), () => {}))).reason._tag
      })
      assert.strictEqual(yield* reasonAfter("Unauthorized"), "Refused")
      assert.strictEqual(yield* reasonAfter("Unavailable"), "Transport")
    })
  )

  it.effect("at a merge command are none of the storage's business", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig({
        execute: () => Effect.succeed({ exitCode: 0, stdout: "", stderr: "", durationMs: 0 })
      })
      const { meta, ...others } = attemptAt(0)
      const merge: WorkerAdapter.WorkerJob = {
        ...others,
        meta: { _tag: "Merge", jobId: "film", run: 1, attempt: 1, output: meta.output }
      }
      yield* rig.workerAdapter.execute(merge, () => {})
      assert.deepStrictEqual(rig.executed, [merge])
    })
  )
})

describe("outputs", () => {
  it.effect("are what the worker says when it has looked into them and they are there in that size", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      const ref = {
        location: "artifact:jobs/film/chunks/0/1.1/output.mov",
        bytes: 3,
        frames: 10,
        format: { width: 64 }
      }
      const check = rig.outputCheck.check(attemptAt(0), { ...noResult, output: ref })
      assert.strictEqual((yield* Effect.flip(check)).reason._tag, "OutputInvalid")
      rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abcd")
      assert.strictEqual((yield* Effect.flip(check)).reason._tag, "OutputInvalid")
      rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abc")
      assert.deepStrictEqual(yield* check, ref)
      assert.deepStrictEqual(rig.checked, [])
    })
  )

  it.effect("are fetched and looked into here when the worker has not", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abc")
      const ref = { location: "artifact:jobs/film/chunks/0/1.1/output.mov", bytes: 3 }
      const checked = yield* rig.outputCheck.check(attemptAt(0), { ...noResult, output: ref })
      assert.deepStrictEqual(checked, { ...ref, frames: 10, format: { width: 64 } })
      assert.deepStrictEqual(rig.checked, ["/job/.helios/film/jobs_film_chunks_0_1.1_output.mov"])
    })
  )

  it.effect("of attempts here are checked as ever", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      const ref = { location: "/job/.helios/0.1.mov", bytes: 3, frames: 10, format: {} }
      yield* rig.outputCheck.check(attemptAt(0), { ...noResult, output: ref })
      assert.deepStrictEqual(rig.checked, ["/job/.helios/0.1.mov"])
    })
  )

  it.effect("are brought here once, and again when they did not arrive as they were sent", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abc")
      rig.fake.trouble({ operation: "get", fault: { _tag: "Corrupt" }, times: 2 })
      const path = yield* rig.workspace.locate(output(0, "abc"))
      assert.strictEqual(rig.received.get(path), "abc")
      assert.strictEqual(yield* rig.workspace.locate(output(0, "abc")), path)
      assert.lengthOf(
        rig.fake.calls.filter(({ operation }) => operation === "get"),
        3
      )
    })
  )

  it.effect("that are not what was accepted are not taken", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abd")
      const error = yield* Effect.flip(rig.workspace.locate(output(0, "abc")))
      assert.include(error.message, "SHA-256")
      const gone = yield* Effect.flip(rig.workspace.locate(output(1, "abc")))
      assert.strictEqual(gone.reason, "NotFound")
    })
  )

  it.effect("are seen, and published, wherever they are", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      const there = output(0, "abc")
      assert.isTrue(Option.isNone(yield* rig.workspace.stat(there)))
      rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abc")
      assert.strictEqual(Option.getOrThrow(yield* rig.workspace.stat(there)).bytes, 3)
      yield* rig.workspace.publish(there, "part_0.mov")
      yield* rig.workspace.publish({ location: "/job/.helios/1.mov", bytes: 3 }, "part_1.mov")
      assert.strictEqual(rig.received.get("/job/part_0.mov"), "abc")
      assert.strictEqual(rig.received.get("/job/part_1.mov"), "local")
    })
  )

  it.effect("come to the stitcher as local files in their order, from here and from there", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abc")
      rig.fake.store("jobs/film/chunks/2/1.1/output.mov", "xyz")
      rig.fake.trouble({ operation: "get", key: /chunks\/0/, fault: { _tag: "Slow", by: "1 minute" } })
      const inputs = Stream.make(output(0, "abc"), { ...output(1, ""), location: "/here.mov" }, output(2, "xyz"))
      const fiber = yield* Effect.forkChild(stitch(rig, inputs))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(rig.received.get("/job/film.mp4"), "abc+/here.mov+xyz")
    })
  )

  it.effect("stay where they are for a stitcher that reads them there, where that is wanted", () =>
    Effect.gen(function* () {
      const inputs = Stream.make(output(0, "abc"), { ...output(1, ""), location: "/here.mov" }, output(2, "xyz"))
      const store = (rig: { readonly fake: { readonly store: (key: string, text: string) => void } }) => {
        rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abc")
        rig.fake.store("jobs/film/chunks/2/1.1/output.mov", "xyz")
      }
      const rig = yield* makeRig({ stitchFrom: "storage", readsRemote: true })
      store(rig)
      yield* stitch(rig, inputs)
      const [first, second] = rig.remotes
      assert.lengthOf(rig.remotes, 2)
      assert.strictEqual(first?.bytes, 3)
      assert.strictEqual(
        rig.received.get("/job/film.mp4"),
        "artifact:jobs/film/chunks/0/1.1/output.mov+/here.mov+artifact:jobs/film/chunks/2/1.1/output.mov"
      )
      const part = (chunk: VideoStitcher.RemoteChunk | undefined, from: number, to: number) =>
        Stream.mkString(Stream.decodeText(chunk?.read({ from, to }) ?? Stream.empty))
      assert.strictEqual(yield* part(first, 1, 3), "bc")
      assert.strictEqual(yield* part(second, 0, 1), "x")
      // One that needs files gets them all the same, and so does one that was not told otherwise.
      for (const options of [{ stitchFrom: "storage" }, { readsRemote: true }] as const) {
        const other = yield* makeRig(options)
        store(other)
        yield* stitch(other, inputs)
        assert.lengthOf(other.remotes, 0)
        assert.strictEqual(other.received.get("/job/film.mp4"), "abc+/here.mov+xyz")
      }
    })
  )

  it.effect("of a pool are what each attempt wrote where it ran", () =>
    Effect.gen(function* () {
      const here = WorkerAdapter.make({
        info: { name: "here", where: "local", stop: "always", concurrency: 1 },
        execute: (job) =>
          Effect.succeed({ ...done(job), output: { location: "/here.mov", bytes: 3 } }).pipe(Effect.delay("1 second"))
      })
      const rig = yield* makeRig({ compose: (adapter) => AdapterPool.overflow([here, adapter]) })
      yield* rig.upload
      assert.include(puts(rig), "jobs/film/job.json", "some of its workers are elsewhere")
      const attempts = [attemptAt(0), attemptAt(1)]
      const running = yield* Effect.forkChild(
        Effect.forEach(attempts, (job) => rig.workerAdapter.execute(job, () => {}), { concurrency: 2 })
      )
      yield* pass("1 second")
      rig.fake.store("jobs/film/chunks/1/1.1/output.mov", "xyz")
      const results = yield* Fiber.join(running)
      const outputs = yield* Effect.forEach(results, (result, index) =>
        rig.outputCheck.check(attempts[index] ?? attemptAt(index), result)
      )
      const locations = outputs.map(({ location }) => location)
      assert.deepStrictEqual(locations, ["/here.mov", "artifact:jobs/film/chunks/1/1.1/output.mov"])
      const inputs = Stream.fromIterable(outputs.map((one, index) => ({ ...output(index, "xyz"), ...one })))
      yield* stitch(rig, inputs)
      assert.strictEqual(rig.received.get("/job/film.mp4"), "/here.mov+xyz")
    })
  )

  it.effect("that cannot be brought here fail the stitch, and name the chunk", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.store("jobs/film/chunks/0/1.1/output.mov", "abc")
      const error = yield* Effect.flip(stitch(rig, Stream.make(output(0, "abc"), output(1, "abc"))))
      assert.strictEqual(error.chunkId, 1)
      assert.strictEqual(error.reason._tag, "ChunkInvalid")
      assert.isFalse(rig.received.has("/job/film.mp4"))
    })
  )
})

describe("what is left", () => {
  const fill = Effect.fnUntraced(function* (options?: JobArtifacts.Options) {
    const rig = yield* makeRig(options)
    yield* rig.upload
    for (const chunk of [0, 1]) {
      for (const name of ["output.mov", "log.txt", "cancelled"]) {
        rig.fake.store(`jobs/film/chunks/${chunk}/1.1/${name}`, "abc")
      }
    }
    rig.fake.store("jobs/film2/job.json", "another")
    return rig
  })
  const left = (rig: { readonly fake: { readonly artifacts: ReadonlyMap<string, unknown> } }) =>
    [...rig.fake.artifacts.keys()].filter((key) => key.startsWith("jobs/film/")).toSorted()

  it.effect("of a job that goes on later is what was accepted", () =>
    Effect.gen(function* () {
      const rig = yield* fill()
      yield* rig.workspace.remove("film", ["artifact:jobs/film/chunks/1/1.1/output.mov"])
      assert.deepStrictEqual(left(rig), [
        "jobs/film/chunks/0/1.1/cancelled",
        "jobs/film/chunks/1/1.1/cancelled",
        "jobs/film/chunks/1/1.1/output.mov"
      ])
    })
  )

  it.effect("of a completed job is nothing but the signs for workers that run on, unless it is to be kept", () =>
    Effect.gen(function* () {
      const gone = yield* fill()
      yield* gone.workspace.remove("film", [])
      assert.deepStrictEqual(left(gone), ["jobs/film/chunks/0/1.1/cancelled", "jobs/film/chunks/1/1.1/cancelled"])
      assert.isTrue(gone.fake.artifacts.has("jobs/film2/job.json"))
      assert.isTrue(gone.fake.artifacts.has(`assets/${sha256("boom")}`))
      const kept = yield* fill({ keep: true })
      yield* kept.workspace.remove("film", [])
      assert.lengthOf(left(kept), 8)
      // Also of one that failed: its logs say why.
      yield* kept.workspace.remove("film", ["artifact:jobs/film/chunks/1/1.1/output.mov"])
      assert.lengthOf(left(kept), 8)
    })
  )

  it.effect("of a deleted job is nothing, and its assets may be another job's", () =>
    Effect.gen(function* () {
      const rig = yield* fill()
      yield* JobArtifacts.remove(rig.storage, "film")
      assert.deepStrictEqual(left(rig), [])
      assert.isTrue(rig.fake.artifacts.has(`assets/${sha256("boom")}`))
    })
  )
})

const noResult: WorkerAdapter.WorkerResult = { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }

const stitch = (
  rig: { readonly stitcher: VideoStitcher.VideoStitcher["Service"] | undefined },
  inputs: Stream.Stream<VideoStitcher.ChunkOutput>
) =>
  Effect.suspend(
    () =>
      rig.stitcher?.stitch({ inputs, total: 3, frames: 30, fps: "30", output: "/job/film.mp4" }) ??
      Effect.die("no stitcher")
  )
