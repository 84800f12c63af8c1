/** Images cannot be built here: this reads the Dockerfile as Docker's builder would, and holds it to the repository. */
import { assert, describe, it } from "@effect/vitest"
import { DockerfileParser, type From } from "dockerfile-ast"
import { validate } from "dockerfile-utils"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../../..")
const read = (file: string): string => readFileSync(join(root, file), "utf8")
const text = read("deploy/cloudrun/Dockerfile")
const final = text.slice(text.indexOf("AS worker"))

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

/** The words of the last instruction of this name. */
const last = (instruction: string): string | undefined =>
  DockerfileParser.parse(text)
    .getInstructions()
    .findLast((found) => found.getKeyword() === instruction)
    ?.getArgumentsContent() ?? undefined

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

  it("begins from images that are always the same, the one of the function's", () => {
    assert.deepStrictEqual(unpinned(text), [])
    assert.deepStrictEqual(unpinned("FROM node\nFROM node:24\nFROM node:24.21.0-slim AS a\nFROM a\nFROM node:latest"), [
      "node",
      "node:24",
      "node:latest"
    ])
    const image = /^ARG NODE_IMAGE=.+$/m
    assert.strictEqual(image.exec(text)?.[0], image.exec(read("deploy/aws/Dockerfile"))?.[0])
  })

  it("installs the versions that the repository was tested with", () => {
    const nodeVersion = /^nodeVersion: (.+)$/m.exec(read("pnpm-workspace.yaml"))?.[1]
    const pnpmVersion = /"packageManager": "(.+)"/.exec(read("package.json"))?.[1]
    assert.include(text, `node:${nodeVersion}-`)
    const managers = text.match(/pnpm@[\w.]+/g) ?? []
    assert.isNotEmpty(managers)
    for (const manager of managers) assert.strictEqual(manager, pnpmVersion)
  })

  it("ends in an image without the tools that built it, where an init starts the server", () => {
    assert.strictEqual(DockerfileParser.parse(text).getFROMs().at(-1)?.getBuildStage(), "worker")
    assert.notMatch(final, /npm install|pnpm/)
    assert.match(final, /^ {6}.* tini\b/m)
    assert.strictEqual(last("ENTRYPOINT"), `["/usr/bin/tini", "--", "/usr/local/bin/node"]`)
    assert.strictEqual(last("CMD"), `["server.mjs"]`)
    assert.strictEqual(last("WORKDIR"), "/opt/worker")
    assert.include(final, "deploy/cloudrun/dist/worker /opt/worker\n")
  })

  it("does not run as root, and nothing after that needs to be", () => {
    assert.strictEqual(last("USER"), "node")
    assert.notMatch(final.slice(final.indexOf("\nUSER ")), /^(?:RUN|COPY|ADD)\b/m)
  })

  it("has no secret in it, and lets no build argument become one", () => {
    assert.deepStrictEqual(
      DockerfileParser.parse(text)
        .getARGs()
        .map((arg) => arg.getProperty()?.getName()),
      ["NODE_IMAGE"]
    )
    assert.notMatch(text, /KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS/i)
  })

  it("is given only files that are there", () => {
    const named = read("deploy/cloudrun/Dockerfile.dockerignore")
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
