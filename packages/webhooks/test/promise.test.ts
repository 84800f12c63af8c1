/** Plain async code, real requests, and jobs and cursors on the disk. */
import { FileJobRepository } from "@helios-infra/adapter-local/promise"
import { InMemoryJobRepository, JobManager, type WorkerAdapter } from "@helios-infra/core/promise"
import { EndpointError, newSecret, type Report, Webhooks } from "@helios-infra/webhooks/promise"
import { receive } from "@helios-infra/webhooks/verify"
import * as fs from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it, onTestFinished, vi } from "vitest"

const workerAdapter: WorkerAdapter = {
  execute: () => Promise.resolve({ exitCode: 0, stdout: "", stderr: "", durationMs: 1 })
}

const spec = {
  metadata: { totalFrames: 20, fps: 30 },
  chunks: [0, 1].map((id) => ({ id, startFrame: id * 10, frameCount: 10, outputFile: `${id}.mov`, command: "render" }))
}

const folder = async (): Promise<string> => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), "webhooks-"))
  onTestFinished(() => fs.rm(dir, { recursive: true, force: true }))
  return dir
}

/** A receiver; its answer is the status that it is told. */
const listen = async (secret: string, statusOf: (type: string) => number = () => 204) => {
  const types: Array<string> = []
  const server = createServer((request, response) => {
    receive(request, { secrets: secret }).then(
      ({ event }) => {
        const status = statusOf(event.type)
        if (status < 300) types.push(event.type)
        return response.writeHead(status).end()
      },
      () => response.writeHead(401).end()
    )
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  // oxlint-disable-next-line no-unsafe-type-assertion -- a server that listens on a port has one
  return { types, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/renders` }
}

const all = ["job.created", "job.started", "job.chunk.accepted", "job.chunk.accepted", "job.completed"]

describe("Webhooks without Effect", () => {
  it("send what a manager's jobs do, and the rest after a restart", async () => {
    const dir = await folder()
    const secret = newSecret()
    let down = false
    const { types, url } = await listen(secret, (type) => (down && type !== "job.created" ? 503 : 204))
    const open = (drain: number) =>
      new Webhooks({
        repository: new FileJobRepository(path.join(dir, "jobs")),
        dir: path.join(dir, "webhooks"),
        endpoints: [{ id: "shop", url, secrets: [secret], headers: { "x-token": "t" } }],
        drain
      })
    const webhooks = open(5000)
    const manager = new JobManager({ repository: webhooks.repository })
    const { id } = await manager.createJob(spec)
    await manager.runJob(id, { workerAdapter, concurrency: 1 })
    await webhooks.close()
    assert.deepStrictEqual(types, all)

    down = true
    const second = open(0)
    const again = new JobManager({ repository: second.repository })
    const { id: next } = await again.createJob({ ...spec, id: "next" })
    await again.runJob(next, { workerAdapter, concurrency: 1 })
    await second.close()
    down = false
    const third = open(5000)
    assert.deepStrictEqual(await third.recover(), ["next"])
    await third.close()
    assert.deepStrictEqual(
      types
        .slice(5)
        .filter((type, i) => i > 0 || type !== "job.created")
        .slice(-4),
      all.slice(1)
    )
    assert.strictEqual(types[5], "job.created")
  })

  it("look up the endpoints of a job, and report what those did not get", async () => {
    const secret = newSecret()
    const { types, url } = await listen(secret, (type) => (type === "job.started" ? 500 : 204))
    const reports: Array<Report> = []
    const webhooks = new Webhooks({
      repository: new InMemoryJobRepository(),
      endpoints: async (jobId) => [
        { id: `of ${jobId}`, url, secrets: [secret], retry: { delay: 10, giveUpAfter: 50 } }
      ],
      report: async (report) => void reports.push(report)
    })
    const manager = new JobManager({ repository: webhooks.repository })
    const { id } = await manager.createJob({ ...spec, id: "film" })
    await manager.runJob(id, { workerAdapter, concurrency: 1 })
    await vi.waitUntil(() => types.includes("job.completed"), { timeout: 30_000 })
    await webhooks.close()
    assert.deepStrictEqual(types, all.toSpliced(1, 1))
    const [report] = reports
    assert.strictEqual(reports.length, 1)
    assert.isTrue(report?._tag === "GivenUp" && report.event.type === "job.started" && report.endpoint === "of film")
  })

  it("say that they are closed", async () => {
    const webhooks = new Webhooks({
      repository: new InMemoryJobRepository(),
      endpoints: [{ id: "shop", url: "https://shop.example", secrets: [newSecret()] }]
    })
    await webhooks.recover()
    await webhooks.close()
    await webhooks.close()
    const error = await webhooks.recover().catch((error: unknown) => error)
    assert.instanceOf(error, Error)
    assert.include(String(error), "these webhooks are closed")
  })

  it("say what is wrong with an endpoint", async () => {
    const webhooks = new Webhooks({
      repository: new InMemoryJobRepository(),
      endpoints: [{ id: "shop", url: "http://shop.example", secrets: [newSecret()] }]
    })
    const error = await webhooks.recover().catch((error: unknown) => error)
    assert.instanceOf(error, EndpointError)
    assert.include(String(error), "must be https")
    const manager = new JobManager({ repository: webhooks.repository })
    assert.match(String(await manager.createJob(spec).catch((error: unknown) => error)), /must be https/)
  })

  it("say what is wrong with an endpoint that no compiler has seen", async () => {
    const right = { id: "shop", url: "https://shop.example", secrets: [newSecret()] }
    const wrong: ReadonlyArray<readonly [object, string]> = [
      [{ secrets: newSecret() }, '"shop": it needs a list of secrets'],
      [{ secrets: undefined }, '"shop": it needs a list of secrets'],
      [{ secrets: [undefined] }, '"shop": secret 1 of it must be'],
      [{ id: undefined }, '"(no id)": its id must have'],
      [{ types: "job.completed" }, '"shop": its types must be a list'],
      [{ timeout: "soon" }, '"shop": its timeout is no time'],
      [{ retry: { delay: "a while" } }, '"shop": its delay is no time'],
      [{ since: "yesterday" }, '"shop": its since must be milliseconds']
    ]
    await Promise.all(
      wrong.map(async ([change, expected]) => {
        const endpoint = { ...right }
        Object.assign(endpoint, change)
        const webhooks = new Webhooks({ repository: new InMemoryJobRepository(), endpoints: [endpoint] })
        const error = await webhooks.recover().catch((error: unknown) => error)
        assert.instanceOf(error, EndpointError)
        assert.include(String(error), expected)
      })
    )
  })
})

describe("an option of Webhooks in plain JavaScript", () => {
  it("that is none is told at once", () => {
    const make = (): unknown => Reflect.construct(Webhooks, [{ endpoint: [] }])
    assert.throws(make, TypeError, "Webhooks: there is no option endpoint: did you mean endpoints?")
    const none = (): unknown => Reflect.construct(Webhooks, [])
    assert.throws(none, TypeError, "Webhooks: ")
  })
})
