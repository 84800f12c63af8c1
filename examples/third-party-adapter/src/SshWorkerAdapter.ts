/**
 * Renders chunks on another machine, over SSH: runs their commands in a folder there, and brings the outputs back.
 *
 * OpenSSH does the talking, as the user's configuration says. The files that the commands read are not sent: they are in
 * that folder already.
 */
import { Plugin, WorkerAdapter, WorkerError } from "@helios-infra/core"
import { Command, CommandLine, Environment } from "@helios-infra/process"
import { Duration, Effect, Layer, Schema } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as remote from "./remote.ts"

export const Config = Schema.Struct({
  /** Where to: `user@host`, or a name from the SSH configuration. Its key must be in the known hosts. */
  host: Schema.String.check(Schema.isPattern(/^[^-\s:/][^\s:/]*$/)),
  /** The folder on that machine in which commands run, absolute. */
  folder: Schema.NonEmptyString,
  /** An SSH configuration in place of the user's own. */
  configFile: Schema.optionalKey(Schema.NonEmptyString),
  /** How many attempts that machine takes at once. Default: 2. */
  concurrency: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /** How long a command there has between TERM and KILL. Default: 5 seconds. */
  killGrace: Schema.optionalKey(Plugin.Duration)
})

const name = "ssh"
const connectTimeout = 10
// Nobody is there to answer a question; an unknown host is refused.
const safety = `BatchMode=yes StrictHostKeyChecking=yes ForwardAgent=no ClearAllForwardings=yes ControlPath=none`
const liveness = `ConnectTimeout=${connectTimeout} ServerAliveInterval=10 ServerAliveCountMax=3`
const settings = `${safety} ${liveness}`.split(" ").flatMap((setting) => ["-o", setting])

