// oxlint-disable eslint/no-await-in-loop -- the cases of these tests go one after the other
import {
  type ChunkProgress,
  JobError,
  JobExecutor,
  WorkerLost,
  RenderFailed,
  Throttled,
  Refused,
  WorkerError,
  type WorkerResult
} from "@helios-infra/core/promise"
import { assert, describe, it } from "vitest"
import {
  Adapter,
  chunkOf,
  gate,
  job,
  ok,
  rejection,
  Stitcher,
  untilAborted,
  untyped,
  messageOf,
  rejected
} from "./Plain.ts"

const lastReason = async (promise: Promise<unknown>) => {
  const error = await rejection(promise)
  assert.instanceOf(error, JobError)
  assert(error.reason._tag === "ChunkFailed")
  return error.reason.last.reason
}

const fast = { retryDelay: 1, concurrency: 1 }

describe("JobExecutor", () => {
  it("resolves with exit code 0 and the final file", async () => {
    const stitcher = new Stitcher()
    const workerAdapter = new Adapter()
    const options = { workerAdapter, stitcher, outputFile: "film.mp4", jobDir: "/videos/7" }
    const result = await new JobExecutor(job(3), options).execute()
    assert.strictEqual(result.exitCode, 0)
    assert.strictEqual(result.outputFile, "/videos/7/film.mp4")
    assert.isAtLeast(result.durationMs, 0)
    assert.deepStrictEqual(stitcher.calls, [
      {
        inputs: ["/videos/7/part_0.mov", "/videos/7/part_1.mov", "/videos/7/part_2.mov"],
        output: "/videos/7/film.mp4"
      }
    ])
    for (const { cwd, meta, outputFile } of workerAdapter.jobs) {
      assert.strictEqual(cwd, "/videos/7")
      assert(meta.output._tag === "File")
      assert.strictEqual(meta.output.path, `/videos/7/${outputFile}`)
    }
  })

  it("is complete with all chunks where there is neither stitcher nor mergeCommand", async () => {
    const result = await new JobExecutor(job(2), { workerAdapter: new Adapter() }).execute()
    assert.strictEqual(result.exitCode, 0)
    assert.notProperty(result, "outputFile")
  })

  it("runs the mergeCommand once, after the last chunk, on the mergeAdapter where there is one", async () => {
    const order: Array<string> = []
    const workerAdapter = new Adapter(async (job) => {
      order.push(`${job.meta._tag} ${job.command}`)
      return ok
    })
    const mergeAdapter = new Adapter(async (job) => {
      order.push(`elsewhere: ${job.meta._tag} ${job.command}`)
      return ok
    })
    const spec = job(2, { mergeCommand: "merge film.mp4" })
    await new JobExecutor(spec, { ...fast, workerAdapter }).execute()
    await new JobExecutor(spec, { ...fast, workerAdapter, mergeAdapter }).execute()
    const chunks = ["Chunk render part_0.mov", "Chunk render part_1.mov"]
    assert.deepStrictEqual(order, [...chunks, "Merge merge film.mp4", ...chunks, "elsewhere: Merge merge film.mp4"])
  })

  it("rejects when the mergeCommand fails, without a chunk", async () => {
    const workerAdapter = new Adapter(async (job) => (job.meta._tag === "Merge" ? { ...ok, exitCode: 9 } : ok))
    const options = { ...fast, workerAdapter, retries: 1 }
    const error = await rejection(new JobExecutor(job(1, { mergeCommand: "merge" }), options).execute())
    assert.instanceOf(error, JobError)
    assert.deepStrictEqual([error.reason._tag, error.chunkId, error.attempt], ["WorkerError", undefined, 2])
  })

  it("reports each chunk once, and the last one with 100 when the final file is in place", async () => {
    const seen: Array<ChunkProgress> = []
    let seenAtStitch = 0
    const stitcher = {
      stitch: async () => {
        seenAtStitch = seen.length
        return ok
      }
    }
    const options = {
      ...fast,
      workerAdapter: new Adapter(),
      stitcher,
      outputFile: "film.mp4",
      onProgress: (progress: ChunkProgress) => seen.push(progress)
    }
    await new JobExecutor(job(3), options).execute()
    assert.deepStrictEqual(seen, [
      { chunkId: 0, totalChunks: 3, percent: 33 },
      { chunkId: 1, totalChunks: 3, percent: 66 },
      { chunkId: 2, totalChunks: 3, percent: 100 }
    ])
    assert.isAtMost(seenAtStitch, 2)
  })

  it("never reports 100 for a job whose stitcher fails", async () => {
    const seen: Array<number> = []
    const options = {
      workerAdapter: new Adapter(),
      stitcher: { stitch: () => Promise.reject(new Error("out of memory")) },
      outputFile: "film.mp4",
      onProgress: ({ percent }: ChunkProgress) => seen.push(percent)
    }
    const error = await rejection(new JobExecutor(job(2), options).execute())
    assert.instanceOf(error, JobError)
    assert.match(error.message, /the stitcher threw: out of memory/)
    assert.notInclude(seen, 100)
  })

  it("goes on when onProgress throws or rejects", async () => {
    for (const onProgress of untyped<ReadonlyArray<() => void>>([
      () => {
        throw new Error("a bug of the user")
      },
      () => Promise.reject(new Error("a bug of the user")),
      () => new Promise<void>(() => {})
    ])) {
      const result = await new JobExecutor(job(2), { workerAdapter: new Adapter(), onProgress }).execute()
      assert.strictEqual(result.exitCode, 0)
    }
  })

  it("goes on when what onProgress throws cannot even be told", async () => {
    const silent = new Error()
    Object.defineProperty(silent, "message", {
      get: () => {
        throw new Error("no message")
      }
    })
    const onProgress = () => {
      throw silent
    }
    const { exitCode } = await new JobExecutor(job(2), { workerAdapter: new Adapter(), onProgress }).execute()
    assert.strictEqual(exitCode, 0)
  })

  it("fails when the stitcher's result says so, or is none", async () => {
    for (const [answer, expected] of [
      [{ ...ok, exitCode: 1, stderr: "codec missing" }, /codec missing/],
      [undefined, /the stitcher gave undefined/],
      ["done", /the stitcher gave "done"/]
    ] as const) {
      const stitcher = { stitch: async () => untyped<WorkerResult>(answer) }
      const options = { workerAdapter: new Adapter(), stitcher, outputFile: "film.mp4" }
      const error = await rejection(new JobExecutor(job(1), options).execute())
      assert.instanceOf(error, JobError)
      assert.match(error.message, expected)
    }
  })

  it("tells the stitcher what it joins", async () => {
    const contexts: Array<unknown> = []
    const stitcher = {
      stitch: async (
        _inputs: Array<string>,
        _output: string,
        { chunks, fps, frames }: { chunks: unknown; fps: unknown; frames: unknown }
      ) => {
        contexts.push({ chunks, fps, frames })
        return ok
      }
    }
    await new JobExecutor(job(2), { workerAdapter: new Adapter(), stitcher, outputFile: "film.mp4" }).execute()
    const chunks = [0, 1].map((chunkId) => ({ attempt: 1, chunkId, frameCount: 10 }))
    assert.deepStrictEqual(contexts, [{ chunks, fps: "30", frames: 20 }])
  })

  it("passes env on", async () => {
    const workerAdapter = new Adapter()
    await new JobExecutor(job(1), { workerAdapter, env: { SCENE: "7" } }).execute()
    assert.deepStrictEqual(workerAdapter.jobs[0]?.env, { SCENE: "7" })
  })

  describe("an adapter", () => {
    it.each<[string, unknown, string]>([
      ["a text", "no room", "no room"],
      ["nothing", undefined, "undefined"],
      ["an Error", new Error("socket hang up"), "socket hang up"],
      ["an object", { code: 7 }, '{"code":7}']
    ])("that rejects with %s is a lost worker, tried again", async (_, thrown, said) => {
      const workerAdapter = new Adapter(() => rejected(thrown))
      const reason = await lastReason(new JobExecutor(job(1), { ...fast, workerAdapter, retries: 2 }).execute())
      assert.strictEqual(workerAdapter.jobs.length, 3)
      assert.instanceOf(reason, WorkerLost)
      assert.include(reason.message, said)
      assert.strictEqual(reason.cause, thrown)
    })

    it("that throws before it has a promise is a lost worker too", async () => {
      const workerAdapter = {
        execute: () => {
          throw new TypeError("job.command.split is not a function")
        }
      }
      const reason = await lastReason(new JobExecutor(job(1), { ...fast, workerAdapter, retries: 0 }).execute())
      assert.match(reason.message, /split is not a function/)
    })

    it("that rejects with an error of ours keeps its reason: Refused is not tried again", async () => {
      const refusing = new Adapter(() => Promise.reject(new Refused({ why: "TooLarge", fix: "make chunks smaller" })))
      const reason = await lastReason(new JobExecutor(job(1), { ...fast, workerAdapter: refusing }).execute())
      assert.strictEqual(refusing.jobs.length, 1)
      assert.strictEqual(reason._tag, "Refused")

      const foreign = new WorkerError({
        adapter: "farm",
        jobId: "other",
        attempt: 9,
        reason: new RenderFailed({ exitCode: 4, stderrTail: "" })
      })
      const failing = new Adapter(() => Promise.reject(foreign))
      const error = await rejection(new JobExecutor(job(1), { ...fast, workerAdapter: failing, retries: 0 }).execute())
      assert.instanceOf(error, JobError)
      assert.deepStrictEqual([error.chunkId, error.attempt], [0, 1], "ours, not what the adapter made up")
      assert.match(error.message, /on farm/)
    })

    it("that is throttled is tried again without counting", async () => {
      let left = 5
      const workerAdapter = new Adapter(() =>
        left-- > 0 ? Promise.reject(new Throttled({ retryAfterMs: 1 })) : Promise.resolve(ok)
      )
      await new JobExecutor(job(1), { ...fast, workerAdapter, retries: 0 }).execute()
      assert.strictEqual(workerAdapter.jobs.length, 6)
    })

    it.each<[string, unknown]>([
      ["nothing", undefined],
      ["null", null],
      ["a text", "done"],
      ["an exit code that is none", { exitCode: "0" }]
    ])("that resolves with %s has not rendered anything", async (_, answer) => {
      const workerAdapter = { execute: async () => untyped<WorkerResult>(answer) }
      const reason = await lastReason(new JobExecutor(job(1), { ...fast, workerAdapter, retries: 0 }).execute())
      assert.match(reason.message, /its adapter gave .* in place of/)
    })

    it("needs to give no more than an exit code", async () => {
      const workerAdapter = { execute: async () => untyped<WorkerResult>({ exitCode: 0 }) }
      assert.strictEqual((await new JobExecutor(job(1), { workerAdapter }).execute()).exitCode, 0)
    })

    it("that was killed has failed, and what it printed is kept to a bounded tail", async () => {
      const workerAdapter = {
        execute: async () => untyped<WorkerResult>({ exitCode: null, stderr: `${"x".repeat(1_000_000)}the end` })
      }
      const reason = await lastReason(new JobExecutor(job(1), { ...fast, workerAdapter, retries: 0 }).execute())
      assert(reason._tag === "RenderFailed")
      assert.isNull(reason.exitCode)
      assert.isAtMost(reason.stderrTail.length, 4096)
      assert.match(reason.stderrTail, /the end$/)
    })

    it("may say where its output is", async () => {
      const stitcher = new Stitcher()
      const workerAdapter = new Adapter(async (job) => {
        const file = `/elsewhere/${chunkOf(job)}.mov`
        return chunkOf(job) === 0 ? { ...ok, outputFile: file } : { ...ok, output: { location: file, bytes: 7 } }
      })
      await new JobExecutor(job(2), { workerAdapter, stitcher, outputFile: "film.mp4" }).execute()
      assert.deepStrictEqual(stitcher.calls[0]?.inputs, ["/elsewhere/0.mov", "/elsewhere/1.mov"])
    })

    it("reports garbage without harm, and nothing after its end", async () => {
      let late = () => {}
      const workerAdapter = new Adapter(async (_, { report }) => {
        late = () => report({ _tag: "Assigned", handle: "late" })
        for (const garbage of [undefined, "frame 1", { _tag: "Frames", done: Number.NaN }, { _tag: "Line" }]) {
          report(untyped(garbage))
        }
        return ok
      })
      assert.strictEqual((await new JobExecutor(job(1), { workerAdapter }).execute()).exitCode, 0)
      late()
    })
  })

  describe("an output check", () => {
    const stitcher = (check: () => Promise<void>) => ({ stitch: async () => ok, outputCheck: { check } })

    it("of the stitcher is used where nobody says otherwise; what it rejects is tried again", async () => {
      let bad = 1
      const workerAdapter = new Adapter()
      const checked = stitcher(async () => {
        if (bad-- > 0) throw new Error("black frames")
      })
      await new JobExecutor(job(1), { ...fast, workerAdapter, stitcher: checked, outputFile: "film.mp4" }).execute()
      assert.strictEqual(workerAdapter.jobs.length, 2)
    })

    it("of the options goes first, sees the output, and says why", async () => {
      const seen: Array<unknown> = []
      const options = {
        ...fast,
        workerAdapter: new Adapter(),
        retries: 0,
        stitcher: stitcher(() => Promise.reject(new Error("never asked"))),
        outputFile: "film.mp4",
        jobDir: "/videos",
        outputCheck: {
          check: async (_: unknown, { output }: { readonly output?: { readonly location: string } }) => {
            seen.push(output?.location)
            throw new Error("black frames")
          }
        }
      }
      const reason = await lastReason(new JobExecutor(job(1), options).execute())
      assert.strictEqual(reason._tag, "OutputInvalid")
      assert.match(reason.message, /black frames/)
      assert.deepStrictEqual(seen, ["/videos/part_0.mov"])
    })
  })

  describe("an abort", () => {
    it("rejects with the signal's reason, whatever that is, once everything has stopped", async () => {
      for (const reason of [new Error("no longer wanted"), "changed my mind", 7]) {
        const begun = gate()
        const workerAdapter = new Adapter((_, { signal }) => {
          begun.resolve()
          return untilAborted(signal)
        })
        const { abort, signal } = controls()
        const running = rejection(new JobExecutor(job(5), { workerAdapter, concurrency: 3, signal }).execute())
        await begun.promise
        abort(reason)
        assert.strictEqual(await running, reason)
        assert.strictEqual(workerAdapter.running, 0)
        assert.isAtMost(workerAdapter.jobs.length, 3)
      }
    })

    it("without a reason rejects with an AbortError", async () => {
      const controller = new AbortController()
      const workerAdapter = new Adapter((_, { signal }) => {
        controller.abort()
        return untilAborted(signal)
      })
      const error = await rejection(new JobExecutor(job(1), { workerAdapter, signal: controller.signal }).execute())
      assert.propertyVal(error, "name", "AbortError")
    })

    it("that came before rejects at once and starts nothing", async () => {
      const workerAdapter = new Adapter()
      const signal = AbortSignal.abort(new Error("too late"))
      assert.strictEqual(await rejection(new JobExecutor(job(1), { workerAdapter, signal }).execute()), signal.reason)
      assert.strictEqual(workerAdapter.jobs.length, 0)
    })

    it("reaches the stitcher and waits for it", async () => {
      const controller = new AbortController()
      let settled = false
      const stitcher = {
        stitch: async (_inputs: Array<string>, _output: string, { signal }: { signal: AbortSignal }) => {
          controller.abort(new Error("stop"))
          assert.isFalse(settled)
          await untilAborted(signal).catch(() => new Promise((resolve) => setTimeout(resolve, 30)))
          settled = true
          return ok
        }
      }
      const options = { workerAdapter: new Adapter(), stitcher, outputFile: "film.mp4", signal: controller.signal }
      const error = await rejection(new JobExecutor(job(1), options).execute())
      assert.strictEqual(messageOf(error), "stop")
      assert.isTrue(settled)
    })

    it("leaves no listener on the signal", async () => {
      const { listeners, signal } = controls()
      await new JobExecutor(job(3), { workerAdapter: new Adapter(), signal }).execute()
      assert.strictEqual(listeners(), 0)
    })

    it("waits for an adapter that settles late, and what it resolves with changes nothing", async () => {
      const { abort, signal } = controls()
      let settled = false
      const workerAdapter = new Adapter(async (_, { signal }) => {
        abort(new Error("stop"))
        await untilAborted(signal).catch(() => new Promise((resolve) => setTimeout(resolve, 50)))
        settled = true
        return ok
      })
      const seen: Array<number> = []
      const onProgress = ({ percent }: ChunkProgress) => seen.push(percent)
      const error = await rejection(new JobExecutor(job(1), { workerAdapter, signal, onProgress }).execute())
      assert.strictEqual(messageOf(error), "stop")
      assert.isTrue(settled, "its slot was not free before")
      assert.deepStrictEqual(seen, [])
    })
  })
})

/** A signal, what aborts it, and how many listen to it. */
function controls() {
  const controller = new AbortController()
  const { signal } = controller
  let count = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    count++
    add(...args)
  }
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    count--
    remove(...args)
  }
  return { abort: (reason: unknown) => controller.abort(reason), listeners: () => count, signal }
}
