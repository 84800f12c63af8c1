/** Secrets as plain code gives them, for the classes of the Promise API of this package and of those that build on it. */
import * as Redacted from "effect/Redacted"
import type * as Credentials from "./Credentials.ts"

/** Secrets that are shared with the worker, or with what stands before it. All that are given are sent. */
export interface PlainAuth {
  /** Sent as `Authorization: Bearer …`. */
  readonly bearer?: string | undefined
  /** Sent in a header of its own, such as `x-api-key`. */
  readonly key?: { readonly header: string; readonly value: string } | undefined
  /** Never sent: requests are signed with it. */
  readonly secret?: string | undefined
}

/** Shared secrets as the adapter takes them: from here on they are not shown. */
export const redacted = ({ bearer, key, secret }: PlainAuth): Credentials.Auth => ({
  ...(bearer === undefined ? undefined : { bearer: Redacted.make(bearer) }),
  ...(key === undefined ? undefined : { key: { header: key.header, value: Redacted.make(key.value) } }),
  ...(secret === undefined ? undefined : { secret: Redacted.make(secret) })
})
