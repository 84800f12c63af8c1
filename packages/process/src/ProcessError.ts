/**
 * Why a command did not run to an end of its own. A command that ran and exited with a code, or was killed by somebody
 * else, is no error here: {@link "Command".run} gives that as its result.
 */
import * as Schema from "effect/Schema"

/** No program of that name: neither a file, nor in one of the `searched` folders (the command's own `PATH`). */
export class ProgramNotFound extends Schema.TaggedError<ProgramNotFound>()("ProgramNotFound", {
  program: Schema.String,
  searched: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return this.searched.length === 0
      ? `there is no program ${this.program}: check the path, and that the interpreter in its first line is installed`
      : `there is no program ${this.program} in ${this.searched.join(":")}: install it, add its folder to PATH, or give its full path`
  }
}

/** The folder to run in is not there, or is not a folder. */
export class FolderNotFound extends Schema.TaggedError<FolderNotFound>()("FolderNotFound", { folder: Schema.String }) {
  override get message(): string {
    return `there is no folder ${this.folder} to run it in`
  }
}

/** The program is there, but may not be executed, or is no program. */
export class NotExecutable extends Schema.TaggedError<NotExecutable>()("NotExecutable", {
  program: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `${this.program} cannot be executed (${this.code}): check that it is a program for this machine, and its permissions (chmod +x)`
  }
}

/** The arguments and the environment together are more than the system takes. */
export class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", { bytes: Schema.Int }) {
  override get message(): string {
    return `the arguments and the environment are too long for the system (${this.bytes} bytes): pass long ones in a file`
  }
}

/** An argument or a variable that no program can be given: it holds a NUL character. */
export class InvalidArgument extends Schema.TaggedError<InvalidArgument>()("InvalidArgument", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The system could not start a process just now: out of processes, memory or files. */
export class SpawnFailed extends Schema.TaggedError<SpawnFailed>()("SpawnFailed", {
  code: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `the system could not start it (${this.code})`
  }
}

/** It ran for longer than it was allowed to, and was ended. */
export class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", {
  afterMs: Schema.Finite,
  stdout: Schema.String,
  stderr: Schema.String
}) {
  override get message(): string {
    return `ended after ${this.afterMs} ms, its time limit${this.stderr === "" ? "" : `:\n${this.stderr.trimEnd()}`}`
  }
}

/** Every reason for which a command can fail to run. */
export const ProcessReason = Schema.Union([
  ProgramNotFound,
  FolderNotFound,
  NotExecutable,
  TooLarge,
  InvalidArgument,
  SpawnFailed,
  TimedOut
])

/** The type of {@link ProcessReason}. */
export type ProcessReason = typeof ProcessReason.Type

/** `program` could not be run, or not to its end, for `reason`. */
export class ProcessError extends Schema.TaggedError<ProcessError>()("ProcessError", {
  program: Schema.String,
  reason: ProcessReason
}) {
  override get message(): string {
    return `${this.program}: ${this.reason.message}`
  }
}
