/** Node as a user starts it: with JavaScript, the built packages and no flags. */
import { build } from "esbuild"
import { execFile } from "node:child_process"
import { join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"

/** Runs a module and gives what it printed. It finds the packages as this folder does. */
export const run = async (code: string): Promise<string> => {
  const cwd = join(import.meta.dirname, "..")
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", code], { cwd })
  return stdout
}

/** Runs a program of this folder. As JavaScript: Node's own compiler would take 30 MiB of its memory. */
export const program = async (name: string): Promise<string> => {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, name)],
    write: false,
    bundle: true,
    packages: "external",
    format: "esm",
    platform: "node",
    target: "node22"
  })
  return run(outputFiles[0]?.text ?? "")
}
