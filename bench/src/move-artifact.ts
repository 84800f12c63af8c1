/**
 * Puts an artifact of so many bytes into an S3 and reads it again, with our storage or with AWS's own uploader; prints the
 * most memory that this took and how long. Usage: node move-artifact.ts ours|sdk BYTES ENDPOINT
 */
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3"
import { Upload } from "@aws-sdk/lib-storage"
import { S3ArtifactStorage } from "@helios-infra/storage-s3/promise"
import process from "node:process"
import { Readable } from "node:stream"
import { bucket, credentials, region } from "../../packages/storage-s3/test/StrictS3.ts"
import { timed } from "./Measure.ts"

const [way = "ours", count = "0", endpoint = ""] = process.argv.slice(2)
const bytes = Number(count)
const piece = new Uint8Array(2 ** 20).map((_, index) => index)

async function* content(): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < bytes; sent += piece.length) yield piece.subarray(0, bytes - sent)
}

const countOf = async (body: AsyncIterable<Uint8Array>): Promise<number> => {
  let received = 0
  for await (const part of body) received += part.length
  return received
}

const ours = () => {
  const storage = new S3ArtifactStorage({ bucket, region, endpoint, forcePathStyle: true, credentials })
  return {
    put: () => storage.put("film", content(), { bytes }),
    get: () => countOf(storage.get("film")),
    close: () => storage.close()
  }
}

const sdk = () => {
  const client = new S3Client({ region, endpoint, forcePathStyle: true, credentials })
  return {
    put: () => new Upload({ client, params: { Bucket: bucket, Key: "film", Body: Readable.from(content()) } }).done(),
    get: async () => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: "film" }))
      return Body instanceof Readable ? countOf(Body) : 0
    },
    close: () => Promise.resolve(client.destroy())
  }
}

const { close, get, put } = way === "ours" ? ours() : sdk()
const putMs = await timed(put)
let received = 0
const getMs = await timed(async () => (received = await get()))
await close()
if (received !== bytes) throw new Error(`${received} bytes came back of ${bytes}`)
process.stdout.write(JSON.stringify({ putMs, getMs, peakBytes: process.resourceUsage().maxRSS * 1024 }))
