import { describe } from "@effect/vitest"
import { workerAdapterContract } from "@helios-infra/testkit"
import * as Farm from "./Farm.ts"

describe.skipIf(Farm.missing !== undefined)(`with a real sshd${Farm.missing ?? ""}`, () => {
  workerAdapterContract("SshWorkerAdapter", Farm.layer, {
    stop: "best-effort",
    reap: true,
    children: true,
    files: true,
    patience: "30 seconds"
  })
})
