// oxlint-disable no-template-curly-in-string -- configurations name variables like this
import { assert, describe, it } from "@effect/vitest"
import { type ConfigFileError, ConfigServices, defineConfig } from "@helios-infra/config"
import {
  ArtifactStorage,
  JobManager,
  JobRepository,
  OutputCheck,
  Plugin,
  VideoStitcher,
  WorkerAdapter,
  Workspace
} from "@helios-infra/core"
import { ConfigProvider, Context, Duration, Effect, Layer, Option, Schema } from "effect"
import * as path from "node:path"
import { inspect } from "node:util"
import * as Folder from "./Folder.ts"

/** The services of the one configuration that a folder with these files has. */
const services = Effect.fnUntraced(function* (files: Folder.Files) {
  const folder = yield* Folder.make(files)
  const { jobDir, layer } = yield* ConfigServices.resolve({ folder })
  const context = yield* Layer.build(layer)
  return { folder, jobDir, context }
})

const json = (config: unknown): Folder.Files => ({ "helios.config.json": JSON.stringify(config, null, 2) })

const messageOf = ({ file = "", message }: ConfigFileError.ConfigFileError) =>
  message.replaceAll(`${path.dirname(file)}${path.sep}`, "")

const failure = (files: Folder.Files) => Effect.flip(services(files))
const message = (files: Folder.Files) => Effect.map(failure(files), messageOf)

const local = { worker: { type: "local" } }

describe("a configuration", () => {
  it.live("chooses every service, and says how jobs are run", () =>
    Effect.gen(function* () {
      const { context, folder, jobDir } = yield* services({
        "helios.config.yaml": `
worker: { type: local, concurrency: 3 }
mergeWorker: { type: http, url: "https://workers.example/", name: merging }
stitcher: { type: ffmpeg, ffmpegPath: no-such-ffmpeg }
repository: { type: sqlite, filename: jobs.db }
storage: { type: folder, dir: artifacts }
jobDir: renders
job:
  retries: 7
  retryDelay: 2 seconds
  env: { QUALITY: high }
  artifacts: { access: urls, urlsExpire: 1 hour }
`,
        "renders/.keep": ""
      })
      assert.strictEqual(jobDir, path.join(folder, "renders"))
      assert.strictEqual(Context.get(context, Workspace.Workspace).root, jobDir)
      assert.include(Context.get(context, WorkerAdapter.WorkerAdapter).info, { name: "local", concurrency: 3 })
      assert.isTrue(Option.isSome(Context.getOption(context, VideoStitcher.VideoStitcher)))
      assert.isTrue(Option.isSome(Context.getOption(context, ArtifactStorage.ArtifactStorage)))
      const { mergeAdapter, ...options } = Context.get(context, JobManager.RunDefaults)
      assert.strictEqual(mergeAdapter?.info.name, "merging")
      assert.deepStrictEqual(options, {
        retries: 7,
        retryDelay: Duration.seconds(2),
        env: { QUALITY: "high" },
        artifacts: { access: "urls", urlsExpire: Duration.hours(1) }
      })
    })
  )

  it.live("needs no more than a worker", () =>
    Effect.gen(function* () {
      const { context, folder, jobDir } = yield* services(json({ $schema: "./helios.config.schema.json", ...local }))
      assert.strictEqual(jobDir, folder)
      assert.isTrue(Option.isNone(Context.getOption(context, VideoStitcher.VideoStitcher)))
      assert.isTrue(Option.isNone(Context.getOption(context, ArtifactStorage.ArtifactStorage)))
      assert.isTrue(Context.get(context, JobRepository.JobRepository).guarantees.fencing)
      assert.deepStrictEqual(Context.get(context, JobManager.RunDefaults), {})
    })
  )

  it.live("means paths from its own folder, wherever the program was started", () =>
    Effect.gen(function* () {
      const { context, folder } = yield* services(
        json({ ...local, repository: { type: "file", dir: "jobs" }, storage: { type: "folder", dir: "/tmp/absolute" } })
      )
      const jobs = Context.get(context, JobRepository.JobRepository)
      yield* jobs.create("job", { _tag: "JobCreated", version: 1, spec: yield* spec })
      assert.isTrue(
        (yield* Effect.promise(() => import("node:fs/promises").then((fs) => fs.readdir(folder)))).includes("jobs")
      )
    })
  )

  it.live("lets a check of its own count before the stitcher's", () =>
    Effect.gen(function* () {
      const stitcher = { type: "ffmpeg", ffmpegPath: "no-such-ffmpeg" }
      const { context, folder } = yield* services(json({ ...local, stitcher, outputCheck: { type: "trusting" } }))
      const { check } = Context.get(context, OutputCheck.OutputCheck)
      const output = { location: path.join(folder, "never-written"), bytes: 0 }
      const result = { exitCode: 0, stdout: "", stderr: "", durationMs: 0, output }
      assert.deepStrictEqual(yield* check(attempt(folder), result), output)
    })
  )

  it.live("gives the same services for another folder of jobs", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({ ...json(local), "other/.keep": "" })
      const { inFolder } = yield* ConfigServices.resolve({ folder })
      const other = path.join(folder, "other")
      const context = yield* Layer.build(inFolder(other))
      assert.strictEqual(Context.get(context, Workspace.Workspace).root, other)
      const error = yield* Effect.flip(Layer.build(inFolder(path.join(folder, "nowhere"))))
      assert.strictEqual(error.reason._tag, "WorkspaceError")
    })
  )

  it.live("can be one that the program has itself", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make()
      const config = defineConfig({ worker: { type: "local", concurrency: 5 } })
      const context = yield* Layer.build(ConfigServices.layerConfig(config, { folder }))
      assert.strictEqual(Context.get(context, WorkerAdapter.WorkerAdapter).info.concurrency, 5)
      const error = yield* Effect.flip(ConfigServices.resolveConfig({ worker: { type: "locl" } }, { folder }))
      assert.match(error.message, /^worker "locl": there is none of this type: did you mean "local"\?/)
      assert.isUndefined(error.file)
    })
  )
})

