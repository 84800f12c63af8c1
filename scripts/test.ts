/**
 * Runs all tests, or those that the arguments (vitest's own) select, and ends with one line on its own:
 * `N passed, N failed, N skipped`, however vitest ended. The exit code is vitest's.
 *
 * The numbers come from vitest's JSON report. A file that could not be loaded and a run that failed outside any test
 * have no failed test in that report; they count as one failure each, so that the line never looks green when the exit
 * code is not.
 */
import { Schema } from "effect"
import { spawn } from "node:child_process"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { constants } from "node:os"
import process from "node:process"

const reportFile = "node_modules/.vitest/report.json"

const Report = Schema.fromJsonString(
  Schema.Struct({
    testResults: Schema.Array(
      Schema.Struct({
        status: Schema.String,
        assertionResults: Schema.Array(Schema.Struct({ status: Schema.String }))
      })
    )
  })
)

const count = (exitCode: number) => {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  const files = existsSync(reportFile) ? Schema.decodeSync(Report)(readFileSync(reportFile, "utf8")).testResults : []
  for (const file of files) {
    for (const { status } of file.assertionResults) {
      if (status === "passed") counts.passed++
      else if (status === "skipped" || status === "todo") counts.skipped++
      else counts.failed++ // "failed", and "pending": begun and never ended
    }
    if (file.status === "failed" && file.assertionResults.length === 0) counts.failed++
  }
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1
  return counts
}

rmSync(reportFile, { force: true })
const vitest = spawn(
  "vitest",
  ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`, ...process.argv.slice(2)],
  { stdio: "inherit" }
)
// Ctrl-C reaches vitest by itself; this process waits until it has cleaned up, and still prints the line.
process.on("SIGINT", () => {})
process.on("SIGTERM", () => vitest.kill("SIGTERM"))

process.exitCode = await new Promise<number>((resolve, reject) => {
  vitest.once("error", reject)
  vitest.once("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
})
const { passed, failed, skipped } = count(process.exitCode)
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
