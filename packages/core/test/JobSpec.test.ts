import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema } from "effect"
import * as JobSpec from "../src/JobSpec.ts"

const chunk = (id: number, startFrame: number, frameCount: number, more: object = {}) => ({
  id,
  startFrame,
  frameCount,
  outputFile: `part_${id}.mov`,
  command: `render -o part_${id}.mov --start-frame ${startFrame} --frame-count ${frameCount}`,
  ...more
})

const job = (totalFrames: unknown, chunks: ReadonlyArray<unknown>, more: object = {}) => ({
  metadata: { totalFrames, fps: 30 },
  chunks,
  ...more
})

/** A sound job of one chunk, with one thing changed. */
const withChunk = (more: object) => job(10, [chunk(0, 0, 10, more)])
const withMetadata = (more: object) => ({
  ...job(10, [chunk(0, 0, 10)]),
  metadata: { totalFrames: 10, fps: 30, ...more }
})

const without = <A extends object>(value: A, key: keyof A) => {
  const { [key]: _, ...rest } = value
  return rest
}

const problemsOf = (input: unknown): ReadonlyArray<string> =>
  Effect.runSync(
    JobSpec.decode(input).pipe(
      Effect.as([]),
      Effect.catch(({ issues }) => Effect.succeed(issues.map(({ path, message }) => `${path}: ${message}`)))
    )
  )

const errorOf = (effect: Effect.Effect<JobSpec.JobSpec, JobSpec.JobSpecError>): JobSpec.JobSpecError =>
  Effect.runSync(Effect.flip(effect))

/** What Helios CLI 0.45.2 with renderer 1.78.3 wrote: `helios render comp.html -o out/film.mp4 --duration 10 --concurrency 4 --emit-job job.json`. */
const fromHelios = {
  metadata: { totalFrames: 300, fps: 30, width: 1920, height: 1080, duration: 10 },
  chunks: [0, 75, 150, 225].map((startFrame, id) => ({
    id,
    startFrame,
    frameCount: 75,
    outputFile: `out/temp_1764579600000_k3f9x_part_${id}.mov`,
    command: `helios render comp.html -o out/temp_1764579600000_k3f9x_part_${id}.mov --start-frame ${startFrame} --frame-count 75 --width 1920 --height 1080 --fps 30 --mode canvas --audio-codec pcm_s16le`
  })),
  mergeCommand: `helios merge out/film.mp4 ${[0, 1, 2, 3].map((id) => `out/temp_1764579600000_k3f9x_part_${id}.mov`).join(" ")}`
}

// ---------------------------------------------
// generated jobs
// ---------------------------------------------

const Extra = Schema.Record(Schema.Literals(["note", "mood", "__proto__", "constructor", "0", "é"]), Schema.Json)

/** Sound jobs: chunks of 1 to 40 frames, in any order, from frame 0 or later, with unknown keys at every level. */
const SoundJob = Arbitrary.all({
  first: Arbitrary.schema(Schema.Literals([0, 0, 1, 1000])),
  cuts: Arbitrary.schema(
    Schema.NonEmptyArray(
      Schema.Struct({ size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })), order: Schema.Finite })
    )
  ),
  folder: Arbitrary.schema(Schema.Literals(["", "./", "out/", "a/../", "-x/", "it's\n/"])),
  fps: Arbitrary.schema(Schema.Literals([30, 29.97, "30000/1001", 12.5])),
  extra: Arbitrary.schema(Schema.Struct({ job: Extra, metadata: Extra, chunk: Extra }))
}).pipe(
  Arbitrary.map(({ cuts, extra, first, folder, fps }) => {
    let end = first
    const chunks = cuts.map(({ order, size }, id) => {
      const startFrame = end
      end += size
      return { order, chunk: { ...extra.chunk, ...chunk(id, startFrame, size, { outputFile: `${folder}${id}.mov` }) } }
    })
    return {
      ...extra.job,
      metadata: { ...extra.metadata, totalFrames: end - first, fps },
      chunks: chunks.toSorted((a, b) => a.order - b.order).map(({ chunk }) => chunk)
    }
  })
)

/** Jobs of at most 12 frames whose chunks overlap, leave gaps and lead beyond the end as it happens. */
const Ranges = Schema.Struct({
  totalFrames: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 8 })),
  ranges: Schema.NonEmptyArray(
    Schema.Struct({
      start: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 })),
      count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))
    })
  ).check(Schema.isMaxLength(5))
})

