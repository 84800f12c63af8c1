/**
 * A service on Cloud Run, on this machine: the real adapter with Google's own library for tokens, instances in processes of
 * their own that check them, real commands and ffmpeg, and a server that speaks as Cloud Storage does.
 *
 * In front of the instances stands what Cloud Run puts there: it gives each a request at a time, answers 429 when none is
 * free, starts another one where one has ended, and passes on that a client has gone.
 */
import { path as ffmpegPath } from "@ffmpeg-installer/ffmpeg"
import { CloudRunAdapter } from "@helios-infra/adapter-cloudrun"
import { LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { GcsArtifactStorage } from "@helios-infra/storage-gcs"
import { Effect, Layer } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync } from "node:fs"
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http"
import { join } from "node:path"
import process from "node:process"
import { buffer } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { environment } from "../../packages/adapter-cloudrun/test/CloudRunService.ts"
import * as MetadataServer from "../../packages/adapter-cloudrun/test/MetadataServer.ts"
import * as StrictGcs from "../../packages/storage-gcs/test/StrictGcs.ts"
import type { Orders } from "./fixtures/instance.ts"
import * as Program from "./Program.ts"
import { folder } from "./RealMachine.ts"

/**
 * What goes wrong with a request.
 *
 * - `Full`: there is no instance for it.
 * - `Cut`: its connection breaks once the answer has begun.
 * - `Kill`, `End`: its instance gets that signal once it renders.
 * - `Late`: its answer is held back, and its instance is not told when the client goes.
 */
type Fault =
  | { readonly _tag: "Full"; readonly retryAfter?: string }
  | { readonly _tag: "Cut" }
  | { readonly _tag: "Kill" | "End" }
  | { readonly _tag: "Late"; readonly ms: number }

/** A request that an instance was given. */
interface Call {
  readonly instance: number
  readonly body: string
  /** Whether the worker has begun to answer. */
  answering: boolean
  ended: boolean
}

interface Instance {
  readonly number: number
  readonly child: ChildProcess
  readonly url: Promise<string>
  busy: boolean
}

const account = "orchestrator@films.iam.gserviceaccount.com"

const program = Program.make("instance")

