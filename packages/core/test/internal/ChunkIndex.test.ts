import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as ChunkIndex from "../../src/internal/ChunkIndex.ts"

const Id = Schema.Int.check(Schema.isBetween({ minimum: -3, maximum: 12 }))

const finds = (ids: ReadonlyArray<number>, id: number): void =>
  assert.strictEqual(ChunkIndex.make(ids.map((id) => ({ id })))(id), ids.indexOf(id))

describe("ChunkIndex", () => {
  it.prop("finds chunks in any order", [Schema.UniqueArray(Id), Id], ([ids, id]) => finds(ids, id))

  it.prop("finds chunks that are numbered in their order", [Id, Id, Id], ([first, count, id]) =>
    finds(
      Array.from({ length: Math.max(0, count) }, (_, index) => first + index),
      id
    )
  )

  it("finds nothing between two ids", () => finds([4, 5, 6], 4.5))
})
