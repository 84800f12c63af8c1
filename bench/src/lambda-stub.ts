/**
 * An Invoke endpoint that runs nothing, in a process of its own. It answers at once until it is told `hold`: from then on
 * it answers nobody before so many are waiting, which it says, and it is told `answer`.
 */
import { createServer, type ServerResponse } from "node:http"
import process from "node:process"

const tail = "x".repeat(4096)
const output = { location: "artifact:jobs/j/chunks/0/1.1/output.mov", bytes: 1_000_000, frames: 75 }
const result = { exitCode: 0, stdout: tail, stderr: tail, durationMs: 1, output }
const reply = JSON.stringify({ _tag: "Result", protocol: 1, result })

const waiting: Array<ServerResponse> = []
let hold = 0

const answer = (response: ServerResponse): void => {
  response.writeHead(200, { "content-type": "application/json", "x-amz-executed-version": "$LATEST" }).end(reply)
}

const server = createServer((request, response) => {
  request.resume().once("end", () => {
    if (hold === 0) {
      answer(response)
      return
    }
    waiting.push(response)
    if (waiting.length === hold) process.send?.("all are here")
  })
})

process.on("message", (told) => {
  if (typeof told === "number") hold = told
  else for (const response of waiting.splice(0)) answer(response)
})
process.once("disconnect", () => process.exit())
server.listen(0, "127.0.0.1", 4096, () => {
  const address = server.address()
  if (typeof address === "object") process.send?.(address?.port)
})
