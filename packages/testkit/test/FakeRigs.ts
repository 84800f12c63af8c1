/**
 * How the contracts are shown what the fakes do.
 */
import { type WorkerAdapter, WorkerError } from "@helios-infra/core"
import { FakeFiles, FakeWorkerAdapter, VideoRig, WorkerAdapterContract, WorkspaceContract } from "@helios-infra/testkit"
import { Effect, Layer, Option, Schema } from "effect"

/** Commands for fake workers: steps as JSON. */
const Command = Schema.fromJsonString(
  Schema.Struct({
    bytes: Schema.optionalKey(Schema.Int),
    afterMs: Schema.optionalKey(Schema.Int),
    fail: Schema.optionalKey(Schema.Tuple([Schema.Int, Schema.String])),
    print: Schema.optionalKey(Schema.Tuple([Schema.Int, Schema.String])),
    env: Schema.optionalKey(Schema.String),
    hang: Schema.optionalKey(Schema.Boolean),
    frames: Schema.optionalKey(Schema.Array(Schema.Int)),
    impossible: Schema.optionalKey(Schema.Boolean)
  })
)
const command = Schema.encodeSync(Command)
const read = Schema.decodeSync(Command)

const script: FakeWorkerAdapter.Script = ({ job }) => {
  const { afterMs, bytes, env, fail, frames, hang, impossible, print } = read(job.command)
  const text = print === undefined ? "" : "x".repeat(print[0]) + print[1]
  return {
    ...(hang === true ? { takes: "Infinity" as const } : {}),
    ...(afterMs === undefined ? {} : { takes: afterMs }),
    ...(frames === undefined
      ? {}
      : {
          signals: frames
            .map((done) => ({ _tag: "Frames" as const, done: Math.min(done, 10) }))
            .toSorted((a, b) => a.done - b.done)
        }),
    ...(fail === undefined ? {} : { fails: new WorkerError.RenderFailed({ exitCode: fail[0], stderrTail: fail[1] }) }),
    ...(impossible === true ? { fails: new WorkerError.Refused({ why: "NotFound", fix: "install it" }) } : {}),
    output: bytes === undefined ? "nothing" : { bytes, frames: [], picture: "" },
    stdout: env === undefined ? text : (job.env?.[env] ?? ""),
    stderr: text
  }
}

const workerRig = Layer.effect(
  WorkerAdapterContract.WorkerRig,
  Effect.gen(function* () {
    const files = yield* FakeFiles.FakeFiles
    const workers = yield* FakeWorkerAdapter.FakeWorkers
    const pathOf = (target: WorkerAdapter.OutputTarget) => (target._tag === "File" ? target.path : target.key)
    return {
      commands: {
        write: (bytes) => command({ bytes }),
        idle: command({}),
        fail: (exitCode, text) => command({ fail: [exitCode, text] }),
        print: (bytes, last) => command({ print: [bytes, last] }),
        late: (bytes, afterMs) => command({ bytes, afterMs }),
        hang: command({ hang: true, bytes: 5 }),
        env: (name) => command({ env: name }),
        frames: (done) => command({ frames: done }),
        impossible: command({ impossible: true })
      },
      place: (name) => Effect.succeed({ _tag: "File", path: `/places/${name}.mov` }),
      size: (target) =>
        Effect.sync(() => Option.map(Option.fromUndefinedOr(files.get(pathOf(target))), ({ bytes }) => bytes)),
      running: Effect.sync(workers.running),
      files: Effect.sync(() => [...files.keys()])
    }
  })
)

/** Fake workers that take their commands from the contract. */
export const workers = (info: Partial<WorkerAdapter.WorkerAdapterInfo> = {}) =>
  workerRig.pipe(Layer.provideMerge(FakeWorkerAdapter.layer({ script, info })), Layer.provideMerge(FakeFiles.layer))

/** Videos in memory. */
export const videos: Layer.Layer<VideoRig.VideoRig, never, FakeFiles.FakeFiles> = Layer.effect(
  VideoRig.VideoRig,
  Effect.map(FakeFiles.FakeFiles, (files) => {
    const of = (location: string) => files.get(location) ?? FakeFiles.join([])
    return {
      chunk: (name, startFrame, frameCount) =>
        Effect.sync(() => {
          const location = `/job/${name}.mov`
          files.set(location, FakeFiles.video(startFrame, frameCount))
          return location
        }),
      damage: (location, how) =>
        Effect.sync(() => {
          const file = of(location)
          switch (how) {
            case "missing":
              return files.delete(location)
            case "empty":
              return files.set(location, { ...file, bytes: 0 }).size > 0
            case "truncated":
              return files.set(location, { ...file, bytes: file.bytes - 1 }).size > 0
            case "short":
              return files.set(location, FakeFiles.join(file.frames.slice(0, -1))).size > 0
            case "odd":
              return files.set(location, { ...file, picture: "32x64" }).size > 0
          }
        }),
      output: (name) => `/job/${name}.mp4`,
      frames: (location) => Effect.sync(() => of(location).frames),
      size: (location) =>
        Effect.sync(() => Option.map(Option.fromUndefinedOr(files.get(location)), ({ bytes }) => bytes)),
      files: Effect.sync(() => [...files.keys()].toSorted())
    }
  })
)

/** Files of a workspace in memory. */
export const folder: Layer.Layer<WorkspaceContract.WorkspaceRig, never, FakeFiles.FakeFiles> = Layer.effect(
  WorkspaceContract.WorkspaceRig,
  Effect.map(FakeFiles.FakeFiles, (files) => ({
    write: (path, bytes) => Effect.sync(() => void files.set(path, { bytes, frames: [], picture: "" })),
    size: (path) => Effect.sync(() => Option.map(Option.fromUndefinedOr(files.get(path)), ({ bytes }) => bytes)),
    resolve: (name) => `/job/${name}`,
    files: Effect.sync(() => [...files.keys()].filter((path) => path.startsWith("/job/")))
  }))
)
