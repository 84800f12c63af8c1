/**
 * The Promise API of this package: webhooks of the jobs of a `JobManager`, for
 * `new JobManager({ repository: webhooks.repository })`. What receivers need is in `@helios-infra/webhooks/verify`.
 */
import * as FromPromises from "@helios-infra/core/FromPromises"
import { JobRepository as Jobs, RepositoryError, Unavailable } from "@helios-infra/core/JobRepository"
import type { JobRepository } from "@helios-infra/core/promise"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import { RepositoryClass } from "@helios-infra/core/RepositoryClass"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as FolderCursors from "./FolderCursors.ts"
import * as WebhookClient from "./WebhookClient.ts"
import { type CursorError, layerMemory } from "./WebhookCursors.ts"
import { type Endpoint as EffectEndpoint, EndpointError, type Retry } from "./WebhookEndpoint.ts"
import * as Core from "./Webhooks.ts"
import * as WebhookSignature from "./WebhookSignature.ts"

export type { Deleted, EndpointGone, GivenUp, Report } from "./Webhooks.ts"
export type { Retry } from "./WebhookEndpoint.ts"
export type { WebhookEvent, WebhookEventType } from "./WebhookEvent.ts"
export { CursorError } from "./WebhookCursors.ts"
export { EndpointError } from "./WebhookEndpoint.ts"

/**
 * Where events are posted: `WebhookEndpoint.Endpoint`, with texts as secrets. Times are in milliseconds, or texts such as
 * `"30 seconds"`.
 */
export interface Endpoint extends Omit<EffectEndpoint, "secrets" | "headers" | "retry"> {
  /** What signs the events, each `whsec_…`; two while one is changed for another. `newSecret` makes one. */
  readonly secrets: ReadonlyArray<string>
  /** Headers beside those of the protocol, which they cannot replace. No log shows what they hold. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly retry?: Retry | undefined
}

/** What is sent where. */
export interface WebhooksOptions {
  /** Where jobs are kept: give the manager `webhooks.repository` in its place. */
  readonly repository: JobRepository
  /**
   * The endpoints of all jobs; or a function that looks up those of one job: when it is created, when a run begins or ends,
   * before each further try, and after a restart. It has 30 seconds.
   */
  readonly endpoints: ReadonlyArray<Endpoint> | ((jobId: string) => Promise<ReadonlyArray<Endpoint>>)
  /** The folder that remembers how far each endpoint has come; made when it is not there. Default: in memory. */
  readonly dir?: string | undefined
  /** Told what an endpoint did not get; when it rejects, the event is tried, and reported, again. Default: the log. */
  readonly report?: ((report: Core.Report) => Promise<void> | void) | undefined
  /** Whether this machine and private networks may be connected to. Default: `"allow"`; `"refuse"` where users set URLs. */
  readonly privateAddresses?: "allow" | "refuse" | undefined
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: string | ReadonlyArray<string> | undefined
  /** How many milliseconds `close` waits for endpoints that take what is due to them. Default: 5000. */
  readonly drain?: number | undefined
}

const rules: PromiseOptions.Rules<WebhooksOptions> = {
  repository: PromiseOptions.methods("save", "get", "list", "delete"),
  endpoints: PromiseOptions.anything,
  dir: PromiseOptions.text,
  report: PromiseOptions.callable,
  privateAddresses: PromiseOptions.oneOf("allow", "refuse"),
  ca: PromiseOptions.anything,
  drain: PromiseOptions.millis
}

/** Makes a secret, for one endpoint and no other. */
export const newSecret = (): string => Redacted.value(Effect.runSync(WebhookSignature.newSecret))

const isList = (value: unknown): boolean => Array.isArray(value)

const redacted = ({ headers, secrets, ...endpoint }: Endpoint): EffectEndpoint => ({
  ...endpoint,
  // In plain JavaScript they can be one text, or a variable that is not set: what is wrong is said where they are checked.
  secrets: isList(secrets) ? secrets.map((secret) => Redacted.make(secret)) : [],
  ...(headers === undefined
    ? undefined
    : { headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Redacted.make(value)])) })
})

