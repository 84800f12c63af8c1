import { assert, describe, it } from "@effect/vitest"
import { ArtifactLayout, ArtifactStorage } from "@helios-infra/core"
import { Schema } from "effect"

describe("keys", () => {
  it("are legal whatever a job is called, and its own", () => {
    const ids = [
      "film",
      "a/b",
      "a%2Fb",
      "..",
      ".",
      "a\\b",
      "日本語".repeat(66),
      "/".repeat(200),
      "...",
      "x.y",
      "a b+c#?"
    ]
    const keys = ids.map((id) =>
      ArtifactLayout.attemptArtifacts({ jobId: id, run: 9999, chunkId: 2 ** 31, attempt: 99 }, "x.webm")
    )
    for (const { cancelled, log, output } of keys) {
      for (const { key } of [cancelled, log, output]) assert.isTrue(Schema.is(ArtifactStorage.ArtifactKey)(key), key)
    }
    assert.strictEqual(new Set(keys.map(({ output }) => output.key)).size, ids.length)
  })

  it("of an output have the container's extension, whatever else its name has", () => {
    const keyOf = (name: string) =>
      ArtifactLayout.attemptArtifacts({ jobId: "j", run: 1, chunkId: 0, attempt: 2 }, name).output.key
    assert.strictEqual(keyOf("out/part 0.MOV"), "jobs/j/chunks/0/1.2/output.MOV")
    assert.strictEqual(keyOf("frames_%04d"), "jobs/j/chunks/0/1.2/output")
    assert.strictEqual(keyOf("a.b/c"), "jobs/j/chunks/0/1.2/output")
  })
})