describe("what is wrong", () => {
  it.live("is said with plugin, field, reason, line and column, all at once", () =>
    Effect.gen(function* () {
      const error = yield* failure({
        "helios.config.yaml": "worker:\n  type: aws-lambda\n  functoinName: render\n  concurrency: 0\n"
      })
      assert.deepStrictEqual(messageOf(error).split("\n"), [
        'helios.config.yaml:1:1: worker "aws-lambda": functionName is missing',
        'helios.config.yaml:3:3: worker "aws-lambda": functoinName is not an option: did you mean "functionName"? There are "functionName", "qualifier", "region", "endpoint", "concurrency", "maxConcurrency", "jobDefUrl"',
        'helios.config.yaml:4:3: worker "aws-lambda": concurrency must be a value greater than or equal to 1'
      ])
    })
  )

  it.live("is found in how jobs are run, and in sections that there are not", () =>
    Effect.gen(function* () {
      const text =
        '{\n  "worker": { "type": "local" },\n  "job": { "retrys": 3,\n    "retries": -1 },\n  "stitch": {}\n}'
      const lines = (yield* message({ "helios.config.json": text })).split("\n")
      assert.strictEqual(lines.length, 3)
      assert.strictEqual(lines[1], "helios.config.json:4:5: job.retries must be a value greater than or equal to 0")
      assert.match(lines[0] ?? "", /^helios\.config\.json:3:12: job\.retrys is not an option: did you mean "retries"\?/)
      assert.match(lines[2] ?? "", /^helios\.config\.json:5:3: stitch is not an option: did you mean "stitcher"\?/)
    })
  )

  it.live.each([
    ["no worker", {}, /^helios\.config\.json:1:1: worker is missing$/],
    ["a list", [local], /^helios\.config\.json:1:1: it must hold a configuration/],
    ["a text", "local", /it must hold a configuration/],
    ["null", null, /it must hold a configuration/],
    [
      "a worker that is a text",
      { worker: "local" },
      /:2:3: worker: type must name a worker: there are "local", "aws-lambda"/
    ],
    ["a worker that is null", { worker: null }, /worker: type must name a worker/],
    ["a worker without type", { worker: { concurrency: 4 } }, /worker: type must name a worker/],
    ["a worker that is a list", { worker: [{ type: "local" }] }, /worker: type must name a worker/],
    [
      "nobody's type",
      { worker: { type: "aws-lamda" } },
      /:3:5: worker "aws-lamda": there is none of this type: did you mean "aws-lambda"\?/
    ],
    [
      "a type of another kind",
      { worker: { type: "s3" } },
      /worker "s3": that is the name of a storage: there are "local"/
    ],
    [
      "a check that is none",
      { ...local, stitcher: { type: "presence" }, outputCheck: { type: "local" } },
      /stitcher "presence": that is the name of an outputCheck: there are "ffmpeg"/
    ],
    ["an output check without type", { ...local, outputCheck: {} }, /outputCheck: type must name an outputCheck: /],
    ["a type of the prototype", { worker: { type: "__proto__" } }, /worker "__proto__": there is none of this type/],
    ["a type far too long", { worker: { type: "x".repeat(100_000) } }, /there is none of this type/],
    [
      "an option of the prototype",
      { worker: { type: "local", ["__proto__"]: { concurrency: 4 } } },
      /worker "local": __proto__ is not an option/
    ],
    ["a section of the prototype", { ...local, ["__proto__"]: { storage: 1 } }, /__proto__ is not an option/],
    ["a number for a text", { worker: { type: "local", cwd: 7 } }, /worker "local": cwd must be string/],
    ["a folder that is a file", { ...local, jobDir: "helios.config.json" }, /:5:3: .*: it is not a folder$/],
    ["a folder that is not there", { ...local, jobDir: "nowhere" }, /:5:3: .*nowhere/],
    [
      "options of what has none",
      { ...local, repository: { type: "memory", dir: "d" } },
      /repository "memory": dir is not an option: there are none/
    ],
    ["plugins that are no list", { ...local, plugins: "@acme/ssh" }, /plugins must be array/],
    ["a plugin that is a number", { ...local, plugins: [7] }, /plugins\[0\] must be the name of a package/],
    [
      "a plugin that is an object",
      { ...local, plugins: [{ kind: "worker", type: "w", apiVersion: 1 }] },
      /plugins\[0\] must be the name of a package/
    ]
  ] as const)("%s", ([, config, expected]) =>
    Effect.map(message(json(config)), (found) => assert.match(found, expected))
  )

  it.live("is a service that cannot be made, with its place", () =>
    Effect.gen(function* () {
      const error = yield* failure(json({ ...local, repository: { type: "sqlite", filename: "." } }))
      assert.match(messageOf(error), /^helios\.config\.json:6:5: repository "sqlite": it could not start: /)
      assert(error.reason._tag === "PluginError" && error.reason.reason._tag === "CannotStart")
    })
  )

  it.live("is a variable that a plugin reads itself, with the place of the option that names it", () =>
    Effect.gen(function* () {
      const worker = { type: "http", url: "https://farm.example/", auth: { bearer: "NO_SUCH" } }
      assert.strictEqual(
        yield* message(json({ worker })),
        'helios.config.json:6:7: worker "http": auth.bearer names the environment variable NO_SUCH, which is not set'
      )
    })
  )

  it.live("comes back from JSON as it was", () =>
    Effect.gen(function* () {
      const { ConfigFileError } = yield* Effect.promise(() => import("@helios-infra/config/ConfigFileError"))
      const codec = Schema.fromJsonString(Schema.toCodecJson(ConfigFileError))
      const error = yield* failure(json({ worker: { type: "local", cwd: 7 } }))
      const received = yield* Effect.flatMap(Schema.encodeEffect(codec)(error), Schema.decodeEffect(codec))
      assert.strictEqual(received.message, error.message)
    })
  )
})

