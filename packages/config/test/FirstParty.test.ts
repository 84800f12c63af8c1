import { assert, describe, it } from "@effect/vitest"
import { FirstParty } from "@helios-infra/config"
import { Plugin } from "@helios-infra/core"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { pluginsOf } from "../src/internal/pluginsOf.ts"
import * as Folder from "./Folder.ts"
import * as Program from "./Program.ts"

const sources = Plugin.kinds.flatMap((kind) =>
  Object.entries<FirstParty.Source>(FirstParty.sources[kind]).map(([type, source]) => ({ kind, type, source }))
)

describe("the plugins of @helios-infra", () => {
  it.each(sources.map(({ kind, source, type }) => [kind, type, source] as const))(
    "has %s %s, where it says",
    async (kind, type, source) => {
      assert.isTrue(source.specifier.startsWith(`${source.package}/`))
      const plugin = pluginsOf(await source.load()).find((one) => one.kind === kind && one.type === type)
      assert.strictEqual(plugin?.apiVersion, Plugin.apiVersion)
    }
  )

  it("are all that the packages export", async () => {
    const modules = new Set(sources.map(({ source }) => source.load))
    const exported = await Promise.all(Array.from(modules, async (load) => pluginsOf(await load())))
    const named = ({ kind, type }: { readonly kind: string; readonly type: string }) => `${kind} ${type}`
    assert.sameMembers([...new Set(exported.flat().map(named))], sources.map(named))
    const packages = await fs.readdir(path.join(import.meta.dirname, "../.."))
    const folders = packages.map((name) => path.join(import.meta.dirname, "../..", name, "src"))
    const files = await Promise.all(folders.map((folder) => fs.readdir(folder).catch(() => [])))
    const plugins = files.flat().filter((name) => /^\w+Plugin\.ts$/.test(name))
    assert.sameMembers(
      plugins.map((name) => path.basename(name, ".ts")),
      [...new Set(sources.map(({ source }) => path.basename(source.specifier)))]
    )
  })
})

/** What of a URL says whose module it is. */
const heavy = [
  "/adapter-aws/",
  "/adapter-cloudrun/",
  "/adapter-http/",
  "/repository-sql/",
  "/stitcher-ffmpeg/",
  "/storage-gcs/",
  "/storage-s3/",
  "/@aws-sdk/",
  "/@google-cloud/",
  "/@effect/sql-pg/",
  "/google-auth-library/",
  "/yaml/",
  "/momoa/",
  "/import-meta-resolve/"
]

const loaded = (modules: ReadonlyArray<string>) => heavy.filter((part) => modules.some((url) => url.includes(part)))

const worker = { type: "local" }
const file = (config: object): Folder.Files => ({ "helios.config.json": JSON.stringify(config) })

describe("a program that uses a configuration", () => {
  it.live.each([
    ["nothing but what runs here", { worker }, ["/momoa/"]],
    [
      "the AWS adapter alone",
      { worker: { type: "aws-lambda", functionName: "f", region: "r" } },
      ["/adapter-aws/", "/@aws-sdk/", "/momoa/"]
    ],
    [
      "the S3 storage alone",
      { worker, storage: { type: "s3", bucket: "b", region: "r" } },
      ["/storage-s3/", "/@aws-sdk/", "/momoa/"]
    ],
    [
      "SQLite",
      { worker, repository: { type: "sqlite", filename: "jobs.db" } },
      ["/repository-sql/", "/@effect/sql-pg/", "/momoa/"]
    ],
    ["ffmpeg", { worker, stitcher: { type: "ffmpeg" } }, ["/stitcher-ffmpeg/", "/momoa/"]]
  ] as const)("loads what it names: %s", ([, config, expected]) =>
    Effect.gen(function* () {
      const { message, modules } = yield* Program.resolve(yield* Folder.make(file(config)))
      assert.isNull(message)
      assert.isAbove(modules.length, 100, "modules were seen")
      assert.sameMembers(loaded(modules), [...expected])
    })
  )

  it.live("loads one language, and none for code", () =>
    Effect.gen(function* () {
      const yaml = yield* Folder.make({ "helios.config.yaml": "worker: { type: local }" })
      assert.deepStrictEqual(loaded((yield* Program.resolve(yaml)).modules), ["/yaml/"])
      const code = yield* Folder.make({ "helios.config.mjs": 'export default { worker: { type: "local" } }' })
      assert.deepStrictEqual(loaded((yield* Program.resolve(code)).modules), [])
    })
  )

  it.live("loads no plugin of a configuration that is wrong before", () =>
    Effect.gen(function* () {
      const wrong = { worker: { type: "aws-lambda", functionName: "f" }, job: { retries: -1 } }
      const { message, modules } = yield* Program.resolve(yield* Folder.make(file(wrong)))
      assert.match(String(message), /job\.retries/)
      assert.deepStrictEqual(loaded(modules), ["/momoa/"])
    })
  )
})

