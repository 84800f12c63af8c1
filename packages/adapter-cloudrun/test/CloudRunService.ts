/** A service on Cloud Run, on this machine: only who proves who they are gets to its worker, and not more at once than fit. */
import { assert } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as FakePlatform from "../../adapter-http/test/FakePlatform.ts"
import * as FakeWorker from "../../adapter-http/test/FakeWorker.ts"
import * as MetadataServer from "./MetadataServer.ts"

export interface Options {
  readonly worker?: FakeWorker.Options | undefined
  /** How many instances it has. Default: 10. */
  readonly instances?: number | undefined
  /** Who may call it. Default: the accounts of the metadata server. */
  readonly invokers?: ReadonlyArray<string> | undefined
  /** Its `--timeout`, in milliseconds, within which the worker has to say something. Default: 10 seconds. */
  readonly timeoutMs?: number | undefined
  /** A custom audience of the service. */
  readonly audience?: string | undefined
  readonly metadata?: MetadataServer.Options | undefined
}

export interface CloudRunService {
  readonly metadata: MetadataServer.MetadataServer
  readonly worker: FakeWorker.FakeWorker
  readonly serviceUrl: string
  /** The tokens that came, also those that did not count. */
  readonly tokens: Array<string>
  /** From now on, this token does not count. */
  readonly revoke: (token: string) => void
}

/** What the process is told of Google, as the test wants it. */
export const environment = (
  variables: Readonly<Record<string, string | undefined>>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Object.keys(variables).map((name) => [name, process.env[name]] as const)
      for (const [name, value] of Object.entries(variables)) set(name, value)
      return before
    }),
    (before) =>
      Effect.sync(() => {
        for (const [name, value] of before) set(name, value)
      })
  )

const set = (name: string, value: string | undefined): void => {
  if (value === undefined) delete process.env[name]
  else process.env[name] = value
}

/** A service, and the metadata server of the machine that calls it. */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<CloudRunService, never, Scope.Scope> {
  const { invokers, timeoutMs = 10_000 } = options
  const metadata = yield* Effect.acquireRelease(
    Effect.promise(() => MetadataServer.start(options.metadata)),
    (server) => Effect.promise(() => server.close())
  )
  yield* environment({
    GCE_METADATA_HOST: metadata.host,
    METADATA_SERVER_DETECTION: "assume-present",
    GOOGLE_APPLICATION_CREDENTIALS: undefined,
    HOME: "/nonexistent"
  })
  const worker = yield* FakeWorker.make(options.worker)
  const tokens: Array<string> = []
  const revoked = new Set<string>()

  const guard = async ({ headers }: { readonly headers: NodeJS.Dict<string | Array<string>> }) => {
    const proof = headers["x-serverless-authorization"] ?? headers["authorization"]
    // Without any proof somebody anonymous asks, who may not.
    if (proof === undefined) return { status: 403, body: "Your client does not have permission to get URL" }
    const token = String(proof).replace("Bearer ", "")
    tokens.push(token)
    const audience = options.audience ?? platform.origin
    const caller = await metadata.verify(token, audience).catch(() => undefined)
    if (caller === undefined || revoked.has(token)) {
      return { status: 401, body: "The access token could not be verified" }
    }
    return invokers === undefined || invokers.includes(caller.email)
      ? undefined
      : { status: 403, body: "Your client does not have permission to get URL" }
  }

  const platform: FakePlatform.FakePlatform = yield* FakePlatform.make({
    worker: worker.url,
    guard,
    maxBodyBytes: 32 * 1024 ** 2,
    tooLarge: { status: 413 },
    capacity: options.instances ?? 10,
    full: { status: 429, body: "The request was aborted because there was no available instance." },
    idleMs: timeoutMs,
    idle: { status: 504, body: "upstream request timeout" }
  })
  assert.match(platform.origin, /^http:/)
  return {
    metadata,
    worker,
    serviceUrl: platform.origin,
    tokens,
    revoke: (token) => void revoked.add(token)
  }
})
