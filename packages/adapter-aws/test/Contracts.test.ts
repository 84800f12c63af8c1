import { AwsLambdaAdapter } from "@helios-infra/adapter-aws"
import { WorkerAdapter } from "@helios-infra/core"
import { WorkerAdapterContract, workerAdapterContract } from "@helios-infra/testkit"
import { Effect, Layer, Option } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Fleet from "./Fleet.ts"

/** What core does around an adapter whose workers are elsewhere: it sends the job file, and says where the output goes. */
const withJobFiles = (fleet: Fleet.Fleet, adapter: WorkerAdapter.WorkerAdapter["Service"]) =>
  WorkerAdapter.WorkerAdapter.of({
    ...adapter,
    execute: (job, signal) =>
      Effect.gen(function* () {
        const { meta } = job
        if (meta._tag === "Merge" || meta.output._tag === "File") return yield* adapter.execute(job, signal)
        const { key } = meta.output
        const jobDefUrl = yield* Fleet.jobFile(fleet, key, { command: job.command })
        const artifacts = { output: { key }, log: { key: `${key}.txt` }, cancelled: { key: `${key}.cancelled` } }
        return yield* adapter.execute({ ...job, meta: { ...meta, jobDefUrl, artifacts } }, signal)
      })
  })

const rigOf = ({ folder, lambda }: Fleet.Fleet) =>
  WorkerAdapterContract.WorkerRig.of({
    commands: {
      write: (bytes) => `head -c ${bytes} /dev/zero > {output}`,
      idle: "true",
      fail: (exitCode, text) => `echo '${text}' >&2; exit ${exitCode}`,
      print: (bytes, last) =>
        `head -c ${bytes} /dev/zero | tr '\\0' x; echo '${last}'; head -c ${bytes} /dev/zero | tr '\\0' x >&2; echo '${last}' >&2`,
      late: (bytes, afterMs) => `sleep ${afterMs / 1000}; head -c ${bytes} /dev/zero > {output}`,
      hang: "echo half > {output}; exec sleep 600",
      env: (name) => `printenv ${name}`,
      impossible: "no-such-renderer"
    },
    place: (name) => Effect.succeed({ _tag: "Artifact", key: `${name}/output.mov` }),
    size: (target) =>
      target._tag === "File"
        ? Effect.succeedNone
        : Effect.promise(() => fs.stat(path.join(folder, target.key)).catch(() => undefined)).pipe(
            Effect.map((stat) => Option.map(Option.fromUndefinedOr(stat), ({ size }) => size))
          ),
    running: Effect.sync(() => lambda.invocations.filter(({ ended, pid }) => pid !== undefined && !ended).length)
  })

const onLambda = Layer.unwrap(
  Effect.gen(function* () {
    const fleet = yield* Fleet.make()
    const adapter = yield* AwsLambdaAdapter.make(fleet.options)
    return Layer.merge(
      Layer.succeed(WorkerAdapter.WorkerAdapter, withJobFiles(fleet, adapter)),
      Layer.succeed(WorkerAdapterContract.WorkerRig, rigOf(fleet))
    )
  })
)

workerAdapterContract("AwsLambdaAdapter", onLambda, { stop: "never", patience: "30 seconds" })
