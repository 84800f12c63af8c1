/**
 * Which Markdown files of the repository are pages of the site, under which address, and in which order they are offered.
 *
 * Pages stay where they are read on GitHub: links between them, and to files that are no pages, are written for GitHub and
 * turned into the site's own here.
 */
import { existsSync, globSync, readFileSync, statSync } from "node:fs"
import { join, posix } from "node:path"

/** The repository's folder; all other paths here are relative to it, with `/`. */
export const root = join(import.meta.dirname, "../..")

/** Where files that are no pages can be looked at. */
export const repository = "https://github.com/helios-infra/helios-infra"

const addresses: ReadonlyArray<readonly [file: RegExp, address: string]> = [
  [/^site\/index\.md$/, "index.md"],
  [/^site\/api\/(.+)$/, "api/$1"],
  [/^docs\/([^/]+)$/, "$1"],
  [/^(packages|examples)\/([^/]+)\/README\.md$/, "$1/$2.md"],
  [/^(CONTRIBUTING\.md)$/, "$1"]
]

/** The page that a file is, as `quick-start.md`; none for a file that is none. */
export const addressOf = (file: string): string | undefined => {
  const found = addresses.find(([pattern]) => pattern.test(file))
  return found && file.replace(...found)
}

/** Every file that is a page and is written by hand. */
export const written: ReadonlyArray<string> = globSync(
  ["site/index.md", "docs/*.md", "{packages,examples}/*/README.md", "CONTRIBUTING.md"],
  { cwd: root }
).toSorted()

/** Where a link in `from` leads on the site. Throws where it leads to no file. */
export const resolveLink = (from: string, href: string): string => {
  if (/^([a-z]+:|#|\/)/.test(href)) return href
  const [path = "", hash] = href.split("#", 2)
  const file = posix.normalize(posix.join(posix.dirname(from), path)).replace(/\/$/, "")
  if (!existsSync(join(root, file))) throw new Error(`${from}: there is no ${file}, which it links to as ${href}`)
  const isFolder = statSync(join(root, file)).isDirectory()
  const address = addressOf(isFolder ? `${file}/README.md` : file)
  const target = address === undefined ? `${repository}/${isFolder ? "tree" : "blob"}/main/${file}` : `/${address}`
  return hash === undefined ? target : `${target}#${hash}`
}

/** What a page is called: its first heading. */
const titleOf = (file: string): string => {
  const [, title = file] = /^# (.+)$/m.exec(readFileSync(join(root, file), "utf8")) ?? []
  return title.replaceAll("`", "")
}

/** A group of pages in the sidebar. */
export interface Group {
  readonly text: string
  readonly collapsed?: boolean
  readonly items: Array<{ readonly text: string; readonly link: string }>
}

/** The pages of `docs/` that are there, for those who need them, in the order in which they are best read. */
const guides: ReadonlyArray<readonly [audience: string, pages: ReadonlyArray<string>]> = [
  ["Begin", ["quick-start", "ARCHITECTURE"]],
  [
    "For embedders",
    ["embed", "config", "durability", "observability", "webhooks", "deploy-aws", "deploy-cloudrun", "security"]
  ],
  ["For pipeline authors", ["composition"]],
  ["For adapter authors", ["write-an-adapter"]],
  ["When something is wrong", ["troubleshooting", "limits"]]
]

const item = (file: string, text = titleOf(file)) => ({ text, link: `/${addressOf(file)?.replace(/\.md$/, "")}` })

const folderOf = (readme: string): string => posix.basename(posix.dirname(readme))

/** The sidebar. Throws where a page of `docs/` is in none of its groups. */
export const guide = (): Array<Group> => {
  const named = new Set(guides.flatMap(([, pages]) => pages).map((page) => `docs/${page}.md`))
  const lost = written.filter((file) => file.startsWith("docs/") && !named.has(file))
  if (lost.length > 0) throw new Error(`no group of the sidebar has ${lost.join(", ")}: add them in site/src/Pages.ts`)
  const readmes = (folder: string) => written.filter((file) => file.startsWith(`${folder}/`))
  return [
    ...guides.map(([text, pages]) => ({
      text,
      items: pages
        .map((page) => `docs/${page}.md`)
        .filter((file) => written.includes(file))
        .map((file) => item(file))
    })),
    { text: "Packages", collapsed: true, items: readmes("packages").map((file) => item(file, folderOf(file))) },
    { text: "Examples", collapsed: true, items: readmes("examples").map((file) => item(file, folderOf(file))) },
    { text: "For contributors", collapsed: true, items: [item("CONTRIBUTING.md")] }
  ].filter(({ items }) => items.length > 0)
}

/** The sidebar of the API reference: the modules of each package. */
export const reference = (): Array<Group> =>
  globSync("site/api/*/", { cwd: root })
    .toSorted()
    .map((folder) => ({
      text: posix.basename(folder),
      collapsed: true,
      items: globSync("**/*.md", { cwd: join(root, folder) })
        .toSorted()
        .map((file) => item(posix.join(folder, file), file.replace(/\.md$/, "")))
    }))
