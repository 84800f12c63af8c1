/**
 * What VitePress does not look for in the pages that it has built: links to headings that are not there, and anything that
 * a browser would fetch from somewhere else.
 */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

const all = (html: string, pattern: RegExp): ReadonlyArray<string> =>
  Array.from(html.matchAll(pattern), ([, found = ""]) => found.replaceAll("&amp;", "&"))

/** Throws with everything that is wrong. */
export const checkBuilt = (folder: string, base: string): void => {
  const pages = new Map(
    globSync("**/*.html", { cwd: folder }).map((file) => {
      const html = readFileSync(join(folder, file), "utf8")
      const address = base + file.replace(/\.html$/, "").replace(/(^|\/)index$/, "$1")
      return [address, { ids: new Set(all(html, / id="([^"]*)"/g)), html }] as const
    })
  )
  const wrong = Array.from(pages, ([address, { html }]) => [
    ...all(html, /<a [^>]*?href="([^"]*#[^"]+)"/g)
      .filter((href) => !/^[a-z]+:/.test(href))
      .filter((href) => {
        const [path = "", hash = ""] = href.split("#")
        return pages.get(path === "" ? address : path)?.ids.has(decodeURIComponent(hash)) !== true
      })
      .map((href) => `${address} links to ${href}, which is not there`),
    ...all(html, /<(?:script|link|img|iframe|video|source) [^>]*?(?:src|href)="((?:https?:)?\/\/[^"]*)"/g).map(
      (url) => `${address} would fetch ${url}`
    )
  ]).flat()
  if (wrong.length > 0) throw new Error(`the site is not whole:\n${[...new Set(wrong)].join("\n")}`)
}
