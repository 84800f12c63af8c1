/**
 * Runs attempts on any HTTP endpoint that speaks `WorkerProtocol`: one request for each, answered when the chunk is
 * rendered, or with events while it is.
 *
 * ```
 * WorkerJob ─requestOf→ POST url ─→ the worker ─→ events, one per line, the last with the answer ─→ signals, WorkerResult
 *                                           └──→ the answer alone, as JSON ─────────────────────→ WorkerResult
 * ```
 *
 * An attempt that is interrupted has its connection closed. A worker that sends events notices, and stops; one that
 * answers only in the end may not, and `NotStopped` is told of it. Redirects are not followed: credentials would go
 * wherever they lead.
 *
 * Nothing is deployed here, and nothing stored: the worker and its job file are there before.
 */
import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
import * as WorkerAnswer from "@helios-infra/core/WorkerAnswer"
import { Refused, TimedOut, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import * as TraceContext from "@helios-infra/core/TraceContext"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Credentials from "./Credentials.ts"
import * as body from "./internal/body.ts"
import * as connection from "./internal/connection.ts"
import * as events from "./internal/events.ts"
import * as statusFault from "./internal/statusFault.ts"
import { describe, isOpen, parse } from "./internal/target.ts"

/** Where the worker is, and how it is called; everything here can come from `Config`. */
export interface EndpointOptions {
  /** Where requests are sent, with the path: `https://workers.example/render`. */
  readonly url: string
  /** Secrets that are shared with the worker. Default: none are sent. */
  readonly auth?: Credentials.Auth | undefined
  /** Headers beside those of the protocol, the same for every request. Not for secrets: traces show them. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** How many attempts at once suit it when nobody says. Default: 10. */
  readonly concurrency?: number | undefined
  /** How many attempts at once it can take at most. Default: no limit. */
  readonly maxConcurrency?: number | undefined
  /** How long one request can take at most, where something on the way has a limit. Default: no limit. */
  readonly maxDuration?: Duration.Input | undefined
  /** How large a request can be at most, in bytes, where something on the way has a limit. Default: no limit. */
  readonly maxRequestBytes?: number | undefined
  /**
   * How long a worker that sends events can be silent before it counts as gone. Default: 30 seconds, six times what is
   * between two heartbeats. One that answers only in the end can be silent all the time.
   */
  readonly idleTimeout?: Duration.Input | undefined
  /** How long a connection may take to come about. Default: 10 seconds. */
  readonly connectTimeout?: Duration.Input | undefined
  /** Where the worker reads the job file of jobs that have no storage: an https URL, or a path that it knows. */
  readonly jobDefUrl?: string | undefined
  /** The adapter's name, as errors and events give it. Default: `"http"`. */
  readonly name?: string | undefined
}

/** How a worker is called. */
export interface Options extends EndpointOptions {
  /** Credentials that are more than a shared secret, such as tokens that expire. Sent beside what `auth` says. */
  readonly credentials?: Credentials.Credentials | undefined
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: string | ReadonlyArray<string> | undefined
  /**
   * A client of your own, in place of `ca` and `connectTimeout`. It must not follow redirects, must not send requests
   * again, and must let an answer take as long as a render does: most give up after five minutes.
   */
  readonly client?: HttpClient.HttpClient | undefined
}

const defaultName = "http"

const defaultConcurrency = 10

const defaultConnectTimeout = Duration.seconds(10)

/** Some heartbeats may be late, and one that is lost is no reason to give up what was rendered. */
const defaultIdleTimeout = Duration.millis(6 * WorkerProtocol.heartbeatMs)

/** The longest answer in one piece, in bytes: it holds bounded tails, so it is far below. */
const maxReplyBytes = events.maxLineBytes

/** How long the end of an answer is waited for that only said that credentials are not good. */
const renewalPatience = Duration.seconds(1)

const accept = `${WorkerProtocol.eventsMediaType}, application/json;q=0.9`

/** What an adapter says of itself. */
export const info = (
  options: Pick<EndpointOptions, "concurrency" | "maxConcurrency" | "maxDuration" | "name">
): WorkerAdapter.WorkerAdapterInfo => {
  const { concurrency = defaultConcurrency, maxConcurrency = Infinity, maxDuration, name = defaultName } = options
  return {
    name,
    where: "remote",
    stop: "best-effort",
    concurrency: Math.min(concurrency, maxConcurrency),
    ...(options.maxConcurrency === undefined ? undefined : { maxConcurrency }),
    ...(maxDuration === undefined ? undefined : { maxDuration })
  }
}

const encodeRequest = Schema.encodeEffect(Schema.fromJsonString(WorkerProtocol.WorkerRequest))

const decodeErrorReply = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.toCodecJson(WorkerProtocol.WorkerReply))
)