// ---------------------------------------------

describe("JobSpec.decode", () => {
  it("takes what the Helios CLI writes", () => assert.deepStrictEqual(problemsOf(fromHelios), []))

  it("takes what the Helios CLI writes for a part of the video (--start-frame 100 --frame-count 50)", () =>
    assert.deepStrictEqual(problemsOf(job(50, [chunk(0, 100, 25), chunk(1, 125, 25)])), []))

  it("takes what the Helios CLI writes without --concurrency: one chunk", () =>
    assert.deepStrictEqual(problemsOf(job(30, [chunk(0, 0, 30)])), []))

  it.prop("gives a job back as it was, unknown keys included", [SoundJob], ([input]) => {
    const spec = Effect.runSync(JobSpec.decode(input))
    assert.deepStrictEqual<unknown>(spec, input)
    assert.deepStrictEqual<unknown>(Schema.encodeSync(JobSpec.JobSpec)(spec), input)
    const text = JSON.stringify(input)
    assert.strictEqual(JSON.stringify(spec).length, text.length)
    assert.deepStrictEqual<unknown>(Effect.runSync(JobSpec.decodeJson(text)), JSON.parse(text))
  })

  it.prop("does not take a sound job of which one chunk is gone, twice there or longer", [SoundJob], ([input]) => {
    const { chunks } = input
    const [first, ...rest] = chunks
    if (first === undefined) return
    assert.isNotEmpty(problemsOf({ ...input, chunks: rest }))
    assert.isNotEmpty(problemsOf({ ...input, chunks: [...chunks, { ...first, id: 9999, outputFile: "again.mov" }] }))
    assert.isNotEmpty(problemsOf({ ...input, chunks: [{ ...first, frameCount: first.frameCount + 1 }, ...rest] }))
  })

  it.prop("takes ranges exactly when they hold every frame once", [Ranges], ([{ ranges, totalFrames }]) => {
    const frames = ranges
      .flatMap(({ count, start }) => Array.from({ length: count }, (_, index) => start + index))
      .toSorted((a, b) => a - b)
    const once = frames.length === totalFrames && frames.every((frame, index) => frame === (frames[0] ?? 0) + index)
    const problems = problemsOf(
      job(
        totalFrames,
        ranges.map(({ count, start }, id) => chunk(id, start, count))
      )
    )
    assert.strictEqual(problems.length === 0, once)
  })

  it.prop("names every missing frame, and no other", [Ranges], ([{ ranges, totalFrames }]) => {
    const frames = ranges.flatMap(({ count, start }) => Array.from({ length: count }, (_, index) => start + index))
    // Frames that count from later than 0 are another test's.
    if (Math.max(...frames) + 1 - Math.min(...frames) === totalFrames) return
    const missing = Array.from({ length: totalFrames }, (_, frame) => frame).filter((frame) => !frames.includes(frame))
    const named = problemsOf(
      job(
        totalFrames,
        ranges.map(({ count, start }, id) => chunk(id, start, count))
      )
    ).flatMap((problem) => {
      const [, first, last = first] = /^chunks: frames? (\d+)(?:-(\d+))? (?:is|are) in no chunk$/.exec(problem) ?? []
      return first === undefined
        ? []
        : Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index)
    })
    assert.deepStrictEqual(named, missing)
  })

  it.effect("reads its own encoding in another schema", () =>
    Effect.gen(function* () {
      const codec = Schema.fromJsonString(Schema.toCodecJson(Schema.Struct({ spec: JobSpec.JobSpec })))
      const text = yield* Schema.encodeEffect(codec)({ spec: fromHelios })
      assert.deepStrictEqual(yield* Schema.decodeEffect(codec)(text), { spec: fromHelios })
    })
  )
})

