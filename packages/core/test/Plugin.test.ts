import {
  ArtifactStorage,
  JobRepository,
  OutputCheck,
  Plugin,
  VideoStitcher,
  WorkerAdapter,
  Workspace
} from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import * as Fakes from "./Fakes.ts"

const machine = Fakes.machine()
const workspace = Layer.succeed(Workspace.Workspace, machine.workspace)

const fleet = Plugin.definePlugin({
  kind: "worker",
  type: "fleet",
  apiVersion: 1,
  config: Schema.Struct({
    url: Schema.String,
    concurrency: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
    grace: Schema.optionalKey(Plugin.Duration),
    tls: Schema.optionalKey(Schema.Struct({ certificate: Schema.String })),
    zones: Schema.optionalKey(Schema.Array(Schema.Struct({ name: Schema.String })))
  }),
  layer: ({ concurrency, grace, url }) =>
    WorkerAdapter.layer({
      info: { name: url, where: "remote", stop: "never", concurrency, maxDuration: grace },
      execute: () => Effect.never
    })
})

const plain = Plugin.definePlugin({
  kind: "stitcher",
  type: "plain",
  apiVersion: 1,
  config: Schema.Struct({}),
  layer: () => Layer.succeed(VideoStitcher.VideoStitcher, machine.stitcher)
})

const ownCheck = OutputCheck.OutputCheck.of({ check: () => Effect.die("the stitcher's own") })

const checking = Plugin.definePlugin({
  kind: "stitcher",
  type: "checking",
  apiVersion: 1,
  config: Schema.Struct({}),
  layer: () =>
    Layer.merge(
      Layer.succeed(VideoStitcher.VideoStitcher, machine.stitcher),
      Layer.succeed(OutputCheck.OutputCheck, ownCheck)
    )
})

const memory = Plugin.definePlugin({
  kind: "repository",
  type: "memory",
  apiVersion: 1,
  config: Schema.Struct({}),
  layer: () => JobRepository.layerMemory
})

const nowhere = Plugin.definePlugin({
  kind: "storage",
  type: "nowhere",
  apiVersion: 1,
  config: Schema.Struct({ bucket: Schema.String }),
  layer: () => Layer.mock(ArtifactStorage.ArtifactStorage, { head: () => Effect.succeedNone })
})

const plugins = Plugin.registry<Workspace.Workspace>([fleet, plain, checking, memory, nowhere])

const failure = (kind: Plugin.Kind, options: unknown) =>
  Effect.flip(Effect.flatMap(plugins, (registry) => registry.resolve(kind, options)))

describe("a registry", () => {
  it.effect("turns options into the layer of the plugin that they name, with what its schema made of them", () =>
    Effect.gen(function* () {
      const registry = yield* plugins
      const layer = yield* registry.resolve("worker", {
        type: "fleet",
        url: "https://fleet.example",
        concurrency: 200,
        grace: "2 minutes"
      })
      const { info } = yield* WorkerAdapter.WorkerAdapter.pipe(Effect.provide(Layer.provide(layer, workspace)))
      assert.deepInclude(info, { name: "https://fleet.example", concurrency: 200 })
      assert.deepStrictEqual(info.maxDuration, Duration.minutes(2))
    })
  )

  it.effect("keeps kinds apart and says which types there are", () =>
    Effect.gen(function* () {
      const registry = yield* plugins
      assert.deepStrictEqual(registry.types("worker"), ["fleet"])
      assert.deepStrictEqual(registry.types("stitcher"), ["plain", "checking"])
      assert.deepStrictEqual(registry.types("storage"), ["nowhere"])
      const layer = yield* registry.resolve("repository", { type: "memory" })
      const { guarantees } = yield* JobRepository.JobRepository.pipe(Effect.provide(Layer.provide(layer, workspace)))
      assert.isTrue(guarantees.fencing)
    })
  )

  it.effect("gives storages as well", () =>
    Effect.gen(function* () {
      const registry = yield* plugins
      const layer = yield* registry.resolve("storage", { type: "nowhere", bucket: "b" })
      const found = ArtifactStorage.ArtifactStorage.use((storage) => storage.head("a"))
      assert.isTrue(Option.isNone(yield* Effect.provide(found, Layer.provide(layer, workspace))))
      const error = yield* failure("storage", { type: "memory" })
      assert.strictEqual(error.message, 'storage "memory": that is the name of a repository: there are "nowhere"')
    })
  )

  it.effect("is a service for those who choose by configuration", () =>
    Effect.gen(function* () {
      const { resolve } = yield* Plugin.PluginRegistry
      assert.isTrue(Layer.isLayer(yield* resolve("worker", { type: "fleet", url: "u" })))
    }).pipe(Effect.provide(Plugin.layer([fleet, plain])))
  )

  it.effect("refuses two plugins of one kind and type, and none of two kinds", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Plugin.registry([fleet, memory, fleet]))
      assert.strictEqual(error.message, 'worker "fleet": it is registered twice: leave one of them out')
      assert.deepInclude(error, { kind: "worker", type: "fleet" })
      const namesake = Plugin.definePlugin({ ...memory, type: "fleet" })
      assert.deepStrictEqual((yield* Plugin.registry([fleet, namesake])).types("repository"), ["fleet"])
    })
  )

  it.effect("refuses a plugin that was made for another core", () =>
    Effect.gen(function* () {
      for (const found of [0, 2, Number.NaN]) {
        const error = yield* Effect.flip(Plugin.registry([{ ...fleet, apiVersion: found }]))
        assert.strictEqual(error.reason._tag, "UnsupportedApiVersion")
        assert.match(error.message, /^worker "fleet": it has apiVersion (0|2|NaN) and this core takes 1: update/)
      }
    })
  )
})

