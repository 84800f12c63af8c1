import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as VideoFormat from "../src/VideoFormat.ts"

/** Formats over few values, so that generated ones often agree. */
const Format = Schema.Struct({
  width: Schema.optionalKey(Schema.Literals([640, 1280])),
  height: Schema.optionalKey(Schema.Literals([360, 720])),
  fps: Schema.optionalKey(Schema.Literals(["30", "30000/1001"])),
  codec: Schema.optionalKey(Schema.Literals(["h264", "vp8"])),
  pixelFormat: Schema.optionalKey(Schema.Literals(["yuv420p", "yuv444p"])),
  audio: Schema.optionalKey(Schema.Literals(["none", "pcm_s16le 48000 stereo"]))
})
const keys = ["width", "height", "fps", "codec", "pixelFormat", "audio"] as const

describe("VideoFormat.difference", () => {
  it("names what differs, and only that", () => {
    assert.deepStrictEqual(
      VideoFormat.difference(
        { width: 1280, height: 720, fps: "30", codec: "h264" },
        { width: 640, height: 720, fps: "30000/1001", pixelFormat: "yuv420p" }
      ),
      { expected: "width 1280, fps 30", found: "width 640, fps 30000/1001" }
    )
  })

  it("finds nothing where one side knows nothing", () => {
    assert.isUndefined(VideoFormat.difference({}, { width: 640 }))
    assert.isUndefined(VideoFormat.difference({ width: 640, codec: "h264" }, { audio: "none" }))
  })

  it.each(keys)("compares %s", (key) => {
    const [expected, found] =
      key === "width" || key === "height" ? [{ [key]: 1 }, { [key]: 2 }] : [{ [key]: "a" }, { [key]: "b" }]
    assert.isDefined(VideoFormat.difference(expected, found))
  })

  it.prop("finds nothing between a format and itself", [Format], ([format]) => {
    assert.isUndefined(VideoFormat.difference(format, format))
  })

  it.prop("says the same from both sides", [Format, Format], ([a, b]) => {
    const there = VideoFormat.difference(a, b)
    const back = VideoFormat.difference(b, a)
    assert.deepStrictEqual(there, back === undefined ? undefined : { expected: back.found, found: back.expected })
  })

  it.prop("finds something exactly when a key that both know differs", [Format, Format], ([a, b]) => {
    const differs = keys.some((key) => key in a && key in b && a[key] !== b[key])
    assert.strictEqual(VideoFormat.difference(a, b) !== undefined, differs)
  })
})

describe("VideoFormat.complete", () => {
  it("fills in what is not known and keeps what is", () => {
    assert.deepStrictEqual(VideoFormat.complete({ width: 1280, fps: "30" }, { width: 640, codec: "h264" }), {
      width: 1280,
      fps: "30",
      codec: "h264"
    })
  })

  it.prop("never contradicts what is known, and then knows all that the other knows", [Format, Format], ([a, b]) => {
    const completed = VideoFormat.complete(a, b)
    assert.isUndefined(VideoFormat.difference(a, completed))
    assert.deepStrictEqual(VideoFormat.complete(completed, b), completed)
    assert.isTrue(keys.every((key) => key in completed === (key in a || key in b)))
  })

  it.prop("has the empty format as its unit, and does not care for grouping", [Format, Format, Format], ([a, b, c]) => {
    assert.deepStrictEqual(VideoFormat.complete({}, a), a)
    assert.deepStrictEqual(VideoFormat.complete(a, {}), a)
    assert.deepStrictEqual(
      VideoFormat.complete(VideoFormat.complete(a, b), c),
      VideoFormat.complete(a, VideoFormat.complete(b, c))
    )
  })
})

describe("VideoFormat.VideoFormat", () => {
  it.prop("comes back from JSON as it was", [Format], ([format]) => {
    const codec = Schema.fromJsonString(Schema.toCodecJson(VideoFormat.VideoFormat))
    assert.deepStrictEqual(Schema.decodeSync(codec)(Schema.encodeSync(codec)(format)), format)
  })
})
