import { assert, describe, it } from "@effect/vitest"
import { ConfigFile, type ConfigFileError } from "@helios-infra/config"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Folder from "./Folder.ts"

const config = '{ "worker": { "type": "local" } }'

describe("looking for a configuration", () => {
  it.live("begins in the folder and goes upward: the nearest one counts", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({
        "helios.config.json": config,
        "a/helios.config.yaml": "worker: { type: local }",
        "a/b/c/.keep": "",
        "d/e/.keep": ""
      })
      assert.strictEqual(yield* ConfigFile.find(path.join(folder, "a/b/c")), path.join(folder, "a/helios.config.yaml"))
      assert.strictEqual(yield* ConfigFile.find(path.join(folder, "d/e")), path.join(folder, "helios.config.json"))
    })
  )

  it.live.each(ConfigFile.names.map((name) => [name] as const))("knows %s", ([name]) =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({ [name]: "" })
      assert.strictEqual(yield* ConfigFile.find(folder), path.join(folder, name))
    })
  )

  it.live("says where it looked when there is none", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({ "helios.config.toml": "", "config.helios.json": config })
      const error = yield* Effect.flip(ConfigFile.find(folder))
      assert.strictEqual(error.reason._tag, "NotFound")
      assert.include(
        error.message,
        `no configuration in ${folder} or a folder above it: write one of helios.config.ts,`
      )
    })
  )

  it.live("does not choose between two side by side", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({ "helios.config.json": config, "helios.config.ts": "", "a/.keep": "" })
      const error = yield* Effect.flip(ConfigFile.find(path.join(folder, "a")))
      const two = "2 configurations side by side, helios.config.ts, helios.config.json"
      assert.strictEqual(error.message, `${folder}: there are ${two}: keep one, or say which`)
    })
  )

  it.live("goes on where a folder is not there, or cannot be listed", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({ "helios.config.json": config, "file.txt": "" })
      for (const name of ["no/such/folder", "file.txt"]) {
        assert.strictEqual(yield* ConfigFile.find(path.join(folder, name)), path.join(folder, "helios.config.json"))
      }
    })
  )
})

const read = Effect.fnUntraced(function* (name: string, content: string | Uint8Array) {
  const folder = yield* Folder.make({ [name]: content })
  return yield* ConfigFile.read(path.join(folder, name))
})

/** Its message without the folder, which is new each time. */
const messageOf = ({ file = "", message }: ConfigFileError.ConfigFileError) =>
  message.replaceAll(path.dirname(file), "").replaceAll(`${path.sep}helios`, "helios")

const failure = (name: string, content: string | Uint8Array) => Effect.map(Effect.flip(read(name, content)), messageOf)

const keysOf = (value: unknown) => (typeof value === "object" && value !== null ? Object.keys(value) : [])