describe("a job file that is not valid", () => {
  const cases: ReadonlyArray<readonly [title: string, input: unknown, problem: RegExp]> = [
    // shape
    ["null", null, /^the job file: must be of type object$/],
    ["an array", [], /^the job file: must be of type object$/],
    ["text", "{}", /^the job file: must be of type object$/],
    ["no metadata", without(job(10, [chunk(0, 0, 10)]), "metadata"), /^metadata: is missing$/],
    ["no chunks", { metadata: { totalFrames: 1, fps: 30 } }, /^chunks: is missing$/],
    ["no chunk", job(10, []), /^chunks: must hold at least one chunk$/],
    ["a chunk that is null", job(10, [chunk(0, 0, 10), null]), /^chunks\[1\]: must be of type object$/],
    ["a field missing", job(10, [without(chunk(0, 0, 10), "startFrame")]), /^chunks\[0\]\.startFrame: is missing$/],
    ["a number as text", withChunk({ frameCount: "10" }), /^chunks\[0\]\.frameCount: must be of type number$/],
    ["a width of null", withMetadata({ width: null }), /^metadata\.width: must be of type number$/],
    [
      "a merge command that is no text",
      job(10, [chunk(0, 0, 10)], { mergeCommand: 1 }),
      /^mergeCommand: must be of type/
    ],
    // numbers
    ...[0, -1, 1.5, NaN, Infinity, 1e308, 2 ** 53, -0].map(
      (n) =>
        [
          `totalFrames ${Object.is(n, -0) ? "-0" : n}`,
          job(n, [chunk(0, 0, 10)]),
          /^metadata\.totalFrames: must be a whole number from 1/
        ] as const
    ),
    ...[-1, 0.5, NaN, 1e308, 2 ** 53, -0].map(
      (n) =>
        [
          `startFrame ${Object.is(n, -0) ? "-0" : n}`,
          withChunk({ startFrame: n }),
          /^chunks\[0\]\.startFrame: must be a whole number from 0/
        ] as const
    ),
    ...[0, -10, 2 ** 53].map(
      (n) =>
        [
          `frameCount ${n}`,
          withChunk({ frameCount: n }),
          /^chunks\[0\]\.frameCount: must be a whole number from 1/
        ] as const
    ),
    ...[-1, 0.5, -0].map(
      (n) =>
        [
          `id ${Object.is(n, -0) ? "-0" : n}`,
          withChunk({ id: n }),
          /^chunks\[0\]\.id: must be a whole number from 0/
        ] as const
    ),
    ...[0, -1280, 12.5].map(
      (n) => [`width ${n}`, withMetadata({ width: n }), /^metadata\.width: must be a whole number from 1/] as const
    ),
    ["height 0", withMetadata({ height: 0 }), /^metadata\.height: must be a whole number from 1/],
    ["duration -1", withMetadata({ duration: -1 }), /^metadata\.duration: must be a number of seconds/],
    ...[0, -30, NaN, Infinity, 1e9, "0", "thirty", "30/0", ""].map(
      (fps) =>
        [
          `fps ${JSON.stringify(fps)} (${fps})`,
          withMetadata({ fps }),
          /^metadata\.fps: must be frames per second above 0/
        ] as const
    ),
    ["fps null", withMetadata({ fps: null }), /^metadata\.fps: must be a number or a string such as 30/],
    // texts
    ["an empty command", withChunk({ command: "" }), /^chunks\[0\]\.command: must not be empty/],
    ["a blank command", withChunk({ command: " \t\n" }), /^chunks\[0\]\.command: must not be empty/],
    ["a NUL in a command", withChunk({ command: "x\0y" }), /^chunks\[0\]\.command: must not contain a NUL/],
    ["a blank merge command", job(10, [chunk(0, 0, 10)], { mergeCommand: " " }), /^mergeCommand: must not be empty/],
    ...["", "a\nb", "\u0000", "a".repeat(201), "\ud800"].map(
      (id) =>
        [
          `id ${JSON.stringify(id.slice(0, 10))}`,
          job(10, [chunk(0, 0, 10)], { id }),
          /^id: must have 1 to 200 characters/
        ] as const
    ),
    // output names
    ["no output name", withChunk({ outputFile: "" }), /^chunks\[0\]\.outputFile: must not be empty/],
    ...["../x.mov", "a/../../x.mov", "./../x.mov", "a/../../job/x.mov", ".."].map(
      (outputFile) =>
        [
          `output ${outputFile}`,
          withChunk({ outputFile }),
          /^chunks\[0\]\.outputFile: leads out of the job's folder/
        ] as const
    ),
    ...["/x.mov", "//server/x.mov", "C:/x.mov", "c:x.mov"].map(
      (outputFile) =>
        [`output ${outputFile}`, withChunk({ outputFile }), /^chunks\[0\]\.outputFile: must be relative/] as const
    ),
    ...["a\\x.mov", "..\\x.mov", "\\\\server\\x.mov", "C:\\x.mov"].map(
      (outputFile) =>
        [
          `output ${outputFile}`,
          withChunk({ outputFile }),
          /^chunks\[0\]\.outputFile: write \/ between folders/
        ] as const
    ),
    ...[".", "./", "a/", "a/.", "a/..", "a/b/.."].map(
      (outputFile) =>
        [`output ${outputFile}`, withChunk({ outputFile }), /^chunks\[0\]\.outputFile: names a folder/] as const
    ),
    ["output with a NUL", withChunk({ outputFile: "a\0.mov" }), /^chunks\[0\]\.outputFile: contains a character/],
    [
      "output with half a character",
      withChunk({ outputFile: "\udc00.mov" }),
      /^chunks\[0\]\.outputFile: contains a character/
    ],
    // assets
    ["no list of assets", job(10, [chunk(0, 0, 10)], { assets: "film.html" }), /^assets: must be of type array/],
    ["an asset without a name", job(10, [chunk(0, 0, 10)], { assets: ["a", ""] }), /^assets\[1\]: must not be empty/],
    ["an asset elsewhere", job(10, [chunk(0, 0, 10)], { assets: ["../a"] }), /^assets\[0\]: leads out of the job's/],
    ["an absolute asset", job(10, [chunk(0, 0, 10)], { assets: ["/etc"] }), /^assets\[0\]: must be relative/],
    // the whole
    [
      "a chunk id twice",
      job(20, [chunk(3, 0, 10), chunk(3, 10, 10, { outputFile: "b.mov" })]),
      /^chunks\[1\]\.id: 3 is also the id of chunks\[0\]/
    ],
    [
      "an output twice",
      job(20, [chunk(0, 0, 10), chunk(1, 10, 10, { outputFile: "a/.././part_0.mov" })]),
      /^chunks\[1\]\.outputFile: .* is also the output of chunks\[0\]/
    ],
    [
      "outputs that differ in case only",
      job(20, [chunk(0, 0, 10), chunk(1, 10, 10, { outputFile: "PART_0.mov" })]),
      /^chunks\[1\]\.outputFile: "PART_0.mov" is also the output of chunks\[0\]/
    ],
    [
      "outputs that differ in composition only",
      job(20, [chunk(0, 0, 10, { outputFile: "\u00e9.mov" }), chunk(1, 10, 10, { outputFile: "e\u0301.mov" })]),
      /^chunks\[1\]\.outputFile: .* is also the output of chunks\[0\]/
    ],
    [
      "an output below another",
      job(20, [chunk(0, 0, 10, { outputFile: "a/b" }), chunk(1, 10, 10, { outputFile: "a" })]),
      /^chunks\[0\]\.outputFile: "a\/b" needs a folder where chunks\[1\] writes a file$/
    ],
    [
      "overlapping chunks",
      job(20, [chunk(0, 0, 12), chunk(1, 10, 10)]),
      /^chunks\[1\]: frames 10-11 are in chunk 0 \(chunks\[0\]\) and again in chunk 1$/
    ],
    [
      "a chunk within another",
      job(20, [chunk(0, 5, 1), chunk(1, 0, 20)]),
      /^chunks\[0\]: frame 5 is in chunk 1 \(chunks\[1\]\) and again in chunk 0$/
    ],
    ["missing frames at the start", job(20, [chunk(0, 5, 15)]), /^chunks: frames 0-4 are in no chunk$/],
    ["missing frames in the middle", job(20, [chunk(0, 0, 10), chunk(1, 11, 9)]), /^chunks: frame 10 is in no chunk$/],
    ["missing frames at the end", job(150, [chunk(0, 0, 75)]), /^chunks: frames 75-149 are in no chunk$/],
    [
      "frames beyond the end",
      job(20, [chunk(0, 0, 10), chunk(1, 10, 15)]),
      /^chunks\[1\]: frames 20-24 are beyond the last frame, 19: correct chunk 1 or metadata\.totalFrames$/
    ],
    [
      "a chunk beyond the end",
      job(20, [chunk(0, 0, 20), chunk(1, 30, 1)]),
      /^chunks\[1\]: frame 30 is beyond the last frame, 19/
    ],
    // what no journal could hold
    [
      "a value that is no JSON",
      job(10, [chunk(0, 0, 10)], { note: 1n }),
      /^the job file: cannot be written as JSON: .*BigInt/
    ]
  ]

  it.each(cases)("%s", (_, input, problem) => {
    const problems = problemsOf(input)
    assert.isTrue(
      problems.some((text) => problem.test(text)),
      problems.join("\n")
    )
  })

  it("has one problem only where one thing is wrong", () => {
    for (const [, input] of cases.filter(([, input]) => typeof input === "object" && input !== null)) {
      const several = problemsOf(input).filter((problem) => !/^chunks(\[\d\])?: (frames? |must be)/.test(problem))
      assert.isAtMost(several.length, 1, several.join("\n"))
    }
  })

  it("takes legal names however odd", () => {
    for (const outputFile of [
      'it\'s "x".mov',
      "a\nb.mov",
      "-rf",
      "...",
      "..x",
      "x..",
      "a b/ü/日本.mov",
      "ab:c.mov",
      "{output}.mov"
    ]) {
      assert.deepStrictEqual(problemsOf(withChunk({ outputFile })), [])
    }
  })

  it("is told about everything at once, in the order of the file", () => {
    const problems = problemsOf({
      id: "",
      metadata: { totalFrames: 300, fps: 0, width: -1 },
      chunks: [
        chunk(0, 0, 80, { command: " " }),
        chunk(0, 75, 75, { outputFile: "../x.mov" }),
        chunk(2, 200, 200, { outputFile: "Part_0.mov" })
      ],
      mergeCommand: ""
    })
    assert.deepStrictEqual(
      problems.map((problem) => problem.slice(0, problem.indexOf(":"))),
      [
        "id",
        "metadata.fps",
        "metadata.width",
        "chunks[0].command",
        "chunks[1].outputFile",
        "mergeCommand",
        "chunks[1].id",
        "chunks[1]",
        "chunks",
        "chunks[2]",
        "chunks[2].outputFile"
      ]
    )
  })

  it("is not told of missing frames while a chunk's range is not known", () => {
    const problems = problemsOf(job(300, [chunk(0, 0, 80), chunk(1, 75, 75), { ...chunk(2, 0, 1), startFrame: "150" }]))
    assert.deepStrictEqual(problems, [
      "chunks[2].startFrame: must be of type number",
      "chunks[1]: frames 75-79 are in chunk 0 (chunks[0]) and again in chunk 1"
    ])
  })
})

describe("JobSpecError", () => {
  const broken = (count: number) =>
    errorOf(
      JobSpec.decode(
        job(
          count,
          Array.from({ length: count }, () => ({}))
        )
      )
    )

  it("reads as a list that says what to do", () => {
    assert.strictEqual(
      errorOf(JobSpec.decode(job(150, [chunk(0, 0, 75)]))).message,
      "the job file is not valid, nothing was started. Correct this, then try again:\n- chunks: frames 75-149 are in no chunk"
    )
  })

  it("stays short for a file with a hundred thousand problems", () => {
    const error = broken(20_000)
    assert.strictEqual(error.issues.length, 100)
    assert.strictEqual(error.more, 5 * 20_000 - 100)
    assert.include(error.message, "Correct these 100000 problems")
    assert.strictEqual(error.message.split("\n").length, 22)
    assert.isTrue(error.message.endsWith("- and 99980 more"))
  })

  it("crosses the wire", () => {
    const codec = Schema.fromJsonString(Schema.toCodecJson(JobSpec.JobSpecError))
    const error = broken(50)
    const received = Schema.decodeSync(codec)(Schema.encodeSync(codec)(error))
    assert.instanceOf(received, JobSpec.JobSpecError)
    assert.instanceOf(received, Error)
    assert.strictEqual(received.message, error.message)
  })
})

describe("JobSpec.decodeJson", () => {
  it.effect("reads text, with or without a byte order mark", () =>
    Effect.gen(function* () {
      const text = JSON.stringify(fromHelios, null, 2)
      assert.deepStrictEqual(yield* JobSpec.decodeJson(text), fromHelios)
      assert.deepStrictEqual(yield* JobSpec.decodeJson(`\uFEFF${text}`), fromHelios)
    })
  )

  it("says where the text stops being JSON", () => {
    assert.match(errorOf(JobSpec.decodeJson('{\n  "id": "a",\n  chunks: []\n}')).message, /is not JSON: .*position 17/)
    assert.match(errorOf(JobSpec.decodeJson("")).message, /the job file: is not JSON: ./)
    assert.match(errorOf(JobSpec.decodeJson("<html>\n</html>")).message, /the job file: is not JSON: [^\n]+$/)
  })
})

describe("a hostile job file", () => {
  const sound = job(10, [chunk(0, 0, 10)])

  it("pollutes no prototype, and keeps its keys", () => {
    const text = JSON.stringify(sound).replace(
      "{",
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},'
    )
    const spec = Effect.runSync(JobSpec.decodeJson(text))
    assert.isTrue(Object.hasOwn(spec, "__proto__"))
    assert.strictEqual(JSON.stringify(spec).length, text.length)
    assert.isFalse("polluted" in {})
    assert.isFalse("polluted" in spec)
  })

  it("finds no field on a prototype", () => {
    const problems = problemsOf(JSON.parse('{"__proto__":{"metadata":{"totalFrames":1,"fps":1},"chunks":[]}}'))
    assert.deepStrictEqual(problems, ["metadata: is missing", "chunks: is missing"])
  })

  it("is not taken when it is nested deeper than it could be written", () => {
    const text = JSON.stringify(sound).replace("{", `{"deep":${"[".repeat(100_000)}${"]".repeat(100_000)},`)
    assert.match(errorOf(JobSpec.decodeJson(text)).message, /cannot be written as JSON/)
  })

  it("is not taken when it holds itself", () => {
    const cyclic: Record<string, unknown> = { ...sound }
    cyclic["self"] = cyclic
    assert.match(errorOf(JobSpec.decode(cyclic)).message, /cannot be written as JSON/)
  })

  it("with huge texts is answered at once, in a short message", () => {
    const long = "x".repeat(10_000_000)
    const error = errorOf(
      JobSpec.decode({
        ...job(10, [chunk(0, 0, 10, { outputFile: "../".repeat(3_000_000), command: " ".repeat(10_000_000) })]),
        id: long,
        metadata: { totalFrames: 10, fps: "1".repeat(10_000_000), width: long, duration: long },
        [long]: long
      })
    )
    assert.strictEqual(error.issues.length, 6)
    assert.isBelow(error.message.length, 2000)
  })

  // Measured at 0.2 to 0.6 s; the limit only catches work that grows with the square of the chunks.
  it("with 100 000 chunks is checked in the time it takes to read it, sound or not", () => {
    const chunks = Array.from({ length: 100_000 }, (_, id) => chunk(id, id, 1))
    assert.deepStrictEqual(problemsOf(job(100_000, chunks)), [])
    const same = errorOf(
      JobSpec.decode(
        job(
          100_000,
          chunks.map((each) => ({ ...each, ...chunk(0, 0, 100_000) }))
        )
      )
    )
    assert.strictEqual(same.issues.length + same.more, 3 * 99_999)
  }, 20_000)
})

