/**
 * From a command line in a job file to the arguments of a program.
 *
 * Splits by POSIX quoting rules and nothing else: there is no shell, so no variables, globs, pipes or redirections;
 * `$HOME`, `*.mov` and `|` are passed on as they stand.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { split } from "shlex"

/** A program and its arguments. */
export type Args = readonly [program: string, ...args: ReadonlyArray<string>]

/** The command line cannot be split into a program and its arguments. */
export class CommandLineError extends Schema.TaggedError<CommandLineError>()("CommandLineError", {
  command: Schema.String,
  reason: Schema.Literals(["Empty", "UnclosedQuote", "TrailingBackslash", "NullCharacter"])
}) {
  override get message(): string {
    switch (this.reason) {
      case "Empty":
        return `the command ${quoted(this.command)} names no program`
      case "UnclosedQuote":
        return `a quote is not closed in the command ${quoted(this.command)}: close it, or write \\" or \\' for the character itself`
      case "TrailingBackslash":
        return `the command ${quoted(this.command)} ends in a backslash: write \\\\ for the character itself`
      case "NullCharacter":
        return `the command ${quoted(this.command)} holds a NUL character, which no program can be given`
    }
  }
}

/**
 * Splits a command line.
 *
 * ```ts
 * import * as CommandLine from "@helios-infra/process/CommandLine"
 *
 * CommandLine.parse(`ffmpeg -vf 'drawtext=text=a\\:b' "my file.mov"`)
 * // => Result.succeed(["ffmpeg", "-vf", "drawtext=text=a\\:b", "my file.mov"])
 * ```
 */
export const parse = (command: string): Result.Result<Args, CommandLineError> => {
  const fail = (reason: CommandLineError["reason"]) => Result.fail(new CommandLineError({ command, reason }))
  if (command.includes("\0")) return fail("NullCharacter")
  const tokens = Result.try(() => split(command))
  // shlex has two errors, told apart by their text only.
  if (Result.isFailure(tokens)) {
    return fail(String(tokens.failure).includes("escape") ? "TrailingBackslash" : "UnclosedQuote")
  }
  const [program, ...args] = tokens.success
  return program === undefined || program === "" ? fail("Empty") : Result.succeed([program, ...args])
}

/**
 * Puts an attempt's place into its command: in the arguments that are equal to `outputFile` or end in `=<outputFile>`,
 * and wherever one holds `{output}`. The program's own name is left alone.
 *
 * `replaced` is false when the command does not say where its output goes, and so writes to a place of its own.
 */
export const withOutput = (
  args: Args,
  output: { readonly outputFile?: string | undefined; readonly place: string }
): { readonly args: Args; readonly replaced: boolean } => {
  const { outputFile, place } = output
  const [program, ...rest] = args
  const named = outputFile !== undefined && outputFile !== ""
  const put = (token: string): string | undefined => {
    if (named && token === outputFile) return place
    if (named && token.endsWith(`=${outputFile}`)) return token.slice(0, -outputFile.length) + place
    // Not `replaceAll`, for which `$&` in a place would be a pattern.
    return token.includes("{output}") ? token.split("{output}").join(place) : undefined
  }
  const placed = rest.map(put)
  return {
    args: [program, ...rest.map((token, index) => placed[index] ?? token)],
    replaced: placed.some((token) => token !== undefined)
  }
}

const quoted = (command: string): string =>
  JSON.stringify(command.length > 200 ? `${command.slice(0, 200)}...` : command)
