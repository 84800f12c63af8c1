import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Result, Schema } from "effect"
import * as ChunkPlan from "../src/ChunkPlan.ts"
import * as JobSpec from "../src/JobSpec.ts"
import * as WorkerAdapter from "../src/WorkerAdapter.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const Cut = Schema.Union([Schema.Struct({ count: int(1, 700) }), Schema.Struct({ size: int(1, 700) })])

const options = {
  totalFrames: 300,
  fps: 30,
  chunks: { count: 4 },
  command: "render {startFrame} {frameCount} -o {output}"
}

const plan = (more: Partial<ChunkPlan.Options>): JobSpec.JobSpec =>
  Effect.runSync(ChunkPlan.make({ ...options, ...more }))
const commands = (command: string, more: Partial<ChunkPlan.Options> = {}): ReadonlyArray<string> =>
  plan({ ...more, command }).chunks.map((chunk) => chunk.command)
const problemsOf = (more: Partial<ChunkPlan.Options>): ReadonlyArray<string> =>
  Effect.runSync(
    ChunkPlan.make({ ...options, ...more }).pipe(
      Effect.as([]),
      Effect.catch(({ issues }) => Effect.succeed(issues.map(({ path, message }) => `${path}: ${message}`)))
    )
  )

describe("ChunkPlan.split", () => {
  const sizes = (totalFrames: number, cut: ChunkPlan.Cut) =>
    Result.getOrThrow(ChunkPlan.split(totalFrames, cut)).map(({ frameCount }) => frameCount)

  it("cuts into as many chunks as asked, the larger ones first", () => {
    assert.deepStrictEqual(sizes(300, { count: 4 }), [75, 75, 75, 75])
    assert.deepStrictEqual(sizes(10, { count: 4 }), [3, 3, 2, 2])
    assert.deepStrictEqual(sizes(10, { count: 1 }), [10])
  })

  it("cuts into chunks of at most a size, as equal as they can be", () => {
    assert.deepStrictEqual(sizes(300, { size: 75 }), [75, 75, 75, 75])
    assert.deepStrictEqual(sizes(300, { size: 70 }), [60, 60, 60, 60, 60])
    assert.deepStrictEqual(sizes(10, { size: 1000 }), [10])
  })

  it("gives one chunk per frame when there are more chunks than frames", () => {
    assert.deepStrictEqual(sizes(3, { count: 8 }), [1, 1, 1])
    assert.deepStrictEqual(sizes(1, { count: Number.MAX_SAFE_INTEGER }), [1])
  })

  it.prop(
    "gives every frame once and in order, in sizes that differ by one at most",
    [int(1, 2000), Cut],
    ([totalFrames, cut]) => {
      const ranges = Result.getOrThrow(ChunkPlan.split(totalFrames, cut))
      let end = 0
      for (const { frameCount, startFrame } of ranges) {
        assert.strictEqual(startFrame, end)
        end += frameCount
      }
      assert.strictEqual(end, totalFrames)
      const counts = ranges.map(({ frameCount }) => frameCount)
      assert.isAtLeast(Math.min(...counts), 1)
      assert.isAtMost(Math.max(...counts) - Math.min(...counts), 1)
      if ("count" in cut) assert.strictEqual(ranges.length, Math.min(cut.count, totalFrames))
      else {
        assert.isAtMost(Math.max(...counts), cut.size)
        assert.strictEqual(ranges.length, Math.ceil(totalFrames / cut.size))
      }
    }
  )

  it.each([0, -1, 1.5, NaN, Infinity, 2 ** 53])("refuses %s for every number", (n) => {
    for (const [path, result] of [
      ["totalFrames", ChunkPlan.split(n, { count: 4 })],
      ["chunks.count", ChunkPlan.split(300, { count: n })],
      ["chunks.size", ChunkPlan.split(300, { size: n })]
    ] as const) {
      const error = Result.getOrThrow(Result.flip(result))
      assert.deepStrictEqual(error.issues, [{ path, message: `must be a whole number from 1, is ${n}` }])
    }
  })

  it("refuses so many chunks that no machine could hold them", () => {
    const error = Result.getOrThrow(Result.flip(ChunkPlan.split(2 ** 40, { size: 1 })))
    assert.match(error.message, /chunks\.size: gives more than 1000000 chunks: make them larger/)
  })
})