describe("variables", () => {
  const given = (variables: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnvRecord(variables))

  it.live("are read where a text of JSON or YAML names them", () =>
    Effect.gen(function* () {
      const worker = { type: "http", url: "https://${HOST}/${PLACE}", name: "$${HOST} $HOST" }
      const context = yield* Effect.provide(
        Effect.map(services(json({ worker, job: { env: { A: "${HOST}" } } })), ({ context }) => context),
        given({ HOST: "workers.example", PLACE: "${HOST}" })
      )
      assert.strictEqual(Context.get(context, WorkerAdapter.WorkerAdapter).info.name, "${HOST} $HOST")
      assert.deepStrictEqual(Context.get(context, JobManager.RunDefaults).env, { A: "workers.example" })
    })
  )

  it.live("are named when they are not set, or not well formed, with line and column", () =>
    Effect.gen(function* () {
      const text = 'worker:\n  type: http\n  url: "${NO_SUCH}"\n  name: "${ }"\n'
      const found = yield* Effect.provide(message({ "helios.config.yaml": text }), given({}))
      assert.deepStrictEqual(found.split("\n"), [
        "helios.config.yaml:3:3: worker.url names the environment variable NO_SUCH, which is not set",
        'helios.config.yaml:4:3: worker.name has a "${" that begins nothing: write ${NAME} with the name of a variable, or $${ for ${ itself'
      ])
    })
  )

  it.live("never say which code is loaded", () =>
    Effect.gen(function* () {
      const variables = given({ TYPE: "local", PACKAGE: "@acme/ssh" })
      const type = yield* Effect.provide(message(json({ worker: { type: "${TYPE}" } })), variables)
      assert.match(type, /worker "\$\{TYPE\}": there is none of this type/)
      const name = yield* Effect.provide(message(json({ ...local, plugins: ["${PACKAGE}"] })), variables)
      assert.match(name, /plugin "\$\{PACKAGE\}": it is not the name of a package/)
    })
  )

  it.live("stay as they are in code, which can read them itself", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make()
      const config = { worker: { type: "http", url: "https://w.example", name: "${HOME}" } }
      const context = yield* Layer.build(ConfigServices.layerConfig(config, { folder }))
      assert.strictEqual(Context.get(context, WorkerAdapter.WorkerAdapter).info.name, "${HOME}")
    })
  )

  const secret = "pa%2Fss-my-secret"
  const withSecret = (config: unknown) => Effect.provide(failure(json(config)), given({ SECRET: secret }))

  const nowhere = (error: ConfigFileError.ConfigFileError) => {
    const shown = [error.message, String(error.stack), inspect(error, { depth: 5 }), JSON.stringify(error)]
    for (const text of shown) {
      assert.notInclude(text, "my-secret")
      assert.notInclude(text, "pa%2Fss")
    }
  }

  it.live.each([
    ["an address that is none", { worker: { type: "http", url: "${SECRET}" } }],
    ["a value that must be another one", { ...local, stitcher: { type: "ffmpeg", decode: "${SECRET}" } }],
    ["a time that is none", { worker: { type: "local", killGrace: "${SECRET}" } }],
    ["a number that is none", { worker: { type: "local", concurrency: "${SECRET}" } }],
    ["the name of a variable", { worker: { type: "http", url: "https://w.example", auth: { bearer: "${SECRET}" } } }],
    [
      "a database that cannot be reached",
      { ...local, repository: { type: "postgres", url: "postgres://me:${SECRET}@127.0.0.1:1/jobs" } }
    ],
    ["a folder that is not there", { ...local, jobDir: "nowhere/${SECRET}" }],
    ["an address of no database", { ...local, repository: { type: "postgres", url: "${SECRET}" } }],
    [
      "a file that is none",
      { ...local, repository: { type: "sqlite", filename: "helios.config.json/${SECRET}/jobs.db" } }
    ]
  ] as const)("never show what they hold: %s", ([, config]) => Effect.map(withSecret(config), nowhere))
})