describe("JSON", () => {
  it.live("is read with the places of what it says", () =>
    Effect.gen(function* () {
      const { positionOf, value } = yield* read(
        "helios.config.json",
        '{\r\n  "worker": {\r\n    "type": ["a", 1]\r\n  }\r\n}'
      )
      assert.deepStrictEqual(value, { worker: { type: ["a", 1] } })
      assert.deepStrictEqual(positionOf(["worker", "type", 1]), { line: 3, column: 19 })
      assert.deepStrictEqual(positionOf(["worker", "type"]), { line: 3, column: 5 })
      assert.deepStrictEqual(positionOf(["worker", "gone", "further"]), { line: 2, column: 3 })
      assert.deepStrictEqual(positionOf(["worker", "type", 9]), { line: 3, column: 5 })
      assert.deepStrictEqual(positionOf([]), { line: 1, column: 1 })
    })
  )

  it.live("may begin with a byte order mark", () =>
    Effect.gen(function* () {
      const { positionOf, value } = yield* read("helios.config.json", `\uFEFF${config}`)
      assert.deepStrictEqual(value, { worker: { type: "local" } })
      assert.deepStrictEqual(positionOf(["worker"]), { line: 1, column: 3 })
    })
  )

  it.live.each([
    ["a comma at the end", '{\n  "worker": 1,\n}', /^helios\.config\.json:3:1: it is not JSON: /],
    ["a comment", '{\n  // ours\n  "worker": 1 }', /^helios\.config\.json:2:3: it is not JSON: /],
    ["single quotes", "{ 'worker': 1 }", /^helios\.config\.json:1:3: it is not JSON: /],
    ["YAML", "worker:\n  type: local", /^helios\.config\.json:1:1: it is not JSON: /],
    ["an open brace", '{ "worker": {\n', /^helios\.config\.json:\d:\d+: it is not JSON: /],
    ["more after the end", '{} "more"', /^helios\.config\.json:1:4: it is not JSON: /],
    ["a key twice", '{ "worker": {\n "a": 1, "a": 2 } }', /^helios\.config\.json:2:10: .*the key "a" is there twice$/],
    ["a number that JSON has not", '{ "worker": NaN }', /^helios\.config\.json:1:13: it is not JSON: /]
  ] as const)("is refused with line and column: %s", ([, text, message]) =>
    Effect.map(failure("helios.config.json", text), (found) => assert.match(found, message))
  )

  it.live("is refused where it is nested without end", () =>
    Effect.map(failure("helios.config.json", "[".repeat(500_000)), (found) =>
      assert.match(found, /it is not JSON: (it is nested too deeply|.*Unexpected end)/)
    )
  )

  it.live("does not show what stands where it breaks off", () =>
    Effect.map(failure("helios.config.json", '{ "url": "postgres://me:my-secret@host/jobs }'), (found) =>
      assert.notInclude(found, "my-secret")
    )
  )

  it.live("has a property of each name, that of the prototype too", () =>
    Effect.gen(function* () {
      const { value } = yield* read("helios.config.json", '{ "__proto__": { "worker": 1 }, "constructor": 2 }')
      assert.deepStrictEqual(keysOf(value), ["__proto__", "constructor"])
      assert.strictEqual(Object.getPrototypeOf(value), Object.prototype)
      assert.isUndefined(Reflect.get(Object.prototype, "worker"))
    })
  )
})

