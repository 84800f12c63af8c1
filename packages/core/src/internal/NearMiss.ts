/** The edits (letters put in, left out or replaced) between two words. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

const maxLength = 100

/** What was probably meant: the known word with the fewest edits, where they are few beside its length. */
export const find = (word: string, known: ReadonlyArray<string>): string | undefined => {
  if (word.length > maxLength) return undefined
  let nearest: { readonly name: string; readonly edits: number } | undefined
  for (const name of known) {
    const edits = distance(word.toLowerCase(), name.toLowerCase())
    if (edits <= Math.max(1, name.length / 3) && edits < (nearest?.edits ?? Infinity)) nearest = { name, edits }
  }
  return nearest?.name
}
