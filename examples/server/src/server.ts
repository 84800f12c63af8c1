/**
 * A web server that renders films. `TOKEN` is what clients have to send, `DATA` the folder that everything is kept in,
 * `CONCURRENCY` how many chunks are rendered at once.
 */
import process from "node:process"
import { serve } from "@hono/node-server"
import { serveStatic } from "@hono/node-server/serve-static"
import type { JobState } from "@helios-infra/core/promise"
import { Hono } from "hono"
import { bearerAuth } from "hono/bearer-auth"
import { bodyLimit } from "hono/body-limit"
import { streamSSE } from "hono/streaming"
import { Films } from "./Films.ts"

const { CONCURRENCY, DATA = "data", PORT = "3000", TOKEN = "" } = process.env
if (TOKEN === "") throw new Error("set TOKEN to what clients have to send: the output of openssl rand -hex 32, for one")

const films = new Films(DATA, CONCURRENCY === undefined ? undefined : Number(CONCURRENCY))

/** What clients see of a job: its commands and files are nothing to them. */
const view = ({ error, id, progress, status }: JobState) => ({ id, status, progress, error: error?.message })

const app = new Hono()
app.use(bearerAuth({ token: TOKEN }), bodyLimit({ maxSize: 1024 }))

app.post("/films", async (c) => {
  if (films.draining) return c.json({ error: "about to restart" }, 503, { "Retry-After": "10" })
  const body: unknown = await c.req.json().catch(() => undefined)
  const seconds = typeof body === "object" && body !== null && "seconds" in body ? body.seconds : undefined
  if (typeof seconds !== "number" || !Number.isInteger(seconds) || seconds < 1 || seconds > 600) {
    return c.json({ error: "seconds must be a whole number from 1 to 600" }, 400)
  }
  const job = await films.start(seconds)
  return c.json(view(job), 202, { Location: `/films/${job.id}` })
})

app.get("/films/:id", async (c) => {
  const job = await films.jobs.getJob(c.req.param("id"))
  return job === null ? c.notFound() : c.json(view(job))
})

app.get("/films/:id/progress", async (c) => {
  const id = c.req.param("id")
  if ((await films.jobs.getJob(id)) === null) return c.notFound()
  return streamSSE(c, async (stream) => {
    for await (const { etaMs, fraction, status } of films.jobs.watchJob(id)) {
      if (stream.aborted) return
      await stream.writeSSE({ event: "progress", data: JSON.stringify({ status, fraction, etaMs }) })
    }
    const job = await films.jobs.getJob(id)
    await stream.writeSSE({ event: "end", data: JSON.stringify(job && view(job)) })
  })
})

app.delete("/films/:id", async (c) => {
  const id = c.req.param("id")
  if ((await films.jobs.getJob(id)) === null) return c.notFound()
  // Returns when none of the job's processes is left.
  return c.json(view(await films.jobs.cancelJob(id)))
})

// A film is there when it is whole.
app.get(
  "/videos/:file{[a-z0-9-]+\\.mp4}",
  serveStatic({ root: films.dir, rewriteRequestPath: (path) => path.replace("/videos/", "/") })
)

const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(PORT) }, ({ port }) => {
  console.log(`listening on http://127.0.0.1:${port}`)
})
films.recover().catch((error: unknown) => console.error(error))

const end = async () => {
  server.close()
  await films.drain(20_000)
  process.exit()
}
process.once("SIGTERM", () => void end())
process.once("SIGINT", () => void end())
