/** What a child process costs when nothing of it may be left, against a bare spawn loop. */
import { Command } from "@helios-infra/process"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import process from "node:process"
import { inPairs, type Row, timed } from "./Measure.ts"

const count = 500
const slots = 8
const rounds = 11
const env = { PATH: process.env["PATH"] ?? "" }

const ours = () =>
  timed(() =>
    Effect.forEach(
      Array.from({ length: count }),
      () => Command.run({ args: ["true"], cwd: "/", env, onLine: () => {} }),
      { concurrency: slots, discard: true }
    ).pipe(Effect.runPromise)
  )

const bare = () =>
  timed(() => {
    let started = 0
    const one = (): Promise<void> =>
      new Promise((resolve, reject) => {
        // In sessions of their own, like ours: a busy machine shares its time out by session.
        const child = spawn("true", [], { cwd: "/", env, stdio: ["ignore", "pipe", "pipe"], detached: true })
        child.stdout.resume()
        child.stderr.resume()
        child.once("error", reject)
        child.once("close", () => resolve())
      })
    const slot = async (): Promise<void> => {
      // oxlint-disable-next-line no-await-in-loop
      while (started++ < count) await one()
    }
    return Promise.all(Array.from({ length: slots }, slot))
  })

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  await ours()
  await bare()
  const measured = await inPairs(rounds, ours, bare)
  return [
    {
      name: `${count} processes, ${slots} at a time, against a bare spawn loop`,
      ours: `${measured.ours.toFixed(0)} ms`,
      other: `${measured.other.toFixed(0)} ms`,
      ratio: measured.ratio,
      budget: { text: "at most 1.15", kept: measured.ratio <= 1.15 }
    }
  ]
}