describe("ChunkPlan.make", () => {
  it("writes the job file that a renderer without one needs", () => {
    assert.deepStrictEqual<unknown>(
      plan({
        id: "trailer",
        assets: ["film.html", "media"],
        assetsUrl: "https://assets.example/",
        fps: 29.97,
        width: 1280,
        height: 720,
        totalFrames: 150,
        chunks: { size: 75 },
        mergeCommand: (outputFiles) => `join film.mp4 ${outputFiles.join(" ")}`,
        metadata: { title: "Trailer", totalFrames: 7 }
      }),
      {
        id: "trailer",
        assets: ["film.html", "media"],
        assetsUrl: "https://assets.example/",
        metadata: { title: "Trailer", totalFrames: 150, fps: 29.97, width: 1280, height: 720, duration: 5.005 },
        chunks: [
          { id: 0, startFrame: 0, frameCount: 75, outputFile: "part_0.mov", command: "render 0 75 -o {output}" },
          { id: 1, startFrame: 75, frameCount: 75, outputFile: "part_1.mov", command: "render 75 75 -o {output}" }
        ],
        mergeCommand: "join film.mp4 part_0.mov part_1.mov"
      }
    )
  })

  it("leaves out what it was not given", () => {
    const spec = plan({ id: undefined, width: undefined, mergeCommand: undefined })
    assert.deepStrictEqual(Object.keys(spec), ["metadata", "chunks"])
    assert.deepStrictEqual(Object.keys(spec.metadata), ["totalFrames", "fps", "duration"])
  })

  it.prop(
    "always writes a job that decodes to itself",
    [
      int(1, 2000),
      Cut,
      Schema.Literals([1, 24, 29.97, "30000/1001", "1/3", 119.88]),
      int(0, 1000),
      Schema.Literals(["part_{id}.mov", "{startFrame:6}.mov", "out/{id:3}/a.mov", "it's {endFrame}\n.mov"])
    ],
    ([totalFrames, chunks, fps, firstFrame, outputFile]) => {
      const spec = plan({ totalFrames, chunks, fps, firstFrame, outputFile })
      assert.deepStrictEqual(Effect.runSync(JobSpec.decode(spec)), spec)
      assert.deepStrictEqual(Effect.runSync(JobSpec.decodeJson(JSON.stringify(spec))), spec)
      for (const chunk of spec.chunks) {
        assert.strictEqual(chunk.command, `render ${chunk.startFrame + firstFrame} ${chunk.frameCount} -o {output}`)
        assert.isTrue(WorkerAdapter.namesOutput(chunk.command, chunk.outputFile))
      }
    }
  )
})

