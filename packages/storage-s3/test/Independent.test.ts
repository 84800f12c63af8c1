/**
 * The same against a server that others wrote: it reads requests and checks signatures in its own way, and promises less
 * than S3 does.
 */
import S3rver from "@20minutes/s3rver"
import * as S3ArtifactStorage from "@helios-infra/storage-s3/S3ArtifactStorage"
import { ArtifactStorageContract, Vitest } from "@helios-infra/testkit"
import { Effect, Layer } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

const server = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "s3rver-"))),
    (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
  )
  const options = {
    address: "127.0.0.1",
    port: 0,
    silent: true,
    allowMismatchedSignatures: true,
    directory,
    configureBuckets: [{ name: "renders" }]
  }
  const instance = yield* Effect.acquireRelease(
    Effect.sync(() => new S3rver(options)),
    (instance) => Effect.promise(() => instance.close())
  )
  const { port } = yield* Effect.promise(() => instance.run())
  return `http://127.0.0.1:${port}`
})

const layer = Layer.unwrap(
  Effect.map(server, (endpoint) =>
    S3ArtifactStorage.layer({
      bucket: "renders",
      region: "us-east-1",
      credentials: { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" },
      endpoint,
      forcePathStyle: true,
      partBytes: 256 * 1024,
      partChecksum: "md5"
    })
  )
)

/**
 * What this server can keep. It takes any signature, knows no conditions, no empty ranges and no key that is no name of a
 * file, and aborts no upload; `StrictS3` is for those.
 */
const kept =
  /^(there is nothing before|put replaces|who stops reading|list gives|delete removes|a URL that has expired)/

const contract = ArtifactStorageContract.make(layer, { conditional: false, big: 1_000_000, patience: "30 seconds" })

Vitest.register("S3ArtifactStorage on s3rver", {
  ...contract,
  cases: contract.cases.filter(({ name }) => kept.test(name))
})
