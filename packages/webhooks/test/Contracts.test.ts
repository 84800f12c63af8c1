/** The repository that webhooks listen to is as good as the one that it was, also while its receiver hangs. */
import { FileJobRepository } from "@helios-infra/adapter-local"
import { FileJobRepository as FileJobRepositoryClass } from "@helios-infra/adapter-local/promise"
import { JobRepository } from "@helios-infra/core"
import { jobRepositoryContract } from "@helios-infra/testkit"
import { WebhookCursors, Webhooks, WebhookSignature } from "@helios-infra/webhooks"
import * as Promises from "@helios-infra/webhooks/promise"
import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"
import * as FakeClient from "./FakeClient.ts"

const folder = mkdtempSync(path.join(tmpdir(), "webhooks-contract-"))
const open: Array<Promises.Webhooks> = []

afterAll(async () => {
  await Promise.all(open.map((webhooks) => webhooks.close()))
  rmSync(folder, { recursive: true, force: true })
})

const place = () => mkdtempSync(path.join(folder, "jobs-"))

const hung = Effect.map(WebhookSignature.newSecret, (secret) =>
  Webhooks.layer({ endpoints: [{ id: "hung", url: "https://hung.example", secrets: [secret] }], drain: 0 }).pipe(
    Layer.provide([
      Layer.fresh(JobRepository.layerMemory),
      Layer.fresh(WebhookCursors.layerMemory),
      FakeClient.make(() => Effect.never).layer
    ])
  )
)
jobRepositoryContract("a repository with webhooks", Layer.orDie(Layer.unwrap(hung)))

/** What another process would open: a sender of its own over the same folder. */
const stored = Effect.map(Effect.sync(place), (dir) =>
  Layer.orDie(
    Layer.unwrap(
      Effect.map(WebhookSignature.newSecret, (secret) =>
        Webhooks.layer({ endpoints: [{ id: "hung", url: "https://hung.example", secrets: [secret] }], drain: 0 }).pipe(
          Layer.provide([
            FileJobRepository.layer({ dir }),
            Layer.fresh(WebhookCursors.layerMemory),
            FakeClient.make(() => Effect.never).layer
          ])
        )
      )
    )
  )
)
jobRepositoryContract("a repository with webhooks, in a folder", stored, { crossProcess: true, patience: "30 seconds" })

const plain = () => {
  const webhooks = new Promises.Webhooks({
    repository: new FileJobRepositoryClass(place()),
    endpoints: [{ id: "dead", url: "http://127.0.0.1:1", secrets: [Promises.newSecret()] }],
    report: () => {},
    drain: 0
  })
  open.push(webhooks)
  return webhooks.repository
}
jobRepositoryContract("a repository with webhooks of the Promise API", plain, { crossProcess: true })
