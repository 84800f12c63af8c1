/** How an artifact is cut into parts: S3 takes 10 000 of them, of 5 GiB at most. */

/** The most parts that an upload may have. */
export const mostParts = 10_000

/** The largest part, in bytes. */
export const largestPart = 5 * 1024 ** 3

/** After so many parts of one size, parts of an artifact of unknown size double. */
const partsOfOneSize = 1000

const mebibyte = 1024 ** 2

/**
 * How large each part is, in bytes, by its number, which begins with 1; `undefined` for an artifact that cannot be cut
 * into parts. Where its size is known all parts but the last are equally large, as some storages demand; where it is
 * not, they grow, so that with the usual 8 MiB there is room for 8 TiB.
 */
export const partSizes = (partBytes: number, bytes?: number): ((number: number) => number) | undefined => {
  if (bytes === undefined) {
    return (number) => Math.min(largestPart, partBytes * 2 ** Math.floor((number - 1) / partsOfOneSize))
  }
  const needed = Math.ceil(bytes / mostParts)
  const size = needed <= partBytes ? partBytes : Math.ceil(needed / mebibyte) * mebibyte
  return size > largestPart ? undefined : () => size
}
