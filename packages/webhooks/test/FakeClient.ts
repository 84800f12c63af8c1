/** An HTTP client that answers from a script, on the test clock: what was sent when, and what became of it. */
import { WebhookEvent } from "@helios-infra/webhooks"
import { Clock, Effect, Layer, Schema } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"

/** A request that was sent. */
export interface Sent {
  readonly at: number
  readonly host: string
  readonly event: WebhookEvent.WebhookEvent
  answered: number | "never" | "broken" | undefined
}

/** An answer: a status, a response, a connection that breaks, or whatever an effect takes its time for. */
export type Answer = number | Response | "broken" | Effect.Effect<number>

export interface FakeClient {
  readonly sent: Array<Sent>
  readonly layer: Layer.Layer<HttpClient.HttpClient>
  /** How many requests there are now, and were at once at most. */
  readonly open: () => { readonly now: number; readonly most: number }
  /** The types and places of what one host took, in order. */
  readonly taken: (host?: string) => ReadonlyArray<string>
}

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(WebhookEvent.WebhookEvent))

export const make = (script: (sent: Sent, count: number) => Answer = () => 204): FakeClient => {
  const sent: Array<Sent> = []
  let now = 0
  let most = 0
  const client = HttpClient.make((request, url) =>
    Effect.gen(function* () {
      const { body } = request
      const event = decode(new TextDecoder().decode(body._tag === "Uint8Array" ? body.body : new Uint8Array()))
      const one: Sent = { at: yield* Clock.currentTimeMillis, host: url.host, event, answered: undefined }
      sent.push(one)
      most = Math.max(most, ++now)
      const answer = script(one, sent.filter(({ host }) => host === url.host).length)
      if (answer === "broken") {
        one.answered = "broken"
        const cause = new Error("it broke")
        return yield* new HttpClientError.HttpClientError({
          reason: new HttpClientError.TransportError({ request, cause })
        })
      }
      const response =
        typeof answer === "number" || answer instanceof Response
          ? answer
          : yield* Effect.onInterrupt(answer, () => Effect.sync(() => void (one.answered = "never")))
      const web = typeof response === "number" ? new Response(null, { status: response }) : response
      one.answered = web.status
      return HttpClientResponse.fromWeb(request, web)
    }).pipe(Effect.ensuring(Effect.sync(() => void now--)))
  )
  return {
    sent,
    layer: Layer.succeed(HttpClient.HttpClient, client),
    open: () => ({ now, most }),
    taken: (host) =>
      sent
        .filter((one) => typeof one.answered === "number" && one.answered < 300 && (host ?? one.host) === one.host)
        .map(({ event }) => `${event.sequence} ${event.type}`)
  }
}
