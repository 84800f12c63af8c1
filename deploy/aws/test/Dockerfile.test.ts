/** Images cannot be built here: this reads the Dockerfile as Docker's builder would, and holds it to the repository. */
import { assert, describe, it } from "@effect/vitest"
import { DockerfileParser, type From } from "dockerfile-ast"
import { validate } from "dockerfile-utils"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../../..")
const read = (file: string): string => readFileSync(join(root, file), "utf8")
const text = read("deploy/aws/Dockerfile")

const complaints = (dockerfile: string): ReadonlyArray<string> =>
  validate(dockerfile).map(
    ({ message, range }) => `${range.start.line + 1}: ${typeof message === "string" ? message : message.value}`
  )

/** Images that may be another one tomorrow: no tag, or one that moves. `ARG`s stand for their defaults. */
const unpinned = (dockerfile: string): ReadonlyArray<string> => {
  const parsed = DockerfileParser.parse(dockerfile)
  const stages = new Set(parsed.getFROMs().map((from) => from.getBuildStage()))
  const defaults = new Map(
    parsed.getARGs().flatMap((arg) => {
      const property = arg.getProperty()
      return property === null ? [] : [[property.getName(), property.getValue() ?? ""] as const]
    })
  )
  const imageOf = (from: From): string =>
    (from.getImage() ?? "").replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => defaults.get(name) ?? whole)
  return parsed
    .getFROMs()
    .map(imageOf)
    .filter((image) => !stages.has(image) && !/:\d+\.\d+\.\d+[\w.-]*$|@sha256:[0-9a-f]{64}$/.test(image))
}

describe("the Dockerfile", () => {
  it("has nothing that the linter complains of", () => {
    assert.deepStrictEqual(complaints(text), [])
  })

  it("would be complained of for a misspelt instruction, an unknown flag, a relative folder", () => {
    const broken = "FROM node:24.21.0\nCOYP a b\nHEALTHCHECK --intervall=3s CMD true\nWORKDIR task\n"
    assert.deepStrictEqual(
      complaints(broken).map((complaint) => complaint.split(":")[0]),
      ["2", "3", "4"]
    )
  })

  it("begins from images that are always the same", () => {
    assert.deepStrictEqual(unpinned(text), [])
    assert.deepStrictEqual(unpinned("FROM node\nFROM node:24\nFROM node:24.21.0-slim AS a\nFROM a\nFROM node:latest"), [
      "node",
      "node:24",
      "node:latest"
    ])
  })

  it("installs the versions that the repository was tested with", () => {
    const workspace = read("pnpm-workspace.yaml")
    const nodeVersion = /^nodeVersion: (.+)$/m.exec(workspace)?.[1]
    const clientVersion = /^ {2}"?aws-lambda-ric"?: (.+)$/m.exec(workspace)?.[1]
    const pnpmVersion = /"packageManager": "(.+)"/.exec(read("package.json"))?.[1]
    assert.include(text, `node:${nodeVersion}-`)
    assert.include(text, `aws-lambda-ric@${clientVersion}\n`)
    const managers = text.match(/pnpm@[\w.]+/g) ?? []
    assert.isNotEmpty(managers)
    for (const manager of managers) assert.strictEqual(manager, pnpmVersion)
  })

  it("ends in an image without the tools that built it, whose entry point takes the handler's name", () => {
    const parsed = DockerfileParser.parse(text)
    const last = parsed.getFROMs().at(-1)
    assert.strictEqual(last?.getBuildStage(), "worker")
    const final = text.slice(text.indexOf("AS worker"))
    assert.notMatch(final, /cmake|g\+\+|npm install|pnpm/)
    assert.match(final, /^CMD \["handler\.handler"\]$/m)
  })

  it("is given only files that are there", () => {
    const named = read("deploy/aws/Dockerfile.dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!") && !line.includes("*"))
      .map((line) => line.slice(1))
    assert.isNotEmpty(named)
    assert.deepStrictEqual(
      named.filter((file) => !existsSync(join(root, file))),
      []
    )
  })
})