describe("a command template", () => {
  it("knows six placeholders", () => {
    assert.deepStrictEqual(
      commands("x {id} {startFrame} {endFrame} {frameCount} {startSeconds} {durationSeconds}", {
        fps: 29.97,
        chunks: { count: 2 }
      }),
      ["x 0 0 149 150 0.000000 5.005000", "x 1 150 299 150 5.005000 5.005000"]
    )
  })

  it("counts frames as the renderer does, and time from the start of the video", () => {
    assert.deepStrictEqual(
      commands("blender -b a.blend -s {startFrame} -e {endFrame} -a # {startSeconds}", {
        firstFrame: 1,
        chunks: { size: 150 }
      }),
      ["blender -b a.blend -s 1 -e 150 -a # 0.000000", "blender -b a.blend -s 151 -e 300 -a # 5.000000"]
    )
    assert.deepStrictEqual(
      plan({ firstFrame: 1, chunks: { size: 150 } }).chunks.map(({ startFrame }) => startFrame),
      [0, 150]
    )
  })

  it("fills whole numbers up with zeros", () => {
    assert.deepStrictEqual(commands("{id:4} {startFrame:2} {endFrame:05} {frameCount:1}", { chunks: { count: 3 } }), [
      "0000 00 00099 100",
      "0001 100 00199 100",
      "0002 200 00299 100"
    ])
    assert.deepStrictEqual(
      plan({ outputFile: "part_{id:4}.mov", chunks: { count: 2 } }).chunks.map(({ outputFile }) => outputFile),
      ["part_0000.mov", "part_0001.mov"]
    )
  })

  it("replaces a placeholder as often as it stands there, next to each other or not", () => {
    assert.deepStrictEqual(commands("{id}{id}-{startFrame}{id}", { chunks: { count: 2 } }), ["00-00", "11-1501"])
  })

  it.each([
    "{output}",
    '--props={"start":{n},"output":1}',
    "drawtext=text='%{n} %{pts}'",
    "{}",
    "{ }",
    "{{}}",
    "{frame}",
    "{ids}",
    "{idle}",
    "}{",
    "{",
    "{a{b}",
    "$1 $& $$ $`",
    "{" + "x".repeat(100_000) + "}",
    "{".repeat(100_000)
  ])("leaves braces and dollars alone that are not its own (case %#)", (text) => {
    assert.deepStrictEqual(commands(`x ${text} {id}`, { chunks: { count: 2 } }), [`x ${text} 0`, `x ${text} 1`])
  })

  it("replaces a number behind a brace that is not its own", () => {
    assert.deepStrictEqual(commands("x {{id} {n}", { chunks: { count: 2 } }), ["x {0 {n}", "x {1 {n}"])
  })

  it("replaces a number within the braces of JSON", () => {
    assert.deepStrictEqual(commands('--props={"start":{startFrame},"n":{frameCount}}', { chunks: { count: 2 } }), [
      '--props={"start":0,"n":150}',
      '--props={"start":150,"n":150}'
    ])
  })

  it.each([
    ["{startframe}", "{startFrame}"],
    ["{start_frame}", "{startFrame}"],
    ["{start-frame}", "{startFrame}"],
    ["{ startFrame }", "{startFrame}"],
    ["{StartFrame:5}", "{startFrame}"],
    ["$".concat("{startFrame}"), "{startFrame}"],
    ["{{startFrame}}", "{startFrame}"],
    ["{startFrame:}", "{startFrame}"],
    ["{startFrame:5d}", "{startFrame}"],
    ["{startFrame:5:5}", "{startFrame}"],
    ["{startFrame:100}", "{startFrame}"],
    ["{ID}", "{id} or {id:4}"],
    ["{FRAME_COUNT}", "{frameCount}"],
    ["{startSeconds:3}", "{startSeconds}"],
    ["{Output}", "{output}"],
    ["$".concat("{output}"), "{output}"],
    ["{output:3}", "{output}"]
  ])("takes %s for a slip of the pen", (slip, hint) => {
    assert.deepStrictEqual(problemsOf({ command: `x {id} ${slip}` }), [`command: write ${hint} for ${slip}`])
    assert.include(problemsOf({ outputFile: `{id} ${slip}` })[0], `outputFile: write ${hint}`)
  })

  it("must differ from chunk to chunk, unless there is only one", () => {
    const same = "command: would render the same in every chunk: say {startFrame}, {startSeconds} or {id}"
    for (const command of ["render -o {output}", "render -n {frameCount} -t {durationSeconds} -o {output}"]) {
      assert.deepStrictEqual(problemsOf({ command }), [same])
      assert.deepStrictEqual(problemsOf({ command, chunks: { count: 1 } }), [])
      assert.deepStrictEqual(problemsOf({ command, totalFrames: 1 }), [])
    }
    for (const command of ["{id}", "{startFrame:3}", "{endFrame}", "{startSeconds}"]) {
      assert.deepStrictEqual(problemsOf({ command }), [])
    }
  })
})

