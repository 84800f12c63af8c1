/** Programs run to their end: what they printed, or an error that has all of it. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import process from "node:process"

/** Where a program runs, and which `node` is first in its PATH (the folder of it). */
export interface Place {
  readonly cwd: string
  readonly node?: string | undefined
  readonly env?: Readonly<Record<string, string>>
}

/** Runs a program and gives what it printed. Fails with everything that it said when its exit code is not 0. */
export const run = (command: string, args: ReadonlyArray<string>, { cwd, env, node }: Place): Promise<string> => {
  const path = node === undefined ? process.env["PATH"] : `${node}:${process.env["PATH"]}`
  const options = { cwd, env: { ...process.env, ...env, PATH: path }, maxBuffer: 2 ** 26 }
  return new Promise((resolve, reject) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${command} ${args[0] ?? ""}: ${`${stdout}${stderr}`.trim() || error.message}`))
    })
  })
}

/** What is wrong, one line each or more. Nothing is what everything here hopes for. */
export type Problems = ReadonlyArray<string>

/** Does something with each, a few at once; a check that fails itself is a problem like those that it finds. */
export const checkEach = async <A>(
  items: ReadonlyArray<A>,
  nameOf: (item: A) => string,
  check: (item: A) => Promise<Problems>
): Promise<Problems> => {
  const checked = (item: A) =>
    Effect.promise(async () => {
      try {
        return (await check(item)).map((problem) => `${nameOf(item)}: ${problem}`)
      } catch (error) {
        return [`${nameOf(item)}: ${error instanceof Error ? error.message : String(error)}`]
      }
    })
  // One more than there are processors here and in CI: each waits for the registry or a disk now and then.
  return (await Effect.runPromise(Effect.forEach(items, checked, { concurrency: 3 }))).flat()
}
