import { assert, describe, it } from "@effect/vitest"
import { fencesFrom, fencesInComments } from "../src/Fences.ts"

const fences = (...lines: ReadonlyArray<string>) => fencesFrom("page.md", lines.join("\n"))

describe("fences", () => {
  it("are found where they are, also in lists, with what they say", () => {
    const [first, second] = fences(
      "# A",
      "",
      "- text",
      "",
      "  ```sh run [try.sh]",
      "  ls",
      "  ```",
      "",
      "```ts file=a/b.ts",
      "1",
      "```"
    )
    assert.deepInclude(first, { line: 5, language: "sh", code: "ls\n", run: true, name: "try.sh" })
    assert.deepInclude(second, { line: 9, language: "ts", code: "1\n", run: false, file: "a/b.ts" })
  })

  it("that are alike are told apart by their lines", () => {
    const alike = fences("```sh", "a", "```", "", "```", "b", "```")
    assert.deepStrictEqual(
      alike.map(({ code, line }) => [line, code]),
      [
        [1, "a\n"],
        [5, "b\n"]
      ]
    )
  })

  it("say why they are not checked", () => {
    assert.deepInclude(fences("```ts no-check: it is yours", "x", "```")[0], {
      language: "ts",
      unchecked: "it is yours"
    })
    assert.throws(() => fences("```ts no-check", "x", "```"), /page\.md:1: no-check says why/)
  })

  it("of doc comments are found where they are, and nothing else of their sources is", () => {
    const source = [
      "/** What it is. */",
      "export const one = `",
      "```ts",
      "not this",
      "```",
      "`",
      "/**",
      " * ```ts",
      " * one(2)",
      " *",
      " *   .three()",
      " * ```",
      " */",
      "export class Two {",
      "  /**",
      "   * ```js no-check: it is half",
      "   * class {",
      "   * ```",
      "   */",
      "}"
    ]
    assert.deepStrictEqual(
      fencesInComments("a.ts", source.join("\n")).map(({ code, line, unchecked }) => [line, code, unchecked]),
      [
        [8, "one(2)\n\n  .three()\n", undefined],
        [16, "class {\n", "it is half"]
      ]
    )
  })

  it("say nothing that means nothing", () => {
    assert.throws(() => fences("```ts rnu", "x", "```"), /page\.md:1: a fence cannot say rnu/)
  })
})
