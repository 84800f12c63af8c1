/** Where a worker is, in the words of errors. */

/** A URL without what may be secret in it: who, and the query. */
export const describe = (url: string | URL): string => {
  const parsed = typeof url === "string" ? parse(url) : url
  return parsed === undefined ? "an address that is no URL" : `${parsed.origin}${parsed.pathname}`
}

/** A URL that can be sent to. */
export const parse = (url: string): URL | undefined => {
  const parsed = URL.parse(url)
  return parsed !== null && (parsed.protocol === "https:" || parsed.protocol === "http:") ? parsed : undefined
}

/** Whether what is sent there can be read on the way. */
export const isOpen = ({ hostname, protocol }: URL): boolean =>
  protocol === "http:" && hostname !== "localhost" && hostname !== "[::1]" && !hostname.startsWith("127.")
