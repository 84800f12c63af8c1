import * as CommandLine from "@helios-infra/process/CommandLine"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"

const parsed = (command: string) => Result.getOrThrow(CommandLine.parse(command))
const reason = (command: string) => {
  const result = CommandLine.parse(command)
  assert(Result.isFailure(result), `${command} was parsed`)
  return result.failure.reason
}

describe("CommandLine.parse", () => {
  it.each<[string, string, ReadonlyArray<string>]>([
    ["words", "ffmpeg -y  -i\tin.mov\n out.mov", ["ffmpeg", "-y", "-i", "in.mov", "out.mov"]],
    ["quotes", `a 'b c' "d e" f' 'g`, ["a", "b c", "d e", "f g"]],
    ["an empty argument", `a '' ""`, ["a", "", ""]],
    ["backslashes inside single quotes", String.raw`a 'text=12\:30\n'`, ["a", String.raw`text=12\:30\n`]],
    ["a filter's escapes inside double quotes", String.raw`a "drawtext=x\:y"`, ["a", String.raw`drawtext=x\:y`]],
    ["escaped quotes", String.raw`a "say \"hi\"" it\'s`, ["a", `say "hi"`, "it's"]],
    ["an escaped space", String.raw`a my\ file.mov`, ["a", "my file.mov"]],
    [
      "what only a shell would read",
      "a $HOME *.mov ~ 0:v? ?x=1&y=2 | ; > #b `c` !d",
      ["a", "$HOME", "*.mov", "~", "0:v?", "?x=1&y=2", "|", ";", ">", "#b", "`c`", "!d"]
    ],
    ["other scripts", "render 'ビデオ 1.mov' 🎬", ["render", "ビデオ 1.mov", "🎬"]],
    ["a newline inside quotes", "a 'b\nc'", ["a", "b\nc"]]
  ])("keeps %s", (_, command, args) => {
    assert.deepStrictEqual<ReadonlyArray<string>>(parsed(command), args)
  })

  it("says what is wrong with a command that cannot be split", () => {
    assert.strictEqual(reason(""), "Empty")
    assert.strictEqual(reason(" \t\n"), "Empty")
    assert.strictEqual(reason("'' -y"), "Empty")
    assert.strictEqual(reason("a 'b"), "UnclosedQuote")
    assert.strictEqual(reason(`a "b\\"`), "UnclosedQuote")
    assert.strictEqual(reason("it's"), "UnclosedQuote")
    assert.strictEqual(reason("a b\\"), "TrailingBackslash")
    assert.strictEqual(reason("a 'b\0c'"), "NullCharacter")
  })

  it("names the command in its message, shortened", () => {
    const result = CommandLine.parse(`x ${"y".repeat(1000)} 'z`)
    assert(Result.isFailure(result))
    assert.include(result.failure.message, `"x yyy`)
    assert.isBelow(result.failure.message.length, 400)
  })
})

describe("CommandLine.withOutput", () => {
  const put = (args: CommandLine.Args, outputFile: string | undefined, place: string) =>
    CommandLine.withOutput(args, { outputFile, place })

  it("puts the place where the output is named", () => {
    assert.deepStrictEqual(put(["helios", "-o", "part.mov", "--out=part.mov", "{output}"], "part.mov", "/p/1.mov"), {
      args: ["helios", "-o", "/p/1.mov", "--out=/p/1.mov", "/p/1.mov"],
      replaced: true
    })
  })

  it("puts it wherever {output} stands, also inside an argument", () => {
    assert.deepStrictEqual<ReadonlyArray<string>>(
      put(["sh", "-c", `cp a "{output}" && stat "{output}"`], undefined, "/p").args,
      ["sh", "-c", `cp a "/p" && stat "/p"`]
    )
  })

  it("leaves alone what only looks like the output", () => {
    const args: CommandLine.Args = ["part.mov", "-o", "my-part.mov", "part.mov.log", "./part.mov", "dir/part.mov"]
    assert.deepStrictEqual(put(args, "part.mov", "/p"), { args, replaced: false })
  })

  it("never takes an empty argument for the output", () => {
    const args: CommandLine.Args = ["a", "", "b="]
    assert.deepStrictEqual(put(args, "", "/p"), { args, replaced: false })
  })

  it("works with every legal name, on both sides", () => {
    for (const name of ["-part.mov", "a=b.mov", "a b'\"\n.mov", "$&.mov", "ビデオ.mov", "{x}.mov", "=.mov"]) {
      for (const place of ["/w/$&/$1.mov", "/w/{output}/x.mov", "/w/a\nb'\".mov", "-p.mov"]) {
        assert.deepStrictEqual(put(["r", name, `--to=${name}`, "x"], name, place), {
          args: ["r", place, `--to=${place}`, "x"],
          replaced: true
        })
      }
    }
  })

  it("says that it was replaced even when the place is the name", () => {
    assert.isTrue(put(["r", "--to=part.mov"], "part.mov", "part.mov").replaced)
  })
})