const open = async (options: {
  readonly program: string
  readonly instances: number
  readonly root: string
  readonly orders: (dir: string) => Orders
}) => {
  const calls: Array<Call> = []
  const faults: Array<Fault> = []
  const instances: Array<Instance> = []
  let made = 0

  const startInstance = (): Instance => {
    const number = ++made
    const dir = join(options.root, `instance-${number}`)
    mkdirSync(dir)
    const child = spawn(process.execPath, [options.program, JSON.stringify(options.orders(dir))], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const url = new Promise<string>((resolve, reject) => {
      let printed = ""
      child.stdout.on("data", (piece: Buffer) => {
        printed += piece.toString()
        const found = /http:\/\/[\w.]+:\d+/.exec(printed)
        if (found !== null) resolve(found[0])
      })
      child.once("exit", (code) => reject(new Error(`instance ${number} ended with ${code}: ${printed}`)))
    })
    url.catch(() => {})
    const instance = { number, child, url, busy: false }
    instances.push(instance)
    child.once("exit", () => void instances.splice(instances.indexOf(instance), 1))
    return instance
  }

  const pass = async (from: IncomingMessage, response: ServerResponse): Promise<void> => {
    const fault = faults.shift()
    if (fault?._tag === "Full") {
      await buffer(from)
      response.writeHead(429, fault.retryAfter === undefined ? {} : { "retry-after": fault.retryAfter })
      response.end("The request was aborted because there was no available instance.")
      return
    }
    const free = instances.find(({ busy }) => !busy)
    if (free === undefined && instances.length >= options.instances) {
      await buffer(from)
      response.writeHead(429).end("The request was aborted because there was no available instance.")
      return
    }
    const instance = free ?? startInstance()
    instance.busy = true
    const body = await buffer(from)
    const call: Call = { instance: instance.number, body: body.toString(), answering: false, ended: false }
    calls.push(call)
    try {
      const { headers, method, url } = from
      const upstream = request(new URL(url ?? "/", await instance.url), { method, headers, agent: false })
      if (fault?._tag !== "Late") response.once("close", () => upstream.destroy())
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        upstream.once("response", resolve).once("error", reject)
        upstream.end(body)
      })
      if (fault?._tag === "Kill") instance.child.kill("SIGKILL")
      if (fault?._tag === "End") instance.child.kill("SIGTERM")
      if (fault?._tag === "Late") {
        const late = await buffer(answer)
        call.ended = true
        setTimeout(() => response.writeHead(answer.statusCode ?? 200, answer.headers).end(late), fault.ms)
        return
      }
      call.answering = true
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      if (fault?._tag === "Cut") {
        answer.once("data", () => response.destroy())
      }
      await pipeline(answer, response)
    } catch {
      // What Cloud Run says when an instance ends in the middle of an answer: nothing, once the answer has begun.
      if (response.headersSent) response.destroy()
      else response.writeHead(503).end("The request failed because the instance could not start, or ended.")
    } finally {
      call.ended = true
      instance.busy = false
    }
  }

  // Warm ones: how long they take to start is not what is tried.
  await Promise.all(Array.from({ length: options.instances }, () => startInstance().url))
  const server = createServer((from, response) => void pass(from, response))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" ? address?.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    /** What instances were given, in the order in which it came. */
    calls,
    /** The next requests go wrong in these ways, one each. */
    fault: (...next: ReadonlyArray<Fault>) => void faults.push(...next),
    /** How many instances were started. */
    started: () => made,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      for (const { child } of instances) child.kill("SIGKILL")
    }
  }
}

/** A farm that is gone with the scope. */
export const make = Effect.fnUntraced(function* (
  options: { readonly instances?: number; readonly lifetimeSeconds?: number } = {}
) {
  const { instances = 4, lifetimeSeconds } = options
  const root = yield* folder
  const gcs = yield* StrictGcs.start
  const metadata = yield* Effect.acquireRelease(
    Effect.promise(() => MetadataServer.start({ email: account, lifetimeSeconds })),
    (server) => Effect.promise(() => server.close())
  )
  yield* environment({
    GCE_METADATA_HOST: metadata.host,
    METADATA_SERVER_DETECTION: "assume-present",
    GOOGLE_APPLICATION_CREDENTIALS: undefined,
    HOME: "/nonexistent"
  })
  const audience = "https://render.films.example"
  const bucket = { bucket: StrictGcs.bucket, apiEndpoint: gcs.endpoint, credentials: StrictGcs.keyFile }
  const file = yield* program
  const service = yield* Effect.acquireRelease(
    Effect.promise(() =>
      open({
        program: file,
        instances,
        root,
        orders: (workspaceDir) => ({
          workspaceDir,
          audience,
          account,
          jwksUrl: metadata.keysUrl,
          ffmpegPath,
          storage: bucket
        })
      })
    ),
    (service) => Effect.promise(() => service.close())
  )
  const adapter = CloudRunAdapter.layer({ serviceUrl: service.url, audience, concurrency: instances })
  return { root, gcs, metadata, service, adapter, storage: GcsArtifactStorage.layer(bucket) }
})

/** A farm. */
export type CloudRunFarm = Effect.Success<ReturnType<typeof make>>

/** A manager whose chunks render on the farm, for the job in `dir`. */
export const layer = ({ adapter, storage }: CloudRunFarm, dir: string) =>
  JobManager.layer.pipe(
    Layer.provideMerge(JobRepository.layerMemory),
    Layer.provide([adapter, storage, FfmpegStitcher.layer({ ffmpegPath }), FfmpegOutputCheck.layer({ ffmpegPath })]),
    Layer.provide(LocalWorkspace.layer({ dir }))
  )
