import { describe } from "@effect/vitest"
import { VideoStitcher } from "@helios-infra/core"
import { FakeFiles, FakeVideoStitcher, VideoStitcherContract, videoStitcherContract } from "@helios-infra/testkit"
import { Effect, Layer, Stream } from "effect"
import { videos } from "./FakeRigs.ts"
import { catches } from "./Mutants.ts"

type Stitcher = VideoStitcher.VideoStitcher["Service"]
type Files = FakeFiles.FakeFiles["Service"]

const fake = FakeVideoStitcher.layer({ takes: "10 millis", missingFolders: ["/job/nowhere"] })
const good = fake.pipe(Layer.merge(videos), Layer.provideMerge(FakeFiles.layer))

videoStitcherContract("FakeVideoStitcher", good)

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
