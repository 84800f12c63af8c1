/** `fixtures/resolve.ts`, run by Node itself, as a user's program would be. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { promisify } from "node:util"

/** What the program printed. */
export interface Outcome {
  /** The error's message; null when everything could be made. */
  readonly message: string | null
  readonly reason?: string
  /** The URL of every module that was loaded. */
  readonly modules: ReadonlyArray<string>
}

const isOutcome = (value: unknown): value is Outcome =>
  typeof value === "object" && value !== null && "modules" in value

/** Resolves the configuration of a folder, or a file of it. */
export const resolve = (
  folder: string,
  {
    env = {},
    file,
    program = path.join(import.meta.dirname, "fixtures/resolve.ts")
  }: { readonly env?: Record<string, string>; readonly file?: string; readonly program?: string } = {}
) =>
  Effect.promise(async () => {
    const args = ["--conditions=@helios-infra/source", "--no-warnings", program, ...(file === undefined ? [] : [file])]
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, ...env },
      maxBuffer: 2 ** 26
    })
    const outcome: unknown = JSON.parse(stdout)
    if (!isOutcome(outcome)) throw new Error(stdout)
    return outcome
  })