describe("packages of others", () => {
  const code = `
    import * as Effect from "effect/Effect"
    import * as Layer from "effect/Layer"
    export const description = "not a plugin"
    export const worker = {
      kind: "worker",
      type: "ssh",
      apiVersion: 1,
      resolve: (options) => Effect.succeed(Layer.succeed({ key: "@helios-infra/core/WorkerAdapter" }, { info: { name: options.host } }))
    }
  `

  const plugin = (fields: string) =>
    `export const one = { kind: "worker", type: "ssh", apiVersion: 1, resolve() {}, ${fields} }`

  const withPackage = (source: string, config: object = { worker: { type: "ssh" } }, exports?: unknown) =>
    message({
      ...json({ plugins: ["@acme/ssh"], ...config }),
      ...Folder.packageFiles("@acme/ssh", source, exports)
    })

  it.live("are found from the folder of the configuration, by their name", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({
        "a/b/helios.config.yaml": 'plugins: ["@acme/ssh"]\nworker: { type: ssh, host: render.example }',
        // As packages are that are for import alone.
        ...Folder.packageFiles("@acme/ssh", code, { ".": { import: "./index.js" } })
      })
      yield* Folder.link(folder, "effect")
      const { file } = yield* ConfigServices.resolve({ folder: path.join(folder, "a/b") })
      assert.strictEqual(file, path.join(folder, "a/b/helios.config.yaml"))
    })
  )

  it.live("may pass their plugins on in a module, or by default", () =>
    Effect.gen(function* () {
      for (const index of [
        'export * as SshPlugin from "./plugin.js"',
        'export { worker as default } from "./plugin.js"'
      ]) {
        const folder = yield* Folder.make({
          ...json({ plugins: ["@acme/ssh"], worker: { type: "ssh", host: "h" } }),
          ...Folder.packageFiles("@acme/ssh", index),
          "node_modules/@acme/ssh/plugin.js": code
        })
        yield* Folder.link(folder, "effect")
        yield* ConfigServices.resolve({ folder })
      }
    })
  )

  it.live.each(
    [
      "../evil",
      "./plugin.js",
      "/tmp/plugin.js",
      "@acme/../../evil",
      "@acme/ssh/../../evil",
      "a/./b",
      "..",
      ".",
      "",
      " ",
      "file:///tmp/plugin.js",
      "data:text/javascript,process.exit()",
      "https://evil.example/plugin.js",
      "node:child_process",
      "child_process",
      "#internal",
      "a\\..\\b",
      "%2e%2e/evil",
      "@acme/ssh\0",
      "x".repeat(300)
    ].map((name) => [name] as const)
  )("are named by nothing but a package's name: %j", ([name]) =>
    Effect.gen(function* () {
      const found = yield* message({
        ...json({ ...local, plugins: [name] }),
        "evil/index.js": "throw new Error('it ran')",
        "plugin.js": "throw new Error('it ran')"
      })
      assert.match(found, /^helios\.config\.json:6:5: plugin .*: it is not the name of a package such as/s)
      assert.notInclude(found, "it ran")
    })
  )

  it.live("are not installed, with the place and what to do", () =>
    Effect.map(message(json({ ...local, plugins: ["@acme/ssh"] })), (found) =>
      assert.match(
        found,
        /^helios\.config\.json:6:5: plugin "@acme\/ssh": the package is not installed in .* or above it: npm install @acme\/ssh$/
      )
    )
  )

  it.live("of which an entry is named are not installed, with the package to install", () =>
    Effect.map(message(json({ ...local, plugins: ["@acme/ssh/plugin"] })), (found) =>
      assert.match(found, /plugin "@acme\/ssh\/plugin": the package is not installed in .*: npm install @acme\/ssh$/)
    )
  )

  it.live.each([
    [
      "throw when they are loaded",
      'throw new Error("no licence")',
      /plugin "@acme\/ssh": the package could not be loaded: no licence$/
    ],
    ["need what is not there", 'import "left-pad"', /the package could not be loaded: Cannot find package 'left-pad'/],
    ["are not JavaScript", "export const = 1", /the package could not be loaded: /],
    [
      "export no plugin",
      "export const a = 1; export default () => {}",
      /exports no plugin: what it exports is (a, default|default, a)$/
    ],
    ["export nothing", "", /exports no plugin: what it exports is nothing$/],
    [
      "are of another version",
      plugin("apiVersion: 2"),
      /of its worker "ssh", it has apiVersion 2 and this core takes 1: update/
    ],
    ["are of a kind that is none", plugin('kind: "mixer"'), /its mixer "ssh" is no plugin: make it with definePlugin/],
    ["cannot resolve", plugin("resolve: 1"), /its worker "ssh" is no plugin: make it with definePlugin/],
    [
      "claim a type of ours",
      plugin('type: "local"'),
      /worker "local": @helios-infra\/adapter-local and @acme\/ssh both claim this type: leave one of them out/
    ],
    [
      "claim a type twice",
      `${plugin("")}; export const two = { ...one }`,
      /worker "ssh": @acme\/ssh claims this type twice: /
    ]
  ] as const)("%s", ([, source, expected]) => Effect.map(withPackage(source), (found) => assert.match(found, expected)))

  it.live("hide their entry", () =>
    Effect.map(withPackage("", local, { "./other": "./index.js" }), (found) =>
      assert.match(found, /plugin "@acme\/ssh": the package could not be loaded: .*exports/)
    )
  )

  it.live("both claim a type", () =>
    Effect.gen(function* () {
      const found = yield* message({
        ...json({ ...local, plugins: ["@acme/ssh", "other-ssh"] }),
        ...Folder.packageFiles("@acme/ssh", plugin("")),
        ...Folder.packageFiles("other-ssh", plugin(""))
      })
      assert.match(found, /worker "ssh": @acme\/ssh and other-ssh both claim this type/)
    })
  )

  it.live("are named twice", () =>
    Effect.gen(function* () {
      const found = yield* message({
        ...json({ ...local, plugins: ["@acme/ssh", "@acme/ssh"] }),
        ...Folder.packageFiles("@acme/ssh", plugin(""))
      })
      assert.strictEqual(
        found,
        'helios.config.json:7:5: worker "ssh": @acme/ssh claims this type twice: name it once in "plugins", and not at all where it is a package of @helios-infra'
      )
    })
  )

  it.live("are known beside ours, where a type is unknown", () =>
    Effect.gen(function* () {
      const found = yield* withPackage(plugin(""), { worker: { type: "shh" } })
      assert.match(found, /did you mean "ssh"\? There are "local", "aws-lambda", "cloud-run", "http", "ssh"$/)
    })
  )
})

