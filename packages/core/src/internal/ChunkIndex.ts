/**
 * Finds chunks by their id: gives where in a list the chunk with an id stands, -1 where none has it.
 *
 * Job files mostly number their chunks in order. Then an id says where its chunk is, and a million chunks need no table.
 */
export const make = (chunks: ReadonlyArray<{ readonly id: number }>): ((id: number) => number) => {
  const first = chunks[0]?.id ?? 0
  if (chunks.every(({ id }, index) => id === first + index)) {
    return (id) => (chunks[id - first]?.id === id ? id - first : -1)
  }
  const indexes = new Map(chunks.map(({ id }, index) => [id, index]))
  return (id) => indexes.get(id) ?? -1
}
