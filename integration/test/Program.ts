/** Programs of the tests as one file each, which start in a fraction of the time that their sources take. */
import { Effect } from "effect"
import { build } from "esbuild"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"

/** Bundles a program of `fixtures`, once for each process that asks; gives the file. */
export const make = (name: string): Effect.Effect<string> =>
  Effect.runSync(
    Effect.cached(
      Effect.promise(async () => {
        const outfile = join(tmpdir(), `helios-${name}-${process.pid}.mjs`)
        await build({
          entryPoints: [join(import.meta.dirname, "fixtures", `${name}.ts`)],
          outfile,
          bundle: true,
          format: "esm",
          platform: "node",
          target: "node22",
          conditions: ["@helios-infra/source"],
          logLevel: "error",
          // What was written for CommonJS asks for its modules by `require`.
          banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url)' }
        })
        return outfile
      })
    )
  )