describe("a stitcher", () => {
  const checkOf = Effect.fnUntraced(function* (type: string) {
    const registry = yield* plugins
    const layer = yield* registry.resolve("stitcher", { type })
    const context = yield* Layer.build(layer.pipe(Layer.provide(workspace)))
    assert.strictEqual(Context.get(context, VideoStitcher.VideoStitcher), machine.stitcher)
    return Context.get(context, OutputCheck.OutputCheck)
  })

  it.effect("has its own check of outputs where it brings one", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* checkOf("checking"), ownCheck)
    })
  )

  it.effect("has outputs checked for presence where it brings none", () =>
    Effect.gen(function* () {
      const { check } = yield* checkOf("plain")
      const place = "/job/part"
      machine.files.set(place, 7)
      const job: WorkerAdapter.WorkerJob = {
        id: "job/0/1.1",
        command: "render",
        meta: {
          _tag: "Chunk",
          jobId: "job",
          run: 1,
          attempt: 1,
          chunkId: 0,
          startFrame: 0,
          frameCount: 1,
          format: {},
          output: { _tag: "File", path: place }
        }
      }
      const result = { exitCode: 0, stdout: "", stderr: "", durationMs: 0, output: { location: place, bytes: 7 } }
      assert.strictEqual((yield* check(job, result)).bytes, 7)
      machine.files.delete(place)
      assert.match((yield* Effect.flip(check(job, result))).message, /no file/)
    })
  )
})

describe("options that are wrong", () => {
  it.effect.each([
    ["no object", "local"],
    ["nothing", undefined],
    ["null", null],
    ["a list", [{ type: "fleet" }]],
    ["no type", { url: "u" }],
    ["a type that is no string", { type: 7 }]
  ])("must at least name a type: %s", ([, options]) =>
    Effect.gen(function* () {
      const error = yield* failure("worker", options)
      assert.isUndefined(error.type)
      assert.strictEqual(error.message, 'worker: type must name a worker: there are "fleet"')
    })
  )

  it.effect.each([
    ["flet", /^worker "flet": there is none of this type: did you mean "fleet"\? There are "fleet"$/],
    ["FLEET", /did you mean "fleet"\?/],
    ["kubernetes", /^worker "kubernetes": there is none of this type: There are "fleet"$/],
    ["", /there is none of this type: There are "fleet"$/],
    ["__proto__", /there is none of this type/],
    [" ", /there is none of this type/]
  ] as const)("name a type that there is not: %s", ([type, message]) =>
    Effect.map(failure("worker", { type }), (error) => {
      assert.strictEqual(error.reason._tag, "UnknownType")
      assert.match(error.message, message)
    })
  )

  it.effect("name a type that is far too long", () =>
    Effect.map(failure("worker", { type: "x".repeat(100_000) }), (error) => {
      assert.strictEqual(error.reason._tag, "UnknownType")
    })
  )

  it.effect("name a type of another kind", () =>
    Effect.map(failure("worker", { type: "memory" }), (error) => {
      assert.strictEqual(error.message, 'worker "memory": that is the name of a repository: there are "fleet"')
    })
  )

  it.effect("name a type where none is registered", () =>
    Effect.gen(function* () {
      const empty = yield* Plugin.registry([])
      const error = yield* Effect.flip(empty.resolve("worker", { type: "fleet" }))
      assert.match(error.message, /none of this kind: register one/)
    })
  )

  it.effect("are told field by field, all at once", () =>
    Effect.map(
      failure("worker", {
        type: "fleet",
        concurency: 4,
        concurrency: "many",
        grace: -1,
        tls: { certificate: "c", cert: "c" },
        zones: [{ name: "a" }, { name: 7 }]
      }),
      (error) => {
        assert(error.reason._tag === "InvalidConfig")
        const { issues } = error.reason
        const at = (path: string) => issues.filter((issue) => issue.path === path).map(({ message }) => message)
        assert.deepStrictEqual(at("concurency"), [
          'is not an option: did you mean "concurrency"? There are "url", "concurrency", "grace", "tls", "zones"'
        ])
        assert.deepStrictEqual(at("url"), ["is missing"])
        assert.deepStrictEqual(at("concurrency"), ["must be number"])
        assert.deepStrictEqual(at("grace"), ['must be a time such as "5 seconds", or a number of milliseconds'])
        assert.deepStrictEqual(at("tls.cert"), ['is not an option: There are "certificate"'])
        assert.deepStrictEqual(at("zones[1].name"), ["must be string"])
        assert.strictEqual(issues.length, 6)
        for (const { path, message } of issues) assert.include(error.message, `- ${path} ${message}`)
        assert.isTrue(error.message.startsWith('worker "fleet": '))
      }
    )
  )

  it.effect("may not name options where there are none", () =>
    Effect.map(failure("repository", { type: "memory", dir: "jobs" }), (error) => {
      assert.strictEqual(error.message, 'repository "memory": dir is not an option: there are none')
    })
  )
})