type Failure = RepositoryError | CursorError | EndpointError

/** Sends the events of jobs from when it is first used until it is closed. */
export class Webhooks {
  /** What a `JobManager` is given, so that events are sent as they happen. */
  readonly repository: RepositoryClass
  readonly #runtime: ManagedRuntime.ManagedRuntime<Core.Webhooks | Jobs, Failure>
  #closed = false

  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(options: WebhooksOptions) {
    PromiseOptions.check("Webhooks", options, rules, ["repository", "endpoints"])
    const { ca, dir, drain, endpoints, privateAddresses, report, repository } = options
    this.#runtime = ManagedRuntime.make(
      Core.layer({
        endpoints:
          typeof endpoints === "function"
            ? (jobId) =>
                Effect.map(
                  Effect.tryPromise({
                    try: () => endpoints(jobId),
                    catch: (cause) =>
                      new EndpointError({
                        endpoint: "(all)",
                        fix: `those of job ${jobId} are not known: ${String(cause)}`
                      })
                  }),
                  (found) => found.map(redacted)
                )
            : endpoints.map(redacted),
        drain,
        ...(report === undefined
          ? undefined
          : {
              report: (told) =>
                Effect.tryPromise({
                  try: async () => {
                    await report(told)
                  },
                  catch: (cause) => new Core.ReportError({ cause })
                })
            })
      }).pipe(
        Layer.provide([
          FromPromises.jobRepository(repository),
          dir === undefined ? layerMemory : FolderCursors.layer({ dir }),
          WebhookClient.layer({ privateAddresses, ca })
        ])
      )
    )
    const jobs = Layer.effect(
      Jobs,
      Effect.flatMap(this.#runtime.contextEffect, (context) => Effect.provide(Jobs, context)).pipe(
        Effect.mapError((cause) =>
          cause._tag === "RepositoryError"
            ? cause
            : new RepositoryError({ jobId: "(all jobs)", reason: new Unavailable({ cause }) })
        )
      )
    )
    this.repository = new RepositoryClass(jobs)
  }

  /**
   * Sends what is due of jobs that ended while nobody sent, and of those whose process died: once, at the start of a
   * process. Resolves with their ids; the sending goes on.
   */
  recover(options: Core.RecoverOptions = {}): Promise<ReadonlyArray<string>> {
    return this.#run(Core.Webhooks.use((webhooks) => webhooks.recover(options)))
  }

  /** Sends what happened and will happen to a job that another repository than this one's is told of. */
  watch(jobId: string): Promise<void> {
    return this.#run(Core.Webhooks.use((webhooks) => webhooks.watch(jobId)))
  }

  /** Sends one event of a job again to an endpoint, and all after it, by its `sequence`. */
  resend(jobId: string, options: { readonly endpoint: string; readonly sequence: number }): Promise<void> {
    return this.#run(Core.Webhooks.use((webhooks) => webhooks.resend(jobId, options)))
  }

  /** Lets an endpoint that answered 410 have events again, those that were due to it first. */
  reopen(endpoint: string): Promise<void> {
    return this.#run(Core.Webhooks.use((webhooks) => webhooks.reopen(endpoint)))
  }

  /** Waits a moment for endpoints that take what is due to them, and stops. The rest is sent after the next `recover`. */
  close(): Promise<void> {
    this.#closed = true
    return this.#runtime.dispose()
  }

  #run<A>(effect: Effect.Effect<A, Failure, Core.Webhooks>): Promise<A> {
    if (this.#closed) return Promise.reject(new Error("these webhooks are closed: what is due is sent by new ones"))
    return PromiseBacking.run(Effect.flatMap(this.#runtime.contextEffect, (context) => Effect.provide(effect, context)))
  }
}
