/**
 * How things are measured here: in a process of their own, several times, in turns with what they are compared with, so
 * that a machine whose speed drifts is fair to both. The median counts.
 */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { performance } from "node:perf_hooks"
import process from "node:process"
import { promisify } from "node:util"

/** One line of the table. */
export interface Row {
  readonly name: string
  /** What was measured, and what it was measured against, as text with units. */
  readonly ours: string
  readonly other: string
  /** Ours over the other's. */
  readonly ratio: number
  /** What was promised, and whether it was kept; absent where nothing was. */
  readonly budget?: { readonly text: string; readonly kept: boolean }
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** How long something takes, in milliseconds. */
export const timed = async (run: () => Promise<unknown>): Promise<number> => {
  const startedAt = performance.now()
  await run()
  return performance.now() - startedAt
}

/** The medians of two or three, run in turns. */
export const inTurns = async (
  rounds: number,
  ours: () => Promise<number>,
  other: () => Promise<number>,
  third: () => Promise<number> = () => Promise.resolve(Number.NaN)
): Promise<readonly [ours: number, other: number, third: number]> => {
  const taken: readonly [Array<number>, Array<number>, Array<number>] = [[], [], []]
  for (let round = 0; round < rounds; round++) {
    // One after the other is the point.
    // oxlint-disable-next-line no-await-in-loop
    taken[0].push(await ours())
    // oxlint-disable-next-line no-await-in-loop
    taken[1].push(await other())
    // oxlint-disable-next-line no-await-in-loop
    taken[2].push(await third())
  }
  return [median(taken[0]), median(taken[1]), median(taken[2])]
}

/**
 * Two, pair by pair, each first in every second pair: their medians, and the median of the pairs' ratios. On a busy
 * machine, neighbours in time have more in common than medians.
 */
export const inPairs = async (
  rounds: number,
  ours: () => Promise<number>,
  other: () => Promise<number>
): Promise<{ readonly ours: number; readonly other: number; readonly ratio: number }> => {
  const pairs: Array<readonly [ours: number, other: number]> = []
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) {
      // oxlint-disable-next-line no-await-in-loop
      const [our, its] = await inTurns(1, ours, other)
      pairs.push([our, its])
    } else {
      // oxlint-disable-next-line no-await-in-loop
      const [its, our] = await inTurns(1, other, ours)
      pairs.push([our, its])
    }
  }
  return {
    ours: median(pairs.map(([our]) => our)),
    other: median(pairs.map(([, its]) => its)),
    ratio: median(pairs.map(([our, its]) => our / its))
  }
}

/** Runs a program of this folder in a process of its own; gives what it prints, as JSON. */
export const inProcess = async (program: string, ...args: ReadonlyArray<string | number>): Promise<unknown> => {
  const flags = ["--conditions=@helios-infra/source", "--expose-gc", "--max-old-space-size=8192"]
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...flags, join(import.meta.dirname, program), ...args.map(String)],
    { maxBuffer: 2 ** 24 }
  )
  return JSON.parse(stdout)
}

/** The bytes that are still held after a collection. */
export const heldBytes = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
