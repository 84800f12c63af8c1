/**
 * Prints the table: `pnpm bench`, or `pnpm bench processes render` for some of it. Every row is a ratio against something
 * in the same run. Exits with 1 when a budget was not kept.
 */
import process from "node:process"
import type { Row } from "./Measure.ts"

const groups: ReadonlyMap<string, () => Promise<{ readonly rows: () => Promise<ReadonlyArray<Row>> }>> = new Map([
  ["orchestration", () => import("./orchestration.ts")],
  ["composition", () => import("./composition.ts")],
  ["journal", () => import("./journal.ts")],
  ["resume", () => import("./resume.ts")],
  ["processes", () => import("./processes.ts")],
  ["render", () => import("./render.ts")],
  ["stitch", () => import("./stitch.ts")],
  ["flood", () => import("./flood.ts")],
  ["lambda", () => import("./lambda.ts")],
  ["worker", () => import("./worker.ts")],
  ["http", () => import("./http.ts")],
  ["storage", () => import("./storage.ts")],
  ["config", () => import("./config.ts")],
  ["imports", () => import("./imports.ts")]
])

const chosen = process.argv.slice(2)
const unknown = chosen.filter((name) => !groups.has(name))
if (unknown.length > 0) {
  process.stderr.write(`no such bench: ${unknown.join(", ")}; there are: ${[...groups.keys()].join(", ")}\n`)
  process.exit(2)
}

const cells = ({ budget, name, other, ours, ratio }: Row): ReadonlyArray<string> => [
  name,
  ours,
  other,
  ratio.toPrecision(3),
  budget === undefined ? "" : `${budget.kept ? "kept" : "MISSED"}: ${budget.text}`
]

const rows: Array<Row> = []
for (const [name, load] of groups) {
  if (chosen.length > 0 && !chosen.includes(name)) continue
  // One after the other: they would disturb each other.
  // oxlint-disable-next-line no-await-in-loop
  const { rows: measure } = await load()
  // oxlint-disable-next-line no-await-in-loop
  rows.push(...(await measure()))
}

const table = [["what", "ours", "beside it", "ratio", "budget"], ...rows.map(cells)]
const widths = table[0]?.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0))) ?? []
for (const line of table) {
  process.stdout.write(
    `${line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()}\n`
  )
}
process.exitCode = rows.every(({ budget }) => budget?.kept ?? true) ? 0 : 1
