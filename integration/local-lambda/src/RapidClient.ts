/**
 * What the native part of `aws-lambda-ric` does, in plain JavaScript, for machines without a compiler: it asks the Runtime
 * API for the next invocation and posts how that ended. Everything else of the runtime client is Amazon's own either way.
 *
 * The native one blocks until its post is through. Here the next request waits for it: one connection takes them in turn.
 */
import { Agent, type IncomingHttpHeaders, request } from "node:http"
import process from "node:process"

const api = `http://${process.env["AWS_LAMBDA_RUNTIME_API"]}/2018-06-01/runtime/invocation`
const agent = new Agent({ keepAlive: true, maxSockets: 1 })

const send = (
  method: "GET" | "POST",
  path: string,
  body = "",
  headers: Record<string, string> = {}
): Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string }> =>
  new Promise((resolve, reject) => {
    const sent = request(
      `${api}${path}`,
      { agent, method, headers: { ...headers, "content-length": Buffer.byteLength(body) } },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", reject)
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString("utf8")
          })
        )
      }
    )
    sent.on("error", reject)
    sent.end(body)
  })

/** Posts, and like the native client does not mind what becomes of it. */
const post = (path: string, body: string, headers: Record<string, string>): void => {
  send("POST", path, body, { "content-type": "application/json", ...headers }).catch(() => {})
}

/** Waits for the next invocation. */
export const next = async (): Promise<{ readonly bodyJson: string; readonly headers: object }> => {
  const { body, headers, status } = await send("GET", "/next")
  if (status !== 200) throw new Error(`Failed to get next invocation, error ${status}`)
  return {
    bodyJson: body,
    headers: { ...headers, "lambda-runtime-deadline-ms": Number(headers["lambda-runtime-deadline-ms"]) }
  }
}

/** Answers an invocation. */
export const done = (id: string, body: string): void => post(`/${id}/response`, body, {})

/** Says that an invocation failed. */
export const error = (id: string, body: string, xray: string): void =>
  post(`/${id}/error`, body, {
    "lambda-runtime-function-error-type": "Unhandled",
    "lambda-runtime-function-xray-error-cause": xray
  })
