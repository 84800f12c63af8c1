import { describe } from "@effect/vitest"
import { OutputCheck, WorkerError } from "@helios-infra/core"
import type * as Promises from "@helios-infra/core/promise"
import {
  FakeFiles,
  FakeOutputCheck,
  FakeWorkspace,
  OutputCheckContract,
  outputCheckContract
} from "@helios-infra/testkit"
import { Effect, Layer } from "effect"
import { videos } from "./FakeRigs.ts"
import { catches, changed } from "./Mutants.ts"
import { TextCheck, texts } from "./PlainClasses.ts"

type Check = OutputCheck.OutputCheck["Service"]["check"]

const good = FakeOutputCheck.layer().pipe(Layer.merge(videos), Layer.provideMerge(FakeFiles.layer))
const presence = OutputCheck.layerPresence.pipe(
  Layer.provide(FakeWorkspace.layer()),
  Layer.merge(videos),
  Layer.provideMerge(FakeFiles.layer)
)

outputCheckContract("FakeOutputCheck", good)
outputCheckContract("OutputCheck.layerPresence", presence, { finds: ["missing", "empty"] })

const plain = (check: Promises.OutputCheck) => async () => ({ check, ...(await texts()) })

outputCheckContract("a check of the Promise API", plain(new TextCheck()))
outputCheckContract("one that looks at nothing itself", plain({ check: async () => {} }), {
  finds: ["missing", "empty"]
})

describe("the contract of OutputCheck, for checks of the Promise API", () => {
  const broken = (check: Promises.OutputCheck["check"]) => OutputCheckContract.make(plain({ check }))
  const good = new TextCheck()

  catches(
    "one that looks at nothing, and does not say so",
    broken(async () => {}),
    /lacks a frame/
  )
  catches(
    "one that accepts nothing",
    broken(() => Promise.reject(new Error("no"))),
    /good output is accepted/
  )
  catches(
    "one that makes a size up",
    broken(async (job, result) => {
      const found = await good.check(job, result)
      return found === undefined ? undefined : { ...found, bytes: 7 }
    }),
    /real size/
  )
  catches(
    "one whose verdict is final",
    broken((job, result) =>
      good.check(job, result).catch((error: unknown) => {
        throw new WorkerError.Refused({ why: "InvalidJob", fix: String(error) })
      })
    ),
    /lacks a frame/
  )
})

describe("the contract of OutputCheck", () => {
  const broken = (change: (check: Check) => Check) =>
    OutputCheckContract.make(changed(OutputCheck.OutputCheck, good, ({ check }) => ({ check: change(check) })))

  const trusting = OutputCheckContract.make(
    OutputCheck.layerTrusting.pipe(Layer.merge(videos), Layer.provideMerge(FakeFiles.layer))
  )
  catches("one that takes the worker's word", trusting, /missing output/)
  catches("one that looks into no file", OutputCheckContract.make(presence), /lacks a frame/)
  catches(
    "one that accepts an attempt without an output",
    broken(
      (check) => (job, result) =>
        result.output === undefined ? Effect.succeed({ location: "/nowhere", bytes: 0 }) : check(job, result)
    ),
    /without an output/
  )
  catches(
    "one that does not mind what the worker told",
    broken(
      (check) =>
        (job, { output, ...result }) =>
          check(job, output === undefined ? result : { ...result, output: { ...output, bytes: 0 } })
    ),
    /another size than the worker told/
  )
  catches(
    "one that accepts nothing",
    broken(
      () => (job, result) =>
        Effect.fail(
          OutputCheck.failure(job, result, new WorkerError.OutputInvalid({ expected: "better", found: "this" }))
        )
    ),
    /good output is accepted/
  )
  catches(
    "one whose verdict is final",
    broken(
      (check) => (job, result) =>
        Effect.mapError(check(job, result), () =>
          OutputCheck.failure(job, result, new WorkerError.Refused({ why: "InvalidJob", fix: "render better" }))
        )
    ),
    /not accepted/
  )
  catches(
    "one that names nobody",
    broken(
      (check) => (job, result) =>
        Effect.mapError(
          check(job, result),
          ({ reason }) => new WorkerError.WorkerError({ adapter: "check", jobId: "?", attempt: 0, reason })
        )
    ),
    /not accepted/
  )
  catches(
    "one that believes the worker's size",
    broken((check) => (job, result) => Effect.map(check(job, result), (output) => ({ ...output, bytes: 1 }))),
    /real size/
  )
})
