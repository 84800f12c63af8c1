/**
 * What the READMEs say, done: their install line, their programs as they are printed there, which render a real video,
 * and all their TypeScript, compiled against what is installed.
 */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { Schema } from "effect"
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { type Fence, fencesOf, fileOf } from "../../../site/src/Fences.ts"
import { written } from "../../../site/src/Pages.ts"
import type { Node } from "./Node.ts"
import { root, versionOf } from "./Packages.ts"
import type { Project } from "./Project.ts"
import { type Problems, run } from "./Run.ts"

const recipes = "examples/recipes"

const Job = Schema.fromJsonString(Schema.Struct({ metadata: Schema.Struct({ totalFrames: Schema.Int }) }))

/** What can be compiled or run of a page, in one language. */
const blocksOf = (page: string, language: string): ReadonlyArray<Fence> =>
  fencesOf(page).filter((fence) => fence.language === language && fence.unchecked === undefined)

/** All TypeScript of the pages but for what shows an example's own files. */
const typescript = (): ReadonlyArray<Fence> =>
  ["README.md", ...written]
    .filter((page) => !page.startsWith("examples/"))
    .flatMap((page) => blocksOf(page, "ts"))
    .filter(({ file, page }) => file === undefined || page === "README.md")

const isOurs = (name: string): boolean => name.startsWith("@helios-infra/")

/** As it is asked for: a library in the version that is tested here. */
const tested = (name: string): string => `${name}@${versionOf(name, "site")}`

/** What the README's first `npm install` asks for, of ours and of others. */
export const asked = (): { readonly ours: ReadonlyArray<string>; readonly libraries: ReadonlyArray<string> } => {
  const line = /^npm install (.+)$/m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? ""
  const names = line.split(" ")
  return { ours: names.filter(isOurs), libraries: names.filter((name) => !isOurs(name)).map(tested) }
}

/** What the code in the READMEs imports of others. */
export const libraries = (): ReadonlyArray<string> => {
  const code = typescript()
    .map((block) => block.code)
    .join("\n")
  const imported = Array.from(
    code.matchAll(/ from "((?:@[^"/]+\/)?[^"./][^"/:]*)(?:\/[^"]*)?"/g),
    ([, name = ""]) => name
  )
  return [...new Set(imported)].filter((name) => !isOurs(name)).map(tested)
}

/** The README's program that contains a text. */
const program = (language: string, containing: string): string => {
  const found = blocksOf("README.md", language).find(({ code }) => code.includes(containing))
  if (found === undefined) throw new Error(`README.md has no block of ${language} with ${containing}`)
  return found.code
}

/** How many frames a video has, each of them decoded. */
const framesOf = async (folder: string, file: string): Promise<number> => {
  const args = ["-v", "error", "-i", file, "-map", "0:v:0", "-f", "framemd5", "-"]
  return (await run(ffmpeg, args, { cwd: folder })).split("\n").filter((line) => line.startsWith("0,")).length
}

/** Renders a video by each of the README's two programs, under one Node. */
export const render = async ({ folder }: Project, node: Node): Promise<Problems> => {
  const place = { cwd: folder, node: node.folder, env: { FFMPEG_PATH: ffmpeg } }
  // Writes job.json, of which the README says only what is in it.
  copyFileSync(join(root, recipes, "src/ffmpeg-only.ts"), join(folder, "ffmpeg-only.ts"))
  await run("node", ["ffmpeg-only.ts"], place)
  const { metadata } = Schema.decodeSync(Job)(readFileSync(join(folder, "job.json"), "utf8"))
  const found: Array<string> = []
  for (const [name, code] of [
    ["embed.ts", program("ts", "NodeRuntime.runMain")],
    ["embed.js", program("js", "/promise")]
  ] as const) {
    writeFileSync(join(folder, name), code)
    // oxlint-disable-next-line no-await-in-loop -- they write the same file
    await run("node", [name], place)
    // oxlint-disable-next-line no-await-in-loop
    const frames = await framesOf(folder, "film.mp4")
    rmSync(join(folder, "film.mp4"))
    if (frames !== metadata.totalFrames)
      found.push(`${name} made ${frames} frames of ${metadata.totalFrames} under Node ${node.version}`)
  }
  return found
}

/** Writes every block of TypeScript of the READMEs to a file of its own, where those of its page find it. */
export const writeBlocks = ({ folder }: Project): ReadonlyArray<string> =>
  typescript().map((block) => {
    const file = join(block.page.replaceAll("/", "_"), fileOf(block))
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), block.code)
    return file
  })
