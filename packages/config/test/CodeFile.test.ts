// oxlint-disable no-template-curly-in-string -- configurations name variables like this
import { assert, describe, it } from "@effect/vitest"
import { ConfigFile } from "@helios-infra/config"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as path from "node:path"
import * as Folder from "./Folder.ts"
import * as Program from "./Program.ts"

/** What a program of its own says of a configuration in code, without the folder. */
const outcome = Effect.fnUntraced(function* (files: Folder.Files, link: ReadonlyArray<string> = []) {
  const folder = yield* Folder.make({ "package.json": '{ "type": "module" }', ...files })
  yield* Folder.link(folder, ...link)
  const { message, reason } = yield* Program.resolve(folder)
  return { message: message?.replaceAll(`${folder}${path.sep}`, "") ?? null, reason }
})

const plugin = `
  import * as Plugin from "@helios-infra/core/Plugin"
  import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
  import * as Effect from "effect/Effect"
  import * as Schema from "effect/Schema"

  export const worker = Plugin.definePlugin({
    kind: "worker",
    type: "ssh",
    apiVersion: 1,
    config: Schema.Struct({ host: Schema.String }),
    layer: ({ host }) =>
      WorkerAdapter.layer({ info: { name: host, where: "remote", stop: "never" }, execute: () => Effect.never })
  })
`

const libraries = ["effect", "@helios-infra/core"]

