/**
 * Secrets and signatures of webhooks, for Effect programs: as the Standard Webhooks specification has them, so that any
 * library that implements it verifies what is sent here (standardwebhooks.com).
 *
 * Receivers without Effect take `verify` of `@helios-infra/webhooks/verify`, which this is built on.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as standard from "./internal/standardWebhooks.ts"
import * as plain from "./verify.ts"

/** A request is not accepted: see `VerificationReason` of `./verify` for what each reason means. */
export class InvalidWebhook extends Schema.TaggedError<InvalidWebhook>()("InvalidWebhook", {
  reason: Schema.Literals([
    "MissingHeaders",
    "WrongTime",
    "WrongSignature",
    "TooLarge",
    "NotAnEvent",
    "InvalidSecret"
  ] satisfies ReadonlyArray<plain.VerificationReason>),
  /** The status to answer with. */
  status: Schema.Int,
  message: Schema.String
}) {}

/** How a webhook is verified. */
export interface Options {
  /** The secrets that may have signed it; several while one is changed for another. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** How far its time may be off. Default: 5 minutes. */
  readonly tolerance?: Duration.Input | undefined
}

/**
 * Verifies a webhook by its body, exactly as it came. That an event has come before is for its receiver to know, by the
 * `id`.
 *
 * ```ts
 * import * as WebhookSignature from "@helios-infra/webhooks/WebhookSignature"
 * import * as Config from "effect/Config"
 * import * as Effect from "effect/Effect"
 * import * as HttpRouter from "effect/http/HttpRouter"
 * import * as HttpServerRequest from "effect/http/HttpServerRequest"
 * import * as HttpServerResponse from "effect/http/HttpServerResponse"
 *
 * export const route = HttpRouter.add(
 *   "POST",
 *   "/renders",
 *   Effect.gen(function* () {
 *     const request = yield* HttpServerRequest.HttpServerRequest
 *     const secret = yield* Config.Redacted("WEBHOOK_SECRET")
 *     const body = new Uint8Array(yield* request.arrayBuffer)
 *     const { event } = yield* WebhookSignature.verify(body, request.headers, { secrets: [secret] })
 *     yield* Effect.log(event.type)
 *     return HttpServerResponse.empty()
 *   }).pipe(
 *     Effect.catchTag("InvalidWebhook", ({ message, status }) =>
 *       Effect.succeed(HttpServerResponse.text(message, { status }))
 *     )
 *   )
 * )
 * ```
 */
export const verify: (
  body: string | ArrayBuffer | Uint8Array,
  headers: plain.WebhookHeaders,
  options: Options
) => Effect.Effect<plain.Verified, InvalidWebhook> = Effect.fn("WebhookSignature.verify")(
  function* (body, headers, options) {
    const now = yield* Clock.currentTimeMillis
    const secrets = options.secrets.map(Redacted.value)
    const tolerance = options.tolerance === undefined ? undefined : Duration.toMillis(options.tolerance)
    return yield* Effect.callback<plain.Verified, InvalidWebhook>((resume) => {
      plain.verify(body, headers, { secrets, tolerance, now }).then(
        (verified) => resume(Effect.succeed(verified)),
        (cause: unknown) =>
          resume(
            cause instanceof plain.WebhookVerificationError
              ? Effect.fail(new InvalidWebhook({ reason: cause.reason, status: cause.status, message: cause.message }))
              : Effect.die(cause)
          )
      )
    })
  }
)

/** Makes a secret of 32 random bytes, for one endpoint and no other. */
export const newSecret: Effect.Effect<Redacted.Redacted> = Effect.sync(() =>
  Redacted.make(standard.secretOf(crypto.getRandomValues(new Uint8Array(32))))
)