describe("YAML", () => {
  it.live("is read with the places of what it says", () =>
    Effect.gen(function* () {
      const text = "# ours\r\nworker:\r\n  type: local\r\n  zones:\r\n    - a\r\n    - b: 1\r\n"
      for (const name of ["helios.config.yaml", "helios.config.yml"]) {
        const { positionOf, value } = yield* read(name, text)
        assert.deepStrictEqual(value, { worker: { type: "local", zones: ["a", { b: 1 }] } })
        assert.deepStrictEqual(positionOf(["worker", "type"]), { line: 3, column: 3 })
        assert.deepStrictEqual(positionOf(["worker", "zones", 1, "b"]), { line: 6, column: 7 })
        assert.deepStrictEqual(positionOf(["worker", "gone"]), { line: 2, column: 1 })
      }
    })
  )

  it.live("may share parts", () =>
    Effect.gen(function* () {
      const { value } = yield* read("helios.config.yaml", "worker: &w { type: local }\nmergeWorker: *w\n")
      assert.deepStrictEqual(value, { worker: { type: "local" }, mergeWorker: { type: "local" } })
    })
  )

  it.live.each([
    ["a tab", "worker:\n\ttype: local", /^helios\.config\.yaml:2:1: it is not YAML: /],
    ["a key twice", "worker: 1\nworker: 2", /^helios\.config\.yaml:2:1: it is not YAML: .*unique/],
    ["an open quote", 'worker: "local\n', /^helios\.config\.yaml:\d:\d+: it is not YAML: /],
    ["an open bracket", "worker: {\n", /^helios\.config\.yaml:\d:\d+: it is not YAML: /],
    [
      "two documents",
      "a: 1\n---\nb: 2",
      /^helios\.config\.yaml:2:1: it is not YAML: there is more than one document in it$/
    ],
    ["a tag that runs code elsewhere", "worker: !!js/function 'f'", /^helios\.config\.yaml:1:9: it is not YAML: .*tag/],
    ["an alias of nothing", "worker: *w", /^helios\.config\.yaml.*: it is not YAML: /],
    ["an alias inside of itself", "worker: &w [*w]", /^helios\.config\.yaml.*: it is not YAML: /]
  ] as const)("is refused with line and column: %s", ([, text, message]) =>
    Effect.map(failure("helios.config.yaml", text), (found) => assert.match(found, message))
  )

  it.live("is refused where aliases stand for more and more aliases", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 30 }, (_, n) => `a${n}: &a${n} [${`*a${n - 1},`.repeat(9)}]`)
      const found = yield* failure("helios.config.yaml", ["a: &a-1 [x]", ...lines].join("\n"))
      assert.match(found, /it is not YAML: .*alias/i)
    })
  )

  it.live("is refused where it is nested without end", () =>
    Effect.map(failure("helios.config.yaml", "[".repeat(20_000)), (found) => assert.match(found, /it is not YAML: /))
  )

  it.live("does not show what stands where it breaks off", () =>
    Effect.map(failure("helios.config.yaml", 'url: "postgres://me:my-secret@host/jobs'), (found) =>
      assert.notInclude(found, "my-secret")
    )
  )

  it.live("has a property of each name, that of the prototype too", () =>
    Effect.gen(function* () {
      const { value } = yield* read("helios.config.yaml", "__proto__:\n  worker: 1\n")
      assert.deepStrictEqual(keysOf(value), ["__proto__"])
      assert.strictEqual(Object.getPrototypeOf(value), Object.prototype)
    })
  )
})

describe("a file that holds no configuration", () => {
  it.live.each([
    ["helios.config.json", ""],
    ["helios.config.json", " \r\n"],
    ["helios.config.json", "\uFEFF"],
    ["helios.config.yaml", ""],
    ["helios.config.yaml", "\n\n"]
  ] as const)("is empty: %s %j", ([name, text]) =>
    Effect.map(failure(name, text), (found) => assert.match(found, /^helios\.config\.\w+: it is empty: name at least/))
  )

  it.live("is larger than any configuration", () =>
    Effect.gen(function* () {
      const large = `${" ".repeat(ConfigFile.maxBytes)}{}`
      const found = yield* failure("helios.config.json", large)
      assert.strictEqual(
        found,
        "helios.config.json: it cannot be read: it has 1048578 bytes, and a configuration at most 1048576"
      )
    })
  )

  it.live("is not UTF-8", () =>
    Effect.map(failure("helios.config.yaml", Buffer.from("\uFEFFworker: 1", "utf16le")), (found) =>
      assert.match(found, /it is not UTF-8 text/)
    )
  )

  it.live("is a folder", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({ "helios.config.ts/index.ts": "export default {}" })
      const file = yield* ConfigFile.find(folder)
      assert.match((yield* Effect.flip(ConfigFile.read(file))).message, /it is a folder: name the file$/)
      assert.match((yield* Effect.flip(ConfigFile.read(folder))).message, /it is a folder: name the file$/)
    })
  )

  it.live("is not there, or leads nowhere", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make()
      const file = path.join(folder, "helios.config.json")
      assert.match((yield* Effect.flip(ConfigFile.read(file))).message, /helios\.config\.json: there is no such file$/)
      yield* Effect.promise(() => fs.symlink(file, file))
      assert.match((yield* Effect.flip(ConfigFile.read(file))).message, /it cannot be read: ELOOP/)
    })
  )

  it.live("has another ending", () =>
    Effect.map(failure("helios.config.toml", "worker = 1"), (found) =>
      assert.match(found, /its name must end in one of \.ts, \.mts, \.js, \.mjs, \.json, \.yaml, \.yml$/)
    )
  )
})
