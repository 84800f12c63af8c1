/**
 * Keys of artifacts as names of files, and back: different keys have different names, also on disks that take no notice
 * of case or of how an accent is written, and "a" can be there beside "a/b".
 *
 * Folders end in `+` where a part of the key does, and in `%` where a part is too long for one name and goes on below.
 */

const folderEnd = "+"
const goesOn = "%"

/** Most disks take 255 bytes. */
const longestName = 240

/** The key, or the beginning of one, in characters that every disk takes and tells apart. */
export const encode = (key: string): string =>
  Array.from(new TextEncoder().encode(key), (byte) => {
    const character = String.fromCharCode(byte)
    return /[a-z0-9_./-]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`
  })
    .join("")
    // Names that begin with a dot are the storage's own.
    .replaceAll(/(?<=^|\/)\./g, "%2e")

/** The folders of a key, and the name of its file in the last of them. */
export const namesOf = (key: string): ReadonlyArray<string> => {
  const parts = encode(key).split("/")
  return parts.flatMap((part, index) => {
    const pieces = part.match(new RegExp(`.{1,${longestName}}`, "g")) ?? []
    const isLast = index === parts.length - 1
    return pieces.map((piece, at) => {
      if (at < pieces.length - 1) return piece + goesOn
      return isLast ? piece : piece + folderEnd
    })
  })
}

/** What the keys of everything in a folder begin with, encoded; `above` is that of the folder that it is in. */
export const below = (above: string, folder: string): string | undefined => {
  const name = folder.slice(0, -1)
  if (folder.endsWith(folderEnd)) return `${above}${name}/`
  return folder.endsWith(goesOn) ? above + name : undefined
}

/** The key of a file; `undefined` for one that no key has, which then was not put there by the storage. */
export const keyOf = (above: string, name: string): string | undefined => {
  const key = Buffer.from(
    (above + name).replaceAll(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1"
  ).toString("utf8")
  return encode(key) === above + name ? key : undefined
}