describe("reading a spec", () => {
  it.prop("gives the chunks in the order of their frames, and leaves the spec alone", [SoundJob], ([input]) => {
    const spec = Effect.runSync(JobSpec.decode(input))
    const before = JSON.stringify(spec)
    const ordered = JobSpec.chunksInOrder(spec)
    let end = ordered[0]?.startFrame
    for (const { frameCount, startFrame } of ordered) {
      assert.strictEqual(startFrame, end)
      end = startFrame + frameCount
    }
    assert.strictEqual(ordered.length, spec.chunks.length)
    assert.strictEqual(JSON.stringify(spec), before)
  })

  it("gives the rate exactly", () => {
    const rate = JobSpec.frameRate({ ...fromHelios, metadata: { totalFrames: 300, fps: 29.97 } })
    assert.deepStrictEqual(rate, { numerator: 30_000, denominator: 1001 })
  })

  it("gives the format that the job file knows, and no key that it does not", () => {
    assert.deepStrictEqual(JobSpec.format(fromHelios), { fps: "30", width: 1920, height: 1080 })
    const { metadata } = withMetadata({ fps: "60000/2002" })
    assert.deepStrictEqual(JobSpec.format({ ...fromHelios, metadata }), { fps: "30000/1001" })
  })

  it("breaks loudly on a spec that nobody decoded", () => {
    const exit = Effect.runSyncExit(
      Effect.sync(() => JobSpec.frameRate({ ...fromHelios, metadata: { totalFrames: 1, fps: 0 } }))
    )
    assert.isTrue(Exit.hasDies(exit))
  })
})