export const make = Effect.fnUntraced(function* (config: typeof Config.Type) {
  const { concurrency = 2, configFile, folder, host, killGrace = Duration.seconds(5) } = config
  const grace = Math.ceil(Duration.toSeconds(killGrace) * 10)
  const limit = Duration.sum(killGrace, Duration.seconds(connectTimeout + 10))
  const env = Environment.pick(yield* Environment.ParentEnvironment, [...Environment.defaultAllowed, "SSH_AUTH_SOCK"])
  const options = [...(configFile === undefined ? [] : ["-F", configFile]), ...settings]
  const run = (args: CommandLine.Args, more?: Partial<Command.Options>) =>
    Command.run({ args, cwd: ".", env, killGrace: limit, ...more })
  const shell = (input: string, more?: Partial<Command.Options>) =>
    run(["ssh", "-T", ...options, "--", host, remote.bootstrap], { input, ...more })

  /** Gives those that could not be ended, or not be asked about. */
  const clean = (markers: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>> =>
    Effect.match(shell(remote.call(["clean", `${grace}`, ...markers]), { timeout: limit }), {
      onSuccess: ({ exitCode, stdout }) => (exitCode === 0 ? stdout.split("\n").filter(isMarker) : markers),
      onFailure: () => markers
    })

  const execute = Effect.fn("SshWorkerAdapter.execute")(function* (
    job: WorkerAdapter.WorkerJob,
    signal: (signal: WorkerAdapter.WorkerSignal) => void
  ) {
    const marker = `helios-ssh-${randomUUID()}`
    /** Whether there may be something of it on the other machine. */
    let left = false
    const fail = (reason: WorkerError.WorkerReason) => WorkerAdapter.failure(name, job, reason, host)
    if (job.meta._tag === "Merge" || job.meta.output._tag !== "File") {
      return yield* fail(refused("Unsupported", "over SSH only chunks are rendered, into files: merge elsewhere"))
    }
    const place = job.meta.output.path
    const output = `/tmp/${marker}/output${/\.\w+$/.exec(place)?.[0] ?? ""}`
    const remove = Effect.promise(() => fs.rm(place, { force: true }))

    const onLine = (stream: "stdout" | "stderr", text: string) => {
      if (left || text !== marker) return signal({ _tag: "Line", stream, text })
      left = true
      signal({ _tag: "Assigned", workerId: host, handle: marker })
    }
    const attempt = Effect.gen(function* () {
      const parsed = yield* Effect.fromResult(CommandLine.parse(job.command))
      const { args } = CommandLine.withOutput(parsed, { outputFile: job.outputFile, place: output })
      const ended = yield* shell(remote.call(["run", marker, `${grace}`, folder, output, ...args], job.env), { onLine })
      const stderr = ended.stderr.replace(`${marker}\n`, "")
      const failure = reasonOf(host, left, { ...ended, stderr })
      left &&= failure?._tag !== "RenderFailed"
      if (failure !== undefined) return yield* fail(failure)
      const copied = yield* run(["scp", "-q", ...options, "--", `${host}:${output}`, place])
      if (copied.exitCode !== 0) return yield* fail(new WorkerError.Transport({ cause: new Error(copied.stderr) }))
      const { size } = yield* Effect.promise(() => fs.stat(place))
      if (size === 0) yield* remove
      const written = size === 0 ? {} : { output: { location: place, bytes: size } }
      return { ...written, exitCode: 0, stdout: ended.stdout, stderr, durationMs: ended.durationMs, workerId: host }
    })
    const leave = Effect.gen(function* () {
      if (!left || (yield* clean([marker])).length === 0) return
      signal({ _tag: "NotStopped", detail: `${marker} may still run on ${host}` })
    })
    return yield* attempt.pipe(
      Effect.catchTags({
        CommandLineError: ({ message }) => fail(refused("InvalidJob", message)),
        ProcessError: ({ message, reason }) =>
          fail(reason._tag === "ProgramNotFound" ? refused("NotFound", message) : lost(message))
      }),
      Effect.ensuring(leave),
      Effect.onError(() => remove)
    )
  })

  return WorkerAdapter.make({
    info: { name, where: "local", stop: "best-effort", concurrency, maxConcurrency: concurrency },
    execute,
    reap: (_, handles) => {
      const markers = [...new Set(handles)].filter(isMarker)
      return Effect.map(markers.length === 0 ? Effect.succeed([]) : clean(markers), (leftover) => ({ leftover }))
    }
  })
})

/** `{ "type": "ssh", "host": "render@farm-7", "folder": "/srv/film" }` */
export const worker: Plugin.Plugin<"worker", typeof Config> = Plugin.definePlugin({
  kind: "worker",
  type: name,
  apiVersion: 1,
  config: Config,
  layer: (config) => Layer.effect(WorkerAdapter.WorkerAdapter, make(config))
})

/** Handles of other adapters are none of our business. */
const isMarker = (handle: string): boolean => /^helios-ssh-[\da-f-]{36}$/.test(handle)

const refused = (why: WorkerError.Refused["why"], fix: string) => new WorkerError.Refused({ why, fix })
const lost = (detail: string) => new WorkerError.WorkerLost({ detail })

/** Why it failed, if it did. ssh has one exit code for all errors of its own, 255: only its words tell them apart. */
const reasonOf = (host: string, begun: boolean, ended: Command.Ended): WorkerError.WorkerReason | undefined => {
  const { exitCode, stderr, stdout } = ended
  const said = `${host}: ${stderr.trimEnd()}`
  if (exitCode === null || (begun && exitCode === 255)) return lost(said)
  if (begun && exitCode === 0) return undefined
  if (begun) return new WorkerError.RenderFailed({ exitCode, stderrTail: stderr === "" ? stdout : stderr })
  if (exitCode !== 255) return refused(exitCode === 127 ? "NotFound" : "Unsupported", `what is missing on ${said}`)
  if (/Host key verification failed|Permission denied/.test(said)) {
    return refused("Unauthorized", `that machine and this one must know each other's keys: ${said}`)
  }
  // More are waiting to log in than the server lets (MaxStartups).
  if (/^kex_exchange_identification/m.test(stderr)) return new WorkerError.Throttled({})
  return new WorkerError.Transport({ cause: new Error(said) })
}
