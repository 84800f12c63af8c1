/** Lets a child process print a gigabyte, and counts; prints the most memory that this process held. */
import { spawn } from "node:child_process"
import { lines, reportPeak, script } from "./Gigabyte.ts"

const child = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] })
let bytes = 0
child.stdout.on("data", (read: Buffer) => {
  bytes += read.length
})
child.on("close", () => {
  if (bytes < 1e9) throw new Error(`only ${bytes} bytes of ${lines} lines arrived`)
  reportPeak()
})