describe("a package of ours that is not installed", () => {
  /** This package beside what it needs, and no adapter but the local one. */
  const alone = Effect.gen(function* () {
    const folder = yield* Folder.make()
    const own = path.join(import.meta.dirname, "..")
    yield* Effect.promise(async () => {
      await fs.cp(path.join(own, "src"), path.join(folder, "config/src"), { recursive: true })
      await fs.cp(path.join(own, "package.json"), path.join(folder, "config/package.json"))
      await fs.cp(path.join(own, "test/fixtures/resolve.ts"), path.join(folder, "resolve.ts"))
      await fs.mkdir(path.join(folder, "node_modules/@helios-infra"), { recursive: true })
      await fs.symlink(path.join(folder, "config"), path.join(folder, "node_modules/@helios-infra/config"))
    })
    yield* Folder.link(folder, "effect", "yaml", "import-meta-resolve", "@humanwhocodes/momoa")
    yield* Folder.link(folder, "@helios-infra/core", "@helios-infra/adapter-local")
    return folder
  })

  const resolve = (folder: string, config: object) =>
    Effect.andThen(
      Folder.write(folder, { "package.json": '{ "type": "module" }', ...file(config) }),
      Program.resolve(folder, { program: path.join(folder, "resolve.ts") })
    )

  it.live("is named with what installs it, and keeps nobody else from working", () =>
    Effect.gen(function* () {
      const folder = yield* alone
      assert.isNull((yield* resolve(folder, { worker })).message)
      const at = `${path.join(folder, "helios.config.json")}:1:12`
      const aws = yield* resolve(folder, { worker: { type: "aws-lambda", functionName: "render" } })
      assert.strictEqual(
        aws.message,
        `${at}: worker "aws-lambda": its package is not installed: npm install @helios-infra/adapter-aws`
      )
      const http = yield* resolve(folder, { worker: { type: "cloud-run", serviceUrl: "https://s" } })
      assert.match(String(http.message), /npm install @helios-infra\/adapter-cloudrun$/)
    })
  )

  it.live("is found from the folder of the configuration, for a program that is installed elsewhere", () =>
    Effect.gen(function* () {
      const folder = yield* alone
      const code = `
        import * as Effect from "effect/Effect"
        import * as Layer from "effect/Layer"
        const resolve = () => Effect.succeed(Layer.empty)
        export const worker = { kind: "worker", type: "aws-lambda", apiVersion: 1, resolve }
      `
      const project = yield* Folder.make({
        ...file({ worker: { type: "aws-lambda" } }),
        ...Folder.packageFiles("@helios-infra/adapter-aws", code, { "./AwsPlugin": "./index.js" })
      })
      yield* Folder.link(project, "effect")
      const { message } = yield* Program.resolve(project, { program: path.join(folder, "resolve.ts") })
      assert.isNull(message)
    })
  )

  it.live("is there, and fails when it is loaded", () =>
    Effect.gen(function* () {
      const folder = yield* alone
      yield* Folder.write(
        folder,
        Folder.packageFiles("@helios-infra/adapter-aws", 'import "@aws-sdk/client-lambda"', {
          "./AwsPlugin": "./index.js"
        })
      )
      const broken = yield* resolve(folder, { worker: { type: "aws-lambda", functionName: "render" } })
      assert.match(
        String(broken.message),
        /worker "aws-lambda": its package @helios-infra\/adapter-aws could not be loaded: Cannot find package '@aws-sdk\/client-lambda'/
      )
      yield* Folder.write(folder, Folder.packageFiles("@helios-infra/adapter-aws", "", { "./AwsPlugin": "./index.js" }))
      const empty = yield* resolve(folder, { worker: { type: "aws-lambda", functionName: "render" } })
      assert.match(String(empty.message), /could not be loaded: it has no worker of this type: update it$/)
      const older = 'export const worker = { kind: "worker", type: "aws-lambda", apiVersion: 0, resolve() {} }'
      yield* Folder.write(
        folder,
        Folder.packageFiles("@helios-infra/adapter-aws", older, { "./AwsPlugin": "./index.js" })
      )
      const old = yield* resolve(folder, { worker: { type: "aws-lambda", functionName: "render" } })
      assert.match(String(old.message), /worker "aws-lambda": it has apiVersion 0 and this core takes 1/)
    })
  )
})