describe("a plan that cannot be", () => {
  it.each([
    [{ totalFrames: 0 }, /^totalFrames: must be a whole number from 1, is 0$/],
    [{ totalFrames: 2 ** 31, chunks: { count: 1 } }, /^metadata\.totalFrames: must be a whole number/],
    [{ chunks: { count: 0 } }, /^chunks\.count: must be/],
    [{ chunks: { size: NaN } }, /^chunks\.size: must be/],
    [{ fps: 0 }, /^fps: must be frames per second such as 30/],
    [{ fps: "abc" }, /^fps: must be frames per second such as 30/],
    [{ firstFrame: -1 }, /^firstFrame: must be a whole number from 0, is -1$/],
    [{ firstFrame: 0.5 }, /^firstFrame: must be/],
    [{ firstFrame: Number.MAX_SAFE_INTEGER }, /^firstFrame: must be/],
    [{ width: 0 }, /^metadata\.width: must be a whole number/],
    [{ height: 1.5 }, /^metadata\.height: must be a whole number/],
    [{ command: "", chunks: { count: 1 } }, /^chunks\[0\]\.command: must not be empty/],
    [{ command: "x\0{id}" }, /^chunks\[0\]\.command: must not contain a NUL/],
    [{ outputFile: "same.mov" }, /^outputFile: would be the same for every chunk/],
    [{ outputFile: "{frameCount}.mov" }, /^outputFile: would be the same for every chunk/],
    [{ outputFile: "../{id}.mov" }, /^chunks\[0\]\.outputFile: leads out of the job's folder/],
    [{ outputFile: "{output}_{id}.mov" }, /^outputFile: is itself what \{output\} stands for/],
    [{ mergeCommand: " " }, /^mergeCommand: must not be empty/],
    [{ mergeCommand: () => "" }, /^mergeCommand: must not be empty/],
    [{ id: "" }, /^id: must have 1 to 200 characters/],
    [{ metadata: { note: 1n } }, /^the job file: cannot be written as JSON/]
  ] as ReadonlyArray<readonly [Partial<ChunkPlan.Options>, RegExp]>)("%o", (more, problem) => {
    const problems = problemsOf(more)
    assert.match(problems[0] ?? "nothing", problem)
  })

  it("is told about everything at once, in words", () => {
    const error = Effect.runSync(
      Effect.flip(ChunkPlan.make({ totalFrames: -3, fps: 0, chunks: { size: 0 }, command: "{Id}", firstFrame: -1 }))
    )
    assert.instanceOf(error, ChunkPlan.ChunkPlanError)
    assert.strictEqual(
      error.message,
      [
        "the job cannot be planned:",
        "- totalFrames: must be a whole number from 1, is -3",
        "- chunks.size: must be a whole number from 1, is 0",
        '- fps: must be frames per second such as 30, 29.97 or "30000/1001", is 0',
        "- firstFrame: must be a whole number from 0, is -1",
        "- command: write {id} or {id:4} for {Id}"
      ].join("\n")
    )
  })

  it("has an error that crosses the wire", () => {
    const codec = Schema.fromJsonString(Schema.toCodecJson(ChunkPlan.ChunkPlanError))
    const error = Effect.runSync(Effect.flip(ChunkPlan.make({ ...options, fps: 0 })))
    const received = Schema.decodeSync(codec)(Schema.encodeSync(codec)(error))
    assert.instanceOf(received, ChunkPlan.ChunkPlanError)
    assert.strictEqual(received.message, error.message)
  })

  it.prop(
    "never breaks, whatever the template",
    [
      Arbitrary.array(
        Arbitrary.schema(Schema.Literals(["{", "}", "$", "id", "output", "start", "Frame", ":", "4", " ", "x"]))
      )
    ],
    ([parts]) => {
      const text = parts.join("")
      const result = Effect.runSync(Effect.result(ChunkPlan.make({ ...options, command: `{id}${text}` })))
      if (Result.isSuccess(result)) assert.strictEqual(result.success.chunks.length, 4)
      else assert.isTrue(result.failure.issues.every(({ path }) => path === "command"))
    }
  )
})
