import { CloudRunAdapter } from "@helios-infra/adapter-cloudrun"
import { workerAdapterContract } from "@helios-infra/testkit"
import { Effect, Layer } from "effect"
import * as ContractRig from "../../adapter-http/test/ContractRig.ts"
import * as CloudRunService from "./CloudRunService.ts"

const onCloudRun = Layer.unwrap(
  Effect.gen(function* () {
    const { serviceUrl, worker } = yield* CloudRunService.make()
    return ContractRig.layer(worker, yield* CloudRunAdapter.make({ serviceUrl }))
  })
)

workerAdapterContract("CloudRunAdapter", onCloudRun, { stop: "best-effort", flood: 16 * 1024 ** 2, frames: true })
