import { assert, describe, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { checkBuilt } from "../src/BuiltPages.ts"

/** What is wrong with a site of these pages, which lies below `/docs/`. */
const wrongWith = (pages: Readonly<Record<string, string>>): string => {
  const folder = mkdtempSync(join(tmpdir(), "helios-built-"))
  try {
    for (const [name, html] of Object.entries(pages)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), html)
    }
    checkBuilt(folder, "/docs/")
    return ""
  } catch (error) {
    return String(error)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe("checkBuilt", () => {
  it("takes links to headings that are there, on the page and on others", () => {
    const wrong = wrongWith({
      "index.html": `<a href="/docs/a#one">1</a> <a class="x" href="#top">2</a> <h1 id="top">`,
      "a.html": `<h2 id="one"> <a href="/docs/#top">3</a> <a href="https://example.com/#none">4</a>`
    })
    assert.strictEqual(wrong, "")
  })

  it("names links to headings that are not", () => {
    const wrong = wrongWith({ "index.html": `<a href="/docs/a#two">`, "a.html": `<h2 id="one"> <a href="#three">` })
    assert.include(wrong, "/docs/ links to /docs/a#two, which is not there")
    assert.include(wrong, "/docs/a links to #three, which is not there")
  })

  it("names what a browser would fetch from elsewhere, and leaves links alone", () => {
    const page = `<a href="https://example.com"> <link rel="x" href="https://fonts.example/f.css"> <script src="//cdn.example/s.js">`
    const wrong = wrongWith({ "index.html": page })
    assert.include(wrong, "would fetch https://fonts.example/f.css")
    assert.include(wrong, "would fetch //cdn.example/s.js")
    assert.notInclude(wrong, "https://example.com")
  })
})