describe("a configuration in TypeScript", () => {
  it.live("is run by Node as it is, with types and with what it imports", () =>
    Effect.gen(function* () {
      const { message } = yield* outcome({
        "helios.config.ts":
          'import { worker } from "./worker.ts"\nexport default { worker } satisfies { worker: object }',
        "worker.ts": 'export const worker: { readonly type: string } = { type: "local" }'
      })
      assert.isNull(message)
    })
  )

  it.live("takes plugins that it imports, and says what is wrong with their options", () =>
    Effect.gen(function* () {
      const config = (options: string) => `
        import { worker } from "./SshPlugin.ts"
        export default { plugins: [worker], worker: { type: "ssh", ${options} } }
      `
      assert.isNull(
        (yield* outcome({ "SshPlugin.ts": plugin, "helios.config.ts": config('host: "h"') }, libraries)).message
      )
      const { message } = yield* outcome({ "SshPlugin.ts": plugin, "helios.config.ts": config('hst: "h"') }, libraries)
      assert.include(String(message), 'helios.config.ts: worker "ssh": host is missing')
      assert.include(String(message), 'helios.config.ts: worker "ssh": hst is not an option: did you mean "host"?')
    })
  )

  it.live("reads the environment itself: what is in it is not looked at again", () =>
    Effect.gen(function* () {
      const { message } = yield* outcome({
        "helios.config.ts": 'export default { worker: { type: "local", env: { A: "${NO_SUCH_VARIABLE}" } } }'
      })
      assert.isNull(message)
    })
  )

  it.live("leaves out what is undefined, as code does that computes its options", () =>
    Effect.gen(function* () {
      const { message } = yield* outcome({
        "helios.config.ts": `export default {
          plugins: undefined,
          worker: { type: "http", url: "https://farm.example/", concurrency: undefined, auth: { bearer: undefined } },
          stitcher: undefined,
          jobDir: undefined,
          job: { retries: undefined, env: undefined }
        }`
      })
      assert.isNull(message)
    })
  )

  it.live("may hold itself, which nothing can be made of", () =>
    Effect.gen(function* () {
      const { message } = yield* outcome({
        "helios.config.ts": 'const a: any = { worker: { type: "local" } }; a.worker.cwd = a; export default a'
      })
      assert.match(String(message), /^helios\.config\.ts: worker "local": cwd must be string$/)
    })
  )

  it.live.each([
    ["throws", 'throw new Error("no licence")', /^helios\.config\.ts:1:\d+: it failed when it was run: no licence$/],
    ["throws what is no error", "throw null", /^helios\.config\.ts: it failed when it was run: it threw null$/],
    ["does not parse", "\n\nexport default {{", /^helios\.config\.ts(:\d+:\d+)?: it failed when it was run: /],
    [
      "is not TypeScript that Node runs",
      "enum A { B }\nexport default {}",
      /^helios\.config\.ts(:\d+:\d+)?: it failed when it was run: .*enum/
    ],
    ["imports what is not there", 'import "./gone.ts"', /it failed when it was run: Cannot find module .*gone\.ts/],
    [
      "exports nothing",
      "const a = 1",
      /^helios\.config\.ts: it has no default export: write export default defineConfig/
    ],
    ["exports by name", "export const config = {}", /it has no default export/],
    ["is empty", "", /it has no default export/],
    ["exports a number", "export default 7", /it must hold a configuration: an object/],
    [
      "exports a promise",
      "export default Promise.resolve({})",
      /^helios\.config\.ts: its default export is a promise: write await before it$/
    ],
    ["exports a function", "export default () => ({})", /it must hold a configuration/]
  ] as const)("%s", ([, code, expected]) =>
    Effect.map(outcome({ "helios.config.ts": code }), ({ message }) => assert.match(String(message), expected))
  )

  it.live("imports itself in a circle", () =>
    Effect.gen(function* () {
      const { message } = yield* outcome({
        "helios.config.ts": 'import { worker } from "./a.ts"\nexport default { worker }',
        "a.ts": 'import config from "./helios.config.ts"\nexport const worker = config.worker'
      })
      assert.match(String(message), /it failed when it was run: Cannot access '\w+' before initialization$/)
    })
  )

  it.effect("is waited for, but not for ever", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({
        "helios.config.mjs": "globalThis.heliosConfigBegins(); await new Promise(() => {}); export default {}"
      })
      const begins = new Promise<void>((resolve) => Reflect.set(globalThis, "heliosConfigBegins", resolve))
      const reading = yield* Effect.forkChild(Effect.flip(ConfigFile.read(path.join(folder, "helios.config.mjs"))))
      yield* Effect.promise(() => begins)
      yield* TestClock.adjust(ConfigFile.maxWait)
      assert.match((yield* Fiber.join(reading)).message, /it was not done after 30 seconds: does it wait for itself\?$/)
    })
  )

  it.live("is not run where it lies beside another one, or is a folder", () =>
    Effect.gen(function* () {
      const throwing = { "helios.config.ts": 'throw new Error("it ran")' }
      const beside = yield* outcome({ ...throwing, "helios.config.json": "{}" })
      assert.match(String(beside.message), /2 configurations side by side/)
      const inside = yield* outcome({ "helios.config.ts/index.ts": 'throw new Error("it ran")' })
      assert.match(String(inside.message), /it is a folder/)
    })
  )
})

describe("a configuration that is data", () => {
  it.live("uses a plugin of a package that it names", () =>
    Effect.gen(function* () {
      const yaml = 'plugins: ["@acme/ssh"]\nworker:\n  type: ssh\n  host: h\n'
      const files = { ...Folder.packageFiles("@acme/ssh", plugin), "helios.config.yaml": yaml }
      assert.isNull((yield* outcome(files, libraries)).message)
      const wrong = yield* outcome({ ...files, "helios.config.yaml": yaml.replace("host", "hst") }, libraries)
      assert.match(
        String(wrong.message),
        /^helios\.config\.yaml:4:3: worker "ssh": hst is not an option: did you mean "host"\?/m
      )
    })
  )

  it.live("runs nothing else", () =>
    Effect.gen(function* () {
      const throwing = "globalThis.process.exit(7)"
      const { message } = yield* outcome({
        "helios.config.json": JSON.stringify({ $schema: "./evil.js", plugins: [], worker: { type: "./evil.js" } }),
        "evil.js": throwing,
        "index.js": throwing,
        "node_modules/evil/index.js": throwing
      })
      assert.match(String(message), /worker "\.\/evil\.js": there is none of this type/)
    })
  )
})