const isEvents = (response: HttpClientResponse.HttpClientResponse): boolean =>
  Option.getOrElse(Headers.get(response.headers, "content-type"), () => "").startsWith(WorkerProtocol.eventsMediaType)

/** Says so when secrets can be read on the way. */
const checkSecrecy = (url: string, secrets: ReadonlyArray<string>): Effect.Effect<void> => {
  const target = parse(url)
  const sent = secrets.filter((header) => header !== WorkerProtocol.signatureHeader)
  return target !== undefined && isOpen(target) && sent.length > 0
    ? Effect.logWarning(
        `what ${sent.join(" and ")} of requests to ${describe(target)} holds can be read on the way there: use https, or sign requests with auth.secret`
      )
    : Effect.void
}

/** How far an attempt is, for whoever stops it. */
type Phase = "waiting" | "streaming" | "answered"

/** The adapter; its connections close with the scope. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<WorkerAdapter.WorkerAdapter["Service"], never, Scope.Scope> {
  const { auth = {}, ca, maxRequestBytes = Infinity, name = defaultName } = options
  const idleTimeout = Duration.fromInputUnsafe(options.idleTimeout ?? defaultIdleTimeout)
  const connectTimeoutMs = Duration.toMillis(Duration.fromInputUnsafe(options.connectTimeout ?? defaultConnectTimeout))
  const maxDurationMs =
    options.maxDuration === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(options.maxDuration))
  const credentials = Credentials.all([
    Credentials.fromAuth(auth),
    ...(options.credentials === undefined ? [] : [options.credentials])
  ])
  yield* checkSecrecy(options.url, credentials.secret)
  const client = HttpClient.withScope(options.client ?? (yield* connection.make({ ca, connectTimeoutMs })))
  const redacted = [...(yield* Headers.CurrentRedactedNames), ...credentials.secret]
  /** Whether this worker was seen to send events: then it notices when nobody listens any more. */
  let sendsEvents = false

  const execute = Effect.fn("HttpWorkerAdapter.execute")(function* (
    job: WorkerAdapter.WorkerJob,
    signal: (signal: WorkerAdapter.WorkerSignal) => void
  ) {
    const fail = (reason: WorkerReason, workerId?: string) =>
      Effect.fail(WorkerAdapter.failure(name, job, reason, workerId))
    const { meta } = job
    const jobPath = meta.jobDefUrl ?? options.jobDefUrl
    const request = WorkerProtocol.requestOf(job, jobPath ?? "")
    if (request === undefined || meta._tag === "Merge") {
      const fix = "a mergeCommand runs where all chunks are: give the run a mergeAdapter, such as the local one"
      return yield* fail(new Refused({ why: "Unsupported", fix }))
    }
    if (jobPath === undefined || jobPath === "") {
      const fix = "the worker has no job file to read: give the job a storage, or the adapter a jobDefUrl"
      return yield* fail(new Refused({ why: "InvalidJob", fix }))
    }
    const url = parse(options.url)
    if (url === undefined) {
      const fix = "the option url is no http or https URL: set it to where the worker is, with its path"
      return yield* fail(new Refused({ why: "NotFound", fix }))
    }
    const text = yield* Effect.orDie(encodeRequest(request))
    const bytes = Buffer.byteLength(text)
    if (bytes > maxRequestBytes) {
      const fix = `the request has ${bytes} bytes, and ${describe(url)} takes ${maxRequestBytes}: make the job's env smaller`
      return yield* fail(new Refused({ why: "TooLarge", fix }))
    }
    const post = HttpClientRequest.post(url).pipe(
      HttpClientRequest.setHeaders({ ...options.headers, accept, ...TraceContext.headers(meta) }),
      HttpClientRequest.bodyText(text, "application/json")
    )
    const startedAt = yield* Clock.currentTimeMillis
    let phase: Phase = "waiting"

    /** A request that ran into the platform's limit says so in many ways. */
    const orTimedOut = (reason: WorkerReason): Effect.Effect<WorkerReason> =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        (reason._tag === "Transport" || reason._tag === "WorkerLost") &&
        statusFault.isAtLimit(now - startedAt, maxDurationMs)
          ? new TimedOut({ limit: "platform", afterMs: now - startedAt })
          : reason
      )
    const failAs = (reason: WorkerReason, workerId?: string) =>
      Effect.flatMap(orTimedOut(reason), (known) => fail(known, workerId))

    const broken = ({ reason }: HttpClientError) =>
      failAs(statusFault.reasonOfCause("cause" in reason ? (reason.cause ?? reason) : reason, url))

    const whole = (response: HttpClientResponse.HttpClientResponse) =>
      body.text(response, maxReplyBytes).pipe(
        Effect.catchTags({
          HttpClientError: broken,
          TooLong: ({ limit }) => {
            const fix = `${describe(url)} answered more than ${limit} bytes: outputs belong into a storage`
            return fail(new Refused({ why: "TooLarge", fix }))
          }
        })
      )

    const byEvents = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
      const { frameCount } = meta
      return yield* events
        .read({ stream: response.stream, idleTimeout, frameCount, from: describe(url), signal })
        .pipe(Effect.catch(({ reason, workerId }) => failAs(reason, workerId)))
    })

    const byStatus = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
      const { headers, status } = response
      // What is wrong is known by now: its words are waited for, but not for long.
      const said = yield* body.text(response, maxReplyBytes).pipe(Effect.timeout(idleTimeout), Effect.option)
      const text = Option.getOrElse(said, () => "")
      const reply = Option.getOrUndefined(decodeErrorReply(text))
      const isAuth = status === 401 || status === 403
      if (reply?._tag === "Error" && !isAuth) {
        return yield* WorkerAnswer.settle({ adapter: name, job, reply, signal })
      }
      const words = reply?._tag === "Error" ? reply.error.reason.message : text
      const now = yield* Clock.currentTimeMillis
      const elapsedMs = now - startedAt
      const { help } = credentials
      return yield* fail(statusFault.reasonOf({ status, headers, words, help, elapsedMs, maxDurationMs, now, url }))
    })

    const send = Effect.fnUntraced(function* (rejected: Credentials.Headers | undefined) {
      const proof = yield* Effect.catch(credentials.headers({ url: options.url, body: text, rejected }), (reason) =>
        fail(reason)
      )
      const response = yield* client.execute(HttpClientRequest.setHeaders(post, proof)).pipe(
        Effect.provideService(Headers.CurrentRedactedNames, redacted),
        // The attempt's are sent, for a worker has that as its parent, and none where nobody records spans.
        Effect.provideService(HttpClient.TracerPropagationEnabled, false),
        Effect.catch(broken)
      )
      return { proof, response }
    })

    const end = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
      const { status } = response
      const isAnswer = status >= 200 && status < 300
      if (isAnswer && isEvents(response)) {
        sendsEvents = true
        phase = "streaming"
        const { reply, told } = yield* byEvents(response)
        return yield* WorkerAnswer.settle({ adapter: name, job, reply, signal, told })
      }
      phase = "answered"
      if (!isAnswer) return yield* byStatus(response)
      const answer = yield* whole(response)
      const reply = yield* Effect.catch(WorkerAnswer.read(answer, describe(url)), (reason) => fail(reason))
      return yield* WorkerAnswer.settle({ adapter: name, job, reply, signal })
    })

    return yield* Effect.gen(function* () {
      const first = yield* send(undefined)
      if (first.response.status !== 401 || !credentials.renewable) return yield* end(first.response)
      // Its words do not matter, its connection can be used again.
      yield* body.text(first.response, maxReplyBytes).pipe(Effect.timeout(renewalPatience), Effect.ignore)
      const { response } = yield* send(first.proof)
      return yield* end(response)
    }).pipe(
      Effect.scoped,
      Effect.onInterrupt(() =>
        Effect.sync(() => {
          if (phase === "waiting" && !sendsEvents) signal({ _tag: "NotStopped", detail: runsOn(job, url) })
        })
      )
    )
  })

  return WorkerAdapter.make({ info: info(options), execute })
})

/** What is left of an attempt whose request was given up. */
const runsOn = (job: WorkerAdapter.WorkerJob, url: URL): string =>
  `${job.id} may run on at ${describe(url)}: its connection is closed, and a worker that has sent no events so far may not notice. It ends when it finds its sign to stop, or at the limit of its platform, and what it writes is not used`

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<WorkerAdapter.WorkerAdapter> =>
  Layer.effect(WorkerAdapter.WorkerAdapter, make(options))

/**
 * {@link layer} with options from `Config`.
 *
 * ```ts
 * import * as HttpWorkerAdapter from "@helios-infra/adapter-http/HttpWorkerAdapter"
 * import * as Config from "effect/Config"
 *
 * export const workers = HttpWorkerAdapter.layerConfig({
 *   url: Config.String("RENDER_URL"),
 *   auth: { bearer: Config.Redacted("RENDER_TOKEN") }
 * })
 * ```
 */
export const layerConfig = (
  options: Config.Wrap<EndpointOptions>
): Layer.Layer<WorkerAdapter.WorkerAdapter, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
