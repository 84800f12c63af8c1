/** A worker that prints a gigabyte, and what its orchestrator says when it is over. */
import process from "node:process"

const line = "0123456789".repeat(4)

/** How many lines it prints. */
export const lines = Math.ceil(1e9 / (line.length + 1))

/** For `sh -c`, with the place of its output as the first argument. */
export const script = `yes ${line} | head -n ${lines}; test $# = 0 || echo rendered > "$1"`

/** Prints the most memory that this process held, in bytes. */
export const reportPeak = (): void => {
  // Kilobytes, on Linux and macOS alike.
  process.stdout.write(String(process.resourceUsage().maxRSS * 1024))
}
