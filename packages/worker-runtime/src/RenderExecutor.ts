/**
 * Runs a chunk's command on this machine, and says yes only to an output that was checked.
 *
 * Commands run in the workspace's folder unless they are given another one, and write to a place of their own; a checked
 * output is then put under the name that the job file gives it. Where jobs come from and where outputs go is not its
 * business: `WorkerRuntime` is around it.
 */
import * as LocalFiles from "@helios-infra/adapter-local/LocalFiles"
import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import * as JobSpec from "@helios-infra/core/JobSpec"
import * as OutputCheck from "@helios-infra/core/OutputCheck"
import * as TraceContext from "@helios-infra/core/TraceContext"
import * as VideoFormat from "@helios-infra/core/VideoFormat"
import type { WorkerJob, WorkerResult, WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
import { Refused, WorkerError, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import { Workspace, type WorkspaceError } from "@helios-infra/core/Workspace"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as path from "node:path"

/** How commands run. */
export interface Options {
  /**
   * The environment variables that pass from the worker to commands; a trailing `*` stands for any ending. Default:
   * `Environment.defaultAllowed` of `@helios-infra/process`, which has no credentials in it.
   */
  readonly allowedEnvironment?: ReadonlyArray<string> | undefined
  /** Variables that every command gets beside those. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** How long a command has between TERM and KILL. Default: 5 seconds. */
  readonly killGrace?: Duration.Input | undefined
  /** How much of the end of each output an attempt keeps, in bytes: at most 65536. Default: 4096. */
  readonly tailBytes?: number | undefined
}

/** Which attempt it is, and what is particular to it. */
export interface AttemptOptions {
  /** Default: the job file's id, else `"job"`. */
  readonly jobId?: string | undefined
  /** Counted from 1. Default: 1. */
  readonly run?: number | undefined
  /** Counted from 1. Default: 1. */
  readonly attempt?: number | undefined
  /** Variables for the command. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Told what the attempt does while it runs. */
  readonly onSignal?: ((signal: WorkerSignal) => void) | undefined
}

/** One attempt at a chunk. */
export interface ChunkOptions extends AttemptOptions {
  /** What the picture and sound must be, beside what the job file says. */
  readonly format?: VideoFormat.VideoFormat | undefined
  /** What the marker of the command's processes begins with, for `Strays` to find them by. Default: the job, the chunk … */
  readonly marker?: string | undefined
  /** The folder that the command runs in. Default: the workspace's. */
  readonly cwd?: string | undefined
  /** An absolute path at which the output is to stay. Default: it gets its name from the job file, in the workspace. */
  readonly place?: string | undefined
}

/** One attempt at the merge command. */
export interface MergeOptions extends AttemptOptions {
  /**
   * The final file, from the workspace's folder, where the merge command names it: it then appears whole or not at all.
   * Default: the command writes where it likes, and what it wrote is not looked at.
   */
  readonly outputFile?: string | undefined
}

/** Runs the commands of job files. */
export class RenderExecutor extends Context.Service<
  RenderExecutor,
  {
    /** Renders a chunk, and checks what it wrote. */
    readonly executeChunk: (
      spec: JobSpec.JobSpec,
      chunkId: number,
      options?: ChunkOptions
    ) => Effect.Effect<WorkerResult, WorkerError>
    /** Runs the job file's merge command, with the chunks' outputs under their names in the workspace's folder. */
    readonly executeMerge: (spec: JobSpec.JobSpec, options?: MergeOptions) => Effect.Effect<WorkerResult, WorkerError>
  }
>()("@helios-infra/worker-runtime/RenderExecutor") {}

const name = "worker"

/** So that an answer stays far below what platforms let through. */
const mostTailBytes = 65_536

/** An executor in a workspace of this machine. */
export const make = (
  options: Options = {}
): Effect.Effect<RenderExecutor["Service"], never, OutputCheck.OutputCheck | Workspace> =>
  Effect.gen(function* () {
    const { tailBytes = 4096 } = options
    const outputCheck = yield* OutputCheck.OutputCheck
    const workspace = yield* Workspace
    const adapter = yield* LocalWorkerAdapter.make({
      allowedEnvironment: options.allowedEnvironment,
      env: options.env,
      killGrace: options.killGrace,
      tailBytes: Math.min(tailBytes, mostTailBytes)
    })

    /** What a command wrote, once it is checked. What is not good is removed. */
    const check = (job: WorkerJob, result: WorkerResult) => {
      const { output } = job.meta
      const discard = output._tag === "File" ? LocalFiles.discard(output.path) : Effect.void
      return Effect.onError(outputCheck.check(job, result), () => discard)
    }

    const executeChunk = Effect.fn("RenderExecutor.executeChunk")(function* (
      spec: JobSpec.JobSpec,
      chunkId: number,
      options: ChunkOptions = {}
    ): Effect.fn.Return<WorkerResult, WorkerError, Scope.Scope> {
      const { cwd = workspace.root, env, format = {}, marker } = options
      const { attempt = 1, jobId = defaultJobId(spec), run = 1 } = options
      const fail = (reason: WorkerReason) =>
        Effect.fail(new WorkerError({ adapter: name, jobId, chunkId, attempt, reason }))
      const chunk = spec.chunks.find(({ id }) => id === chunkId)
      if (chunk === undefined) return yield* fail(refused(`the job has no chunk ${chunkId}`))

      const { command, frameCount, outputFile, startFrame } = chunk
      // A job of its own, so that what others render in this workspace stays when it is removed.
      const own = { jobId: `worker-${randomUUID()}`, run, chunkId, attempt, outputFile }
      const place = options.place ?? (yield* Effect.catch(ownPlace(workspace, own), (error) => fail(reasonOf(error))))
      const job: WorkerJob = {
        id: `${marker === undefined ? "" : `${marker}/`}${jobId}/${chunkId}/${run}.${attempt}`,
        command,
        cwd,
        outputFile,
        ...(env === undefined ? undefined : { env }),
        meta: {
          _tag: "Chunk",
          jobId,
          run,
          attempt,
          chunkId,
          startFrame,
          frameCount,
          format: VideoFormat.complete(JobSpec.format(spec), format),
          output: { _tag: "File", path: place },
          ...(yield* TraceContext.current)
        }
      }
      const result = yield* adapter.execute(job, options.onSignal ?? unheard)
      const output = yield* check(job, result)
      if (options.place !== undefined) return { ...result, output }
      yield* Effect.catch(workspace.publish(output, outputFile), (error) => fail(reasonOf(error)))
      return { ...result, output: { ...output, location: path.join(workspace.root, outputFile) } }
    }, Effect.scoped)

    const executeMerge = Effect.fn("RenderExecutor.executeMerge")(function* (
      spec: JobSpec.JobSpec,
      options: MergeOptions = {}
    ): Effect.fn.Return<WorkerResult, WorkerError, Scope.Scope> {
      const { attempt = 1, env, jobId = defaultJobId(spec), outputFile, run = 1 } = options
      const { mergeCommand: command } = spec
      const fail = (reason: WorkerReason) => Effect.fail(new WorkerError({ adapter: name, jobId, attempt, reason }))
      if (command === undefined) return yield* fail(refused("the job file has no mergeCommand"))

      const staged =
        outputFile !== undefined && WorkerAdapter.namesOutput(command, outputFile)
          ? yield* Effect.catch(workspace.stage(jobId, outputFile), (error) => fail(reasonOf(error)))
          : undefined
      const job: WorkerJob = {
        id: `${jobId}/merge/${run}.${attempt}`,
        command,
        cwd: workspace.root,
        ...(staged === undefined || outputFile === undefined ? undefined : { outputFile }),
        ...(env === undefined ? undefined : { env }),
        meta: {
          _tag: "Merge",
          jobId,
          run,
          attempt,
          output: { _tag: "File", path: staged?.path ?? workspace.root },
          ...(yield* TraceContext.current)
        }
      }
      const result = yield* adapter.execute(job, options.onSignal ?? unheard)
      if (staged === undefined) return result
      const output = yield* check(job, result)
      yield* Effect.catch(staged.publish, (error) => fail(reasonOf(error)))
      return { ...result, output: { ...output, location: staged.finalPath } }
    }, Effect.scoped)

    return RenderExecutor.of({ executeChunk, executeMerge })
  })

/** What {@link layer} needs beside that. */
export interface LayerOptions<E = never> extends Options {
  /** The folder that everything happens in. It must exist. */
  readonly workspaceDir: string
  /** Whether an output is any good. Default: `OutputCheck.layerPresence`, which asks for a file that is not empty. */
  readonly outputCheck?: Layer.Layer<OutputCheck.OutputCheck, E, Workspace> | undefined
}

/** {@link make} as a layer, in a folder. */
export const layer = <E = never>(options: LayerOptions<E>): Layer.Layer<RenderExecutor, WorkspaceError | E> =>
  Layer.effect(RenderExecutor, make(options)).pipe(
    Layer.provide(options.outputCheck ?? OutputCheck.layerPresence),
    Layer.provide(LocalWorkspace.layer({ dir: options.workspaceDir }))
  )

const defaultJobId = (spec: JobSpec.JobSpec): string => spec.id ?? "job"

const unheard = (): void => {}

/** A place that is removed when the scope closes. */
const ownPlace = (workspace: Workspace["Service"], attempt: Parameters<Workspace["Service"]["place"]>[0]) =>
  Effect.acquireRelease(workspace.place(attempt), () => Effect.ignore(workspace.remove(attempt.jobId, [])))

const refused = (fix: string): Refused => new Refused({ why: "InvalidJob", fix })

const reasonOf = (error: WorkspaceError): WorkerReason =>
  error.reason === "Outside" ? refused(error.message) : new WorkerLost({ detail: error.message })
