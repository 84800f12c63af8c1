import { describe } from "@effect/vitest"
import { VideoStitcher } from "@helios-infra/core"
import type * as Promises from "@helios-infra/core/promise"
import { FakeFiles, FakeVideoStitcher, VideoStitcherContract, videoStitcherContract } from "@helios-infra/testkit"
import { Effect, Layer, Stream } from "effect"
import * as fs from "node:fs/promises"
import { videos } from "./FakeRigs.ts"
import { catches, only } from "./Mutants.ts"
import { ShortStitcher, texts, TextStitcher } from "./PlainClasses.ts"

type Stitcher = VideoStitcher.VideoStitcher["Service"]
type Files = FakeFiles.FakeFiles["Service"]

const fake = FakeVideoStitcher.layer({ takes: "10 millis", missingFolders: ["/job/nowhere"] })
const good = fake.pipe(Layer.merge(videos), Layer.provideMerge(FakeFiles.layer))

videoStitcherContract("FakeVideoStitcher", good)

const plain = (stitcher: Promises.VideoStitcher) => async () => ({ stitcher, ...(await texts()) })

videoStitcherContract("a stitcher of the Promise API", plain(new TextStitcher()))
videoStitcherContract("one that leaves to core what core does", plain(new ShortStitcher()), {
  atomic: false,
  sizes: false,
  finds: ["missing"]
})