describe("plugins that a program has itself", () => {
  const made = (type: string) =>
    Plugin.definePlugin({
      kind: "worker",
      type,
      apiVersion: 1,
      config: Schema.Struct({ host: Schema.String }),
      layer: ({ host }) =>
        WorkerAdapter.layer({ info: { name: host, where: "remote", stop: "never" }, execute: () => Effect.never })
    })

  it.live("make their service", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make()
      const config = defineConfig({ plugins: [made("ssh")], worker: { type: "local" } })
      const worker = { type: "ssh", host: "render.example" }
      const context = yield* Layer.build(ConfigServices.layerConfig({ ...config, worker }, { folder }))
      assert.strictEqual(Context.get(context, WorkerAdapter.WorkerAdapter).info.name, "render.example")
    })
  )

  it.live("claim a type that another one has", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        ConfigServices.resolveConfig({ plugins: [made("ssh"), made("ssh")], worker: { type: "ssh", host: "h" } })
      )
      assert.strictEqual(
        error.message,
        'worker "ssh": plugins[0] and plugins[1] both claim this type: leave one of them out'
      )
    })
  )

  it.live("are of another version", () =>
    Effect.gen(function* () {
      const plugins = [{ ...made("ssh"), apiVersion: 2 }]
      const error = yield* Effect.flip(ConfigServices.resolveConfig({ plugins, worker: { type: "ssh", host: "h" } }))
      assert.match(error.message, /^worker "ssh": it has apiVersion 2 and this core takes 1/)
    })
  )
})

// ---
// what the tests above need
// ---

const spec = Effect.succeed({
  metadata: { totalFrames: 1, fps: 30 },
  chunks: [{ id: 0, startFrame: 0, frameCount: 1, outputFile: "part.mov", command: "true" }]
})

const attempt = (folder: string): WorkerAdapter.WorkerJob => ({
  id: "job/0/1.1",
  command: "true",
  meta: {
    _tag: "Chunk",
    jobId: "job",
    run: 1,
    attempt: 1,
    chunkId: 0,
    startFrame: 0,
    frameCount: 1,
    format: {},
    output: { _tag: "File", path: path.join(folder, "never-written") }
  }
})
