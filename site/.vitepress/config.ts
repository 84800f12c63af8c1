import { defineConfig, type MarkdownEnv } from "vitepress"
import { checkBuilt } from "../src/BuiltPages.ts"
import { addressOf, guide, reference, repository, resolveLink, root } from "../src/Pages.ts"
import { globSync } from "node:fs"
import { createRequire } from "node:module"
import { relative } from "node:path"

const vitepress = createRequire(import.meta.url).resolve("vitepress")

const mark =
  '<svg role="img" viewBox="0 0 24 24" xmlns="http://www.w3.org/2000/svg"><path fill="currentColor" d="M2 4h5v16H2zM9.5 4h5v16h-5zM17 4h5v16h-5z"/></svg>'

/** The anchors that GitHub gives to headings, so that a link works there and here. */
const slugify = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, "")
    .replaceAll(" ", "-")

// oxlint-disable-next-line import/no-default-export -- VitePress wants it
export default defineConfig({
  title: "Helios infrastructure",
  description:
    "Renders one video on many machines: chunks in parallel, every failure survived, one file without a seam",
  lang: "en",
  base: process.env["SITE_BASE"] ?? "/",
  srcDir: "..",
  srcExclude: globSync("**/*.md", { cwd: root, exclude: ["**/node_modules"] }).filter(
    (file) => addressOf(file) === undefined
  ),
  outDir: "dist",
  rewrites: (file) => addressOf(file) ?? file,
  cleanUrls: true,
  head: [["link", { rel: "icon", href: `data:image/svg+xml,${encodeURIComponent(mark)}` }]],
  markdown: {
    anchor: { slugify },
    config: (md) => {
      md.core.ruler.push("repository_links", (state) => {
        // oxlint-disable-next-line typescript/no-unsafe-assignment -- markdown-it does not say what it passes on
        const { path, realPath = path }: Pick<MarkdownEnv, "path" | "realPath"> = state.env
        for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.type === "link_open" ? token.attrGet("href") : null
          if (href !== null) token.attrSet("href", resolveLink(relative(root, realPath), href))
        }
      })
    }
  },
  vite: {
    build: { chunkSizeWarningLimit: 2000 }, // kB: the index that is searched, loaded when somebody does
    plugins: [
      {
        name: "vue-of-vitepress",
        enforce: "pre",
        // Pages lie outside of this package, from where nobody would find what they are compiled to.
        resolveId(id, importer, options) {
          return importer?.endsWith(".md") && /^vue(\/|$)/.test(id)
            ? this.resolve(id, vitepress, { ...options, skipSelf: true })
            : undefined
        }
      }
    ]
  },
  themeConfig: {
    nav: [
      { text: "Quick start", link: "/quick-start" },
      { text: "Embed it", link: "/embed" },
      { text: "API", link: "/api/" },
      { text: "Limits", link: "/limits" }
    ],
    sidebar: { "/": guide(), "/api/": reference() },
    outline: [2, 3],
    search: {
      provider: "local",
      options: {
        // Who looks for an error wants to know what to do about it, before where it is declared.
        miniSearch: {
          searchOptions: {
            boostDocument: (id: string) => (id.includes("/troubleshooting") ? 2 : id.includes("/api/") ? 0.3 : 1)
          }
        },
        // Of the reference the names of what is exported; of code no colours.
        _render: (source, env, md) => {
          md.options.highlight = null
          const isReference = relative(root, env.path).startsWith("site/api/")
          return md.render(isReference ? (source.match(/^#{1,3} .+$/gm) ?? []).join("\n\n") : source, env)
        }
      }
    },
    socialLinks: [{ icon: { svg: mark }, link: repository, ariaLabel: "the repository" }],
    editLink: { pattern: `${repository}/edit/main/:path`, text: "Correct this page" },
    footer: { message: "MIT licence" }
  },
  buildEnd: ({ outDir, site }) => checkBuilt(outDir, site.base)
})