describe("the contract of VideoStitcher", () => {
  const broken = (change: (stitcher: Stitcher, files: Files) => Stitcher["stitch"]) =>
    VideoStitcherContract.make(
      Layer.provideMerge(
        Layer.effect(
          VideoStitcher.VideoStitcher,
          Effect.gen(function* () {
            return { stitch: change(yield* VideoStitcher.VideoStitcher, yield* FakeFiles.FakeFiles) }
          })
        ),
        good
      ),
      { patience: "300 millis" }
    )

  /** Joins what is there, whatever it is: what ffmpeg's own concat does. */
  const careless = (
    files: Files,
    select: (frames: ReadonlyArray<string>) => ReadonlyArray<string> = (all) => all
  ): Stitcher["stitch"] =>
    Effect.fnUntraced(function* (request) {
      const inputs = yield* Stream.runCollect(request.inputs)
      const joined = FakeFiles.join(select(inputs.flatMap(({ location }) => files.get(location)?.frames ?? [])))
      files.set(request.output, joined)
      return { outputFile: request.output, bytes: joined.bytes, frames: request.frames, durationMs: 0 }
    })

  catches(
    "one that joins whatever is there",
    broken((_, files) => careless(files)),
    /a missing chunk/
  )
  catches(
    "one that does not look into chunks",
    broken((_, files) => careless(files)),
    /lacks a frame/
  )
  catches(
    "one that joins fewer inputs without a word",
    broken((_, files) => careless(files)),
    /fewer inputs/
  )
  catches(
    "one that loses the last frame",
    broken((_, files) => careless(files, (all) => all.slice(0, -1))),
    /once, in the order/
  )
  catches(
    "one that sorts chunks by name",
    broken((_, files) => careless(files, (all) => all.toSorted())),
    /names may hold|once, in the order/
  )

  catches(
    "one that reads chunks twice",
    broken((_, files) => careless(files, (all) => [...all, ...all])),
    /once, in the order/
  )

  catches(
    "one that names no chunk in its errors",
    broken(
      (stitcher) => (request) =>
        stitcher.stitch(request).pipe(Effect.mapError(({ reason }) => new VideoStitcher.StitchError({ reason })))
    ),
    /names it/
  )

  catches(
    "one that writes to the final name from the beginning",
    broken(
      (stitcher, files) => (request) =>
        Effect.andThen(
          Effect.sync(() => files.set(request.output, FakeFiles.video(0, 1))),
          Effect.andThen(Effect.sleep("30 millis"), stitcher.stitch(request))
        )
    ),
    /appears whole/
  )

  catches(
    "one that leaves half a file when it is interrupted",
    broken(
      (stitcher, files) => (request) =>
        stitcher
          .stitch(request)
          .pipe(Effect.onInterrupt(() => Effect.sync(() => files.set(request.output, FakeFiles.video(0, 1)))))
    ),
    /interruption while it waits|interruption at any moment/
  )

  catches(
    "one that forgets its temporary files",
    broken(
      (stitcher, files) => (request) =>
        Effect.tap(stitcher.stitch(request), () =>
          Effect.sync(() => files.set(`${request.output}.list`, FakeFiles.video(0, 1)))
        )
    ),
    /leaves nothing beside/
  )

  catches(
    "one that removes the chunks",
    broken(
      (stitcher, files) => (request) =>
        Effect.tap(stitcher.stitch(request), () =>
          Stream.runForEach(request.inputs, ({ location }) => Effect.sync(() => files.delete(location)))
        )
    ),
    /leaves nothing beside/
  )

  catches(
    "one that does not replace an older file",
    broken(
      (stitcher, files) => (request) =>
        Effect.suspend(() => {
          const older = files.get(request.output)
          return Effect.tap(stitcher.stitch(request), () =>
            Effect.sync(() => older !== undefined && files.set(request.output, older))
          )
        })
    ),
    /replaces the file/
  )

  catches(
    "one that removes the older file first",
    broken(
      (stitcher, files) => (request) =>
        Effect.suspend(() => {
          files.delete(request.output)
          return stitcher.stitch(request)
        })
    ),
    /older file stays/
  )

  catches(
    "one that cannot take quotes and line breaks in names",
    broken(
      (stitcher) => (request) =>
        /['\n]/.test(request.output)
          ? Effect.fail(
              new VideoStitcher.StitchError({
                reason: new VideoStitcher.ToolFailed({ exitCode: 1, stderrTail: "no such file" })
              })
            )
          : stitcher.stitch(request)
    ),
    /names may hold/
  )

  catches(
    "one that ignores interruption",
    broken((stitcher) => (request) => Effect.uninterruptible(stitcher.stitch(request))),
    /interruption while it waits/
  )

  catches(
    "one that gives the wrong size",
    broken((stitcher) => (request) => Effect.map(stitcher.stitch(request), (result) => ({ ...result, bytes: 0 }))),
    /once, in the order/
  )
})

describe("the contract of VideoStitcher, for stitchers of the Promise API", () => {
  type Stitch = Promises.VideoStitcher["stitch"]

  const broken: ReadonlyArray<readonly [name: string, promise: RegExp, change: (stitch: Stitch) => Stitch]> = [
    [
      "one that joins by name",
      /names may hold/,
      (stitch) => (inputs, output, context) => stitch(inputs.toSorted(), output, context)
    ],
    [
      "one that forgets the last chunk",
      /in the order of the chunks/,
      (stitch) => (inputs, output, context) => stitch(inputs.slice(0, -1), output, context)
    ],
    [
      "one that says it is done whatever happened",
      /cannot be written/,
      (stitch) => (inputs, output, context) =>
        stitch(inputs, output, context).catch(() => ({ exitCode: 0, stdout: "", stderr: "", durationMs: 0 }))
    ],
    [
      "one that names no chunk",
      /lacks a frame/,
      (stitch) => (inputs, output, context) =>
        stitch(inputs, output, context).catch(() => Promise.reject(new Error("a chunk is not good")))
    ],
    [
      "one that does not look at chunks, and does not say so",
      /another picture size/,
      () => (inputs, output) => new ShortStitcher().stitch(inputs, output)
    ],
    [
      "one that writes to the final name, and does not say so",
      /ends it, and leaves the whole file|appears whole/,
      (stitch) => async (inputs, output, context) => {
        await fs.writeFile(output, "64x64\n0\n")
        await new Promise((resolve) => setTimeout(resolve, 30))
        return stitch(inputs, output, context)
      }
    ],
    [
      "one that leaves its list behind",
      /leaves nothing beside/,
      (stitch) => async (inputs, output, context) => {
        await fs.writeFile(`${output}.list`, inputs.join("\n"))
        return stitch(inputs, output, context)
      }
    ],
    ["one that ignores its signal and never ends", /at any moment/, () => () => new Promise(() => {})],
    [
      "one that resolves with nothing",
      /one chunk is a video too/,
      // @ts-expect-error -- plain JavaScript
      (stitch) => async (inputs, output, context) => void (await stitch(inputs, output, context))
    ]
  ]
  for (const [name, promise, change] of broken) {
    const good = new TextStitcher()
    const made = plain({ stitch: change((inputs, output, context) => good.stitch(inputs, output, context)) })
    catches(name, only(VideoStitcherContract.make(made, { patience: "1 second" }), promise), promise)
  }

  catches(
    "one that appears at once where it says that it does not, and leaves more than its output",
    only(
      VideoStitcherContract.make(
        plain({
          stitch: async (inputs, output, context) => {
            await fs.writeFile(`${output}.list`, "")
            await fs.writeFile(output, "")
            return new TextStitcher().stitch(inputs, output, context)
          }
        }),
        { atomic: false }
      ),
      /lacks a frame/
    ),
    /lacks a frame/
  )
})
