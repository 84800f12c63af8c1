/** `pnpm site`: builds the documentation into `site/dist`. `pnpm site dev` serves it while it is written, `preview` as built. */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import process from "node:process"
import { build, createServer, serve } from "vitepress"
import { root } from "./Pages.ts"
import * as Reference from "./Reference.ts"

const site = join(root, "site")

const writeReference = async (): Promise<void> => {
  await rm(join(site, "api"), { recursive: true, force: true })
  await Reference.write(join(site, "api"))
}

const run = async (command: string): Promise<void> => {
  switch (command) {
    case "build":
      await writeReference()
      return build(site)
    case "dev": {
      await writeReference()
      const server = await createServer(site)
      await server.listen()
      return server.printUrls()
    }
    case "preview":
      return void serve({ root: site })
    default:
      throw new Error(`no such command: ${command}; there are: build, dev, preview`)
  }
}

// Not the whole error: it has the path of every page.
await run(process.argv[2] ?? "build").catch(({ message }: Error) => {
  console.error(message)
  process.exit(1)
})
