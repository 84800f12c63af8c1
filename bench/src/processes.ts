/** What a child process costs when nothing of it may be left, against a bare spawn loop. */
import { Command } from "@helios-infra/process"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import process from "node:process"
import { inTurns, median, type Row, timed } from "./Measure.ts"

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
  const pairs: Array<readonly [ours: number, other: number]> = []
  while (pairs.length < rounds) {
    // oxlint-disable-next-line no-await-in-loop
    const [our, other] = await inTurns(1, ours, bare)
    pairs.push([our, other])
  }
  // Of each pair: on a busy machine, neighbours in time have more in common than medians.
  const ratio = median(pairs.map(([our, other]) => our / other))
  return [
    {
      name: `${count} processes, ${slots} at a time, against a bare spawn loop`,
      ours: `${median(pairs.map(([our]) => our)).toFixed(0)} ms`,
      other: `${median(pairs.map(([, other]) => other)).toFixed(0)} ms`,
      ratio,
      budget: { text: "at most 1.15", kept: ratio <= 1.15 }
    }
  ]
}
