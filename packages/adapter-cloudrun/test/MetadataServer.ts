/**
 * Google's metadata server on this machine, as `google-auth-library` asks it when `GCE_METADATA_HOST` names it: it gives
 * real ID tokens, signed with a key of its own, that whoever has `verify` can check. It is Google's token server as well,
 * for the keys of service accounts.
 */
import { exportJWK, exportPKCS8, generateKeyPair, jwtVerify, SignJWT } from "jose"
import * as http from "node:http"

/** What is wrong with it just now. */
type Fault = { readonly status: number; readonly body?: string } | "drop"

export interface Options {
  /** How long a token counts. Default: 3600, as Google's do. */
  readonly lifetimeSeconds?: number | undefined
  /** The account that the machine runs as. */
  readonly email?: string | undefined
}

/** Who sends a request, as far as its token says. */
interface Caller {
  readonly email: string
}

export interface MetadataServer extends AsyncDisposable {
  /** For `GCE_METADATA_HOST`. */
  readonly host: string
  readonly origin: string
  /** The audiences that tokens were asked for, one for each request. */
  readonly asked: Array<string>
  /** Faults for the next requests for a token, one for each. */
  readonly faults: Array<Fault>
  /** How far its clock, and that of whoever checks its tokens, is ahead of this machine's, in seconds. */
  aheadSeconds: number
  /** Whose a token is, if it counts for this audience; fails where it does not. */
  readonly verify: (token: string, audience: string) => Promise<Caller>
  /** A token as it gives them, without being asked. */
  readonly sign: (audience: string) => Promise<string>
  /** Where the keys that its tokens are signed with are, for who checks them by itself. */
  readonly keysUrl: string
  /** The key of a service account that it gives tokens to. */
  readonly keyFile: () => Promise<string>
  readonly close: () => Promise<void>
}

const issuer = "https://accounts.google.com"

/** Keys take long to make: one of Google's and one of an account's are enough for all servers. */
let made: ReturnType<typeof makeKeys> | undefined

const makeKeys = async () => ({
  google: await generateKeyPair("RS256"),
  account: await generateKeyPair("RS256", { extractable: true })
})

/** Starts one on a free port of this machine. */
export const start = async (options: Options = {}): Promise<MetadataServer> => {
  const { email = "orchestrator@films.iam.gserviceaccount.com", lifetimeSeconds = 3600 } = options
  made ??= makeKeys()
  const { account, google } = await made
  const asked: Array<string> = []
  const faults: Array<Fault> = []
  let serial = 0

  const nowMs = () => Date.now() + server.aheadSeconds * 1000

  const sign = (audience: string, subject: string = email): Promise<string> => {
    const now = Math.floor(nowMs() / 1000)
    serial += 1
    return new SignJWT({ email: subject, email_verified: true })
      .setProtectedHeader({ alg: "RS256", kid: "1" })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject("1")
      .setJti(String(serial))
      .setIssuedAt(now)
      .setExpirationTime(now + lifetimeSeconds)
      .sign(google.privateKey)
  }

  const give = async (
    audience: string,
    response: http.ServerResponse,
    wrap: (token: string) => string,
    who?: string
  ) => {
    asked.push(audience)
    const fault = faults.shift()
    if (fault === "drop") return void response.destroy()
    if (fault !== undefined) return void response.writeHead(fault.status).end(fault.body ?? "")
    response.end(wrap(await sign(audience, who)))
  }

  /** Google's token server: an assertion signed by an account's key in, a token for what it asks for out. */
  const exchange = async (body: string, response: http.ServerResponse) => {
    const assertion = new URLSearchParams(body).get("assertion") ?? ""
    const known = await jwtVerify(assertion, account.publicKey).catch(() => undefined)
    const { iss, target_audience: audience } = known?.payload ?? {}
    if (typeof audience !== "string" || iss === undefined) {
      return void response.writeHead(400).end(JSON.stringify({ error: "invalid_grant" }))
    }
    response.setHeader("content-type", "application/json")
    await give(audience, response, (token) => JSON.stringify({ id_token: token }), iss)
  }

  const answer = async (request: http.IncomingMessage, response: http.ServerResponse, body: string): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://metadata.google.internal")
    if (request.method === "POST" && url.pathname === "/token") return exchange(body, response)
    if (url.pathname === "/certs") {
      const key = { ...(await exportJWK(google.publicKey)), kid: "1", alg: "RS256", use: "sig" }
      return void response.setHeader("content-type", "application/json").end(JSON.stringify({ keys: [key] }))
    }
    // What does not come from one of Google's tools may have been made to come here.
    if (request.headers["metadata-flavor"] !== "Google") return void response.writeHead(403).end()
    response.setHeader("metadata-flavor", "Google")
    switch (url.pathname) {
      case "/computeMetadata/v1/instance":
      case "/computeMetadata/v1/instance/":
        return void response.end("id\n")
      case "/computeMetadata/v1/project/project-id":
        return void response.end("films")
      case "/computeMetadata/v1/instance/service-accounts/default/identity": {
        const audience = url.searchParams.get("audience")
        if (audience === null) return void response.writeHead(400).end("non-empty audience parameter required")
        return give(audience, response, (token) => token)
      }
      default:
        return void response.writeHead(404).end()
    }
  }

  const listening = http.createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.once("end", () => void answer(request, response, Buffer.concat(parts).toString()))
  })
  await new Promise<void>((resolve) => {
    listening.listen(0, "127.0.0.1", () => resolve())
  })
  const address = listening.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  const { port } = address

  const close = () =>
    new Promise<void>((resolve) => {
      listening.close(() => resolve())
      listening.closeAllConnections()
    })

  const server: MetadataServer = {
    host: `127.0.0.1:${port}`,
    origin: `http://127.0.0.1:${port}`,
    keysUrl: `http://127.0.0.1:${port}/certs`,
    asked,
    faults,
    aheadSeconds: 0,
    verify: async (token, audience) => {
      const { payload } = await jwtVerify(token, google.publicKey, {
        issuer,
        audience,
        currentDate: new Date(nowMs())
      })
      return { email: String(payload["email"]) }
    },
    sign: (audience) => sign(audience),
    keyFile: async () =>
      JSON.stringify({
        type: "service_account",
        project_id: "films",
        private_key_id: "1",
        private_key: await exportPKCS8(account.privateKey),
        client_email: "farm@films.iam.gserviceaccount.com",
        client_id: "1"
      }),
    close,
    [Symbol.asyncDispose]: close
  }
  return server
}
