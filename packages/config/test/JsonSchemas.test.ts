// oxlint-disable no-template-curly-in-string -- configurations name variables like this
import { assert, describe, it } from "@effect/vitest"
import { ConfigServices } from "@helios-infra/config"
import { JobSpec } from "@helios-infra/core"
import { Ajv } from "ajv"
import { ConfigProvider, Effect } from "effect"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { files } from "../generate/Files.ts"
import * as Folder from "./Folder.ts"

const own = path.join(import.meta.dirname, "..")

const read = (name: string): object => {
  const schema: unknown = JSON.parse(readFileSync(path.join(own, "schemas", name), "utf8"))
  assert(typeof schema === "object" && schema !== null)
  return schema
}

const ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allowUnionTypes: true, allErrors: true })
const config = ajv.compile(read("helios.config.schema.json"))
const job = ajv.compile(read("job.schema.json"))

it("are those that the schemas of the packages give: else run pnpm --filter @helios-infra/config generate", async () => {
  for (const [name, text] of await files()) assert.strictEqual(readFileSync(path.join(own, name), "utf8"), text, name)
})

describe("every option of every plugin of ours", () => {
  const described = (schema: unknown, at: string): ReadonlyArray<string> => {
    if (typeof schema !== "object" || schema === null) return []
    return Object.entries(schema).flatMap(([key, inner]: [string, unknown]) =>
      key === "properties" && typeof inner === "object" && inner !== null
        ? Object.entries(inner).flatMap(([name, property]: [string, unknown]) => {
            const isType = name === "type"
            const hasText = typeof property === "object" && property !== null && "description" in property
            return [...(hasText || isType ? [] : [`${at}.${name}`]), ...described(property, `${at}.${name}`)]
          })
        : described(inner, at)
    )
  }

  it("has a description", () => {
    const { definitions, properties } = { definitions: {}, properties: {}, ...read("helios.config.schema.json") }
    for (const [name, schema] of Object.entries<unknown>(definitions)) {
      if (!name.startsWith("own")) assert.deepStrictEqual(described(schema, name), [])
    }
    assert.deepStrictEqual(described({ properties }, ""), [])
    assert.deepStrictEqual(described(read("job.schema.json"), ""), [])
  })
})

/** What is refused is refused by the editor and by the program, what is right by neither. */
const program = Effect.fnUntraced(
  function* (content: unknown) {
    const folder = yield* Folder.make({ "helios.config.json": JSON.stringify(content) })
    return yield* Effect.match(ConfigServices.resolve({ folder }), { onSuccess: () => true, onFailure: () => false })
  },
  Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({ HOST: "w.example", URL: "https://w.example" })))
)

const local = { worker: { type: "local" } }

