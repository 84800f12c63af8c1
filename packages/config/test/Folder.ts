/** Folders with files, packages among them, for as long as a test takes. */
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

/** Content by path; what is text is written as it is. */
export type Files = Readonly<Record<string, string | Uint8Array>>

/** Writes files below a folder. */
export const write = (folder: string, files: Files) =>
  Effect.promise(async () => {
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(folder, name)
      // One after the other: some are in folders of others.
      // oxlint-disable-next-line no-await-in-loop
      await fs.mkdir(path.dirname(file), { recursive: true })
      // oxlint-disable-next-line no-await-in-loop
      await fs.writeFile(file, content)
    }
  })

/** A new folder that holds files. */
export const make = Effect.fnUntraced(function* (files: Files = {}) {
  const folder = yield* Effect.acquireRelease(
    // Where a link leads is what programs in the folder see.
    Effect.promise(async () => fs.realpath(await fs.mkdtemp(path.join(tmpdir(), "helios-config-")))),
    (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
  )
  yield* write(folder, files)
  return folder
})

/** A package in a folder's `node_modules`: its entry's code, and how it says what its entry is. */
export const packageFiles = (name: string, code: string, exports: unknown = "./index.js"): Files => ({
  [`node_modules/${name}/package.json`]: JSON.stringify({ name, version: "1.0.0", type: "module", exports }),
  [`node_modules/${name}/index.js`]: code
})

const nodeModules = path.join(import.meta.dirname, "../node_modules")

/** Lets what is in a folder import packages that this one has. */
export const link = Effect.fnUntraced(function* (folder: string, ...names: ReadonlyArray<string>) {
  yield* Effect.promise(async () => {
    for (const name of names) {
      const target = path.join(folder, "node_modules", name)
      // oxlint-disable-next-line no-await-in-loop
      await fs.mkdir(path.dirname(target), { recursive: true })
      // oxlint-disable-next-line no-await-in-loop
      await fs.symlink(await fs.realpath(path.join(nodeModules, name)), target)
    }
  })
})