describe("times in options", () => {
  const decode = Schema.decodeUnknownOption(Plugin.Duration)
  it.each([["5 seconds", 5000] as const, ["250 millis", 250] as const, [250, 250] as const, [0, 0] as const])(
    "%s",
    (text, millis) => {
      const found = decode(text)
      assert.strictEqual(found._tag === "Some" ? Duration.toMillis(found.value) : undefined, millis)
    }
  )
  it.each(["", "soon", "-5 seconds", -1, Number.NaN, null, {}, true])("are refused: %s", (text) => {
    assert.strictEqual(decode(text)._tag, "None")
  })
})

describe("paths in options", () => {
  const decode = Schema.decodeUnknownEffect(Plugin.FilePath)
  it.effect.each([
    ["jobs", "/etc/helios/jobs"],
    ["../jobs", "/etc/helios/../jobs"],
    ["/var/jobs", "/var/jobs"],
    ["C:\\jobs", "C:\\jobs"]
  ] as const)("are meant from the folder of the configuration: %s", ([path, expected]) =>
    Effect.gen(function* () {
      const found = yield* Effect.provideService(decode(path), Plugin.OptionsFolder, "/etc/helios")
      assert.strictEqual(found, expected)
    })
  )
  it.effect("stay as they are where there is none, and are not empty", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* decode("jobs"), "jobs")
      yield* Effect.flip(decode(""))
    })
  )
})

describe("a plugin whose package is not there", () => {
  it("says what installs it, and one that fails what it said", () => {
    const of = (reason: Plugin.PluginReason) =>
      new Plugin.PluginError({ kind: "worker", type: "fleet", reason }).message
    const missing = new Plugin.NotInstalled({ package: "@acme/fleet" })
    assert.strictEqual(of(missing), 'worker "fleet": its package is not installed: npm install @acme/fleet')
    const failed = new Plugin.CannotLoad({ package: "@acme/fleet", cause: new Error("no licence") })
    assert.strictEqual(of(failed), 'worker "fleet": its package @acme/fleet could not be loaded: no licence')
  })
})

describe("a plugin whose service cannot be made", () => {
  it.effect("is named, with what its layer said", () =>
    Effect.gen(function* () {
      const broken = Plugin.definePlugin({
        kind: "repository",
        type: "sql",
        apiVersion: 1,
        config: Schema.Struct({ url: Schema.String }),
        layer: ({ url }) =>
          Layer.effect(
            JobRepository.JobRepository,
            new JobRepository.RepositoryError({ jobId: url, reason: new JobRepository.NotFound() })
          )
      })
      const registry = yield* Plugin.registry([broken])
      const layer = yield* registry.resolve("repository", { type: "sql", url: "postgres://x" })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.deepInclude(error, { _tag: "PluginError", kind: "repository", type: "sql" })
      assert.strictEqual(error.message, 'repository "sql": it could not start: job postgres://x: there is no such job')
    })
  )

  it.effect.each([
    [
      "options",
      () => {
        throw new TypeError("url has no port")
      }
    ],
    [
      "a service",
      () =>
        Layer.sync(WorkerAdapter.WorkerAdapter, () => {
          throw new TypeError("url has no port")
        })
    ]
  ] as const)("says so where %s could not be made because something was thrown", ([, layer]) =>
    Effect.gen(function* () {
      const throwing = Plugin.definePlugin({
        kind: "worker",
        type: "farm",
        apiVersion: 1,
        config: Schema.Struct({}),
        layer
      })
      const registry = yield* Plugin.registry([throwing])
      const made = yield* registry.resolve("worker", { type: "farm" })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(made)))
      assert.strictEqual(error.message, 'worker "farm": it could not start: url has no port')
    })
  )
})

describe("PluginError", () => {
  it.effect("comes back from JSON as it was", () =>
    Effect.gen(function* () {
      const json = Schema.fromJsonString(Schema.toCodecJson(Plugin.PluginError))
      const error = yield* failure("worker", { type: "flet" })
      const received = yield* Effect.flatMap(Schema.encodeEffect(json)(error), Schema.decodeEffect(json))
      assert.instanceOf(received, Plugin.PluginError)
      assert.strictEqual(received.message, error.message)
    })
  )
})