describe("the schema of configurations", () => {
  it.live.each([
    ["a worker", local],
    ["its own address", { $schema: "./node_modules/@helios-infra/config/schemas/helios.config.schema.json", ...local }],
    [
      "everything",
      {
        worker: { type: "aws-lambda", functionName: "render", concurrency: 50, qualifier: "live" },
        mergeWorker: { type: "local", killGrace: "10 seconds", env: { A: "b" }, allowedEnvironment: ["LC_*"] },
        stitcher: { type: "ffmpeg", audioTracks: [{ path: "a.wav", volume: 0.5 }], reencode: { codec: "libx264" } },
        outputCheck: { type: "ffmpeg", decode: "full" },
        repository: { type: "postgres", url: "postgres://db/jobs", patience: 5000 },
        storage: { type: "gcs", bucket: "renders", partBytes: 262144 },
        jobDir: ".",
        job: { concurrency: 8, retries: 0, retryDelay: "500 millis", artifacts: { access: "urls", keep: true } }
      }
    ],
    ["variables", { worker: { type: "http", url: "${URL}", headers: { host: "${HOST}" } } }],
    ["secrets by variables", { worker: { type: "http", url: "https://w", auth: { bearer: "TOKEN" } } }],
    ["what has no options", { ...local, repository: { type: "memory" }, outputCheck: { type: "presence" } }]
  ] as const)("lets through: %s", ([, content]) =>
    Effect.gen(function* () {
      assert.isTrue(config(content), ajv.errorsText(config.errors))
      assert.isTrue(yield* program(content))
    })
  )

  it.live.each([
    ["no worker", {}],
    ["no object", [local]],
    ["a section that there is not", { ...local, stitch: { type: "ffmpeg" } }],
    ["a worker without type", { worker: { concurrency: 4 } }],
    ["a worker that is a text", { worker: "local" }],
    ["nobody's type", { worker: { type: "aws-lamda", functionName: "f" } }],
    ["a type of another kind", { worker: { type: "s3", bucket: "b" } }],
    ["an option that there is not", { worker: { type: "local", concurency: 4 } }],
    ["an option of another plugin", { worker: { type: "local", functionName: "f" } }],
    ["an option that is missing", { worker: { type: "aws-lambda" } }],
    ["a number that is a text", { worker: { type: "local", concurrency: "4" } }],
    ["a number too small", { worker: { type: "local", concurrency: 0 } }],
    ["a number with a fraction", { worker: { type: "local", concurrency: 1.5 } }],
    ["a text that is empty", { worker: { type: "aws-lambda", functionName: "" } }],
    ["an address that is none", { worker: { type: "http", url: "ftp://w" } }],
    ["a time that is none", { worker: { type: "local", killGrace: "a while" } }],
    ["a time before now", { worker: { type: "local", killGrace: -1 } }],
    ["none of three", { ...local, stitcher: { type: "ffmpeg", decode: "some" } }],
    ["deep inside", { ...local, stitcher: { type: "ffmpeg", audioTracks: [{ path: "a", loud: 1 }] } }],
    ["options where there are none", { ...local, repository: { type: "memory", dir: "d" } }],
    ["how jobs are run", { ...local, job: { retrys: 1 } }],
    ["a plugin by its path", { ...local, plugins: ["../evil"] }],
    ["a plugin by its address", { ...local, plugins: ["https://evil.example/a.js"] }]
  ] as const)("does not let through: %s", ([, content]) =>
    Effect.gen(function* () {
      assert.isFalse(config(content))
      assert.isFalse(yield* program(content))
    })
  )

  it("knows that packages of others bring types and options of their own, and ours stay as they are", () => {
    const plugins = ["@acme/helios-ssh", "helios-ssh/plugin"]
    assert.isTrue(config({ plugins, worker: { type: "ssh", host: "h" } }), ajv.errorsText(config.errors))
    assert.isFalse(config({ plugins, worker: { type: "local", host: "h" } }))
    assert.isFalse(config({ plugins, worker: { host: "h" } }))
  })
})

const chunk = { id: 0, startFrame: 0, frameCount: 30, outputFile: "part_0.mov", command: "render -o part_0.mov" }
const spec = { metadata: { totalFrames: 30, fps: 30, width: 1280, height: 720, duration: 1 }, chunks: [chunk] }

describe("the schema of job files", () => {
  it.effect.each([
    ["what Helios writes", { id: "film", ...spec, mergeCommand: "helios merge out.mp4 part_0.mov" }],
    ["a rate in words", { ...spec, metadata: { totalFrames: 30, fps: "30000/1001" } }],
    [
      "keys of others, at every level",
      { ...spec, a: 1, metadata: { ...spec.metadata, b: 2 }, chunks: [{ ...chunk, c: 3 }] }
    ],
    ["assets", { ...spec, assets: ["comp.html", "fonts"] }]
  ] as const)("lets through: %s", ([, content]) =>
    Effect.gen(function* () {
      assert.isTrue(job(content), ajv.errorsText(job.errors))
      yield* JobSpec.decode(content)
    })
  )

  it.effect.each([
    ["nothing", {}],
    ["no chunk", { ...spec, chunks: [] }],
    ["no frame", { ...spec, metadata: { totalFrames: 0, fps: 30 } }],
    ["half a frame", { ...spec, chunks: [{ ...chunk, frameCount: 1.5 }] }],
    ["a number that is a text", { ...spec, chunks: [{ ...chunk, id: "0" }] }],
    ["a number that JSON has not", { ...spec, chunks: [{ ...chunk, id: "NaN" }] }],
    ["a rate of nothing", { ...spec, metadata: { totalFrames: 30, fps: 0 } }],
    ["an empty command", { ...spec, chunks: [{ ...chunk, command: " " }] }],
    ["a path from the root", { ...spec, chunks: [{ ...chunk, outputFile: "/etc/passwd" }] }],
    ["an empty name", { ...spec, id: "" }],
    ["a duration before now", { ...spec, metadata: { ...spec.metadata, duration: -1 } }]
  ] as const)("does not let through: %s", ([, content]) =>
    Effect.gen(function* () {
      assert.isFalse(job(content))
      yield* Effect.flip(JobSpec.decode(content))
    })
  )
})
