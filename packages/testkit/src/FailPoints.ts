/**
 * Named places in the life of a job at which something can be made to happen: a crash, a delay, an error.
 *
 * ```ts
 * import * as FailPoints from "@helios-infra/testkit/FailPoints"
 * import { JobRepository } from "@helios-infra/core/JobRepository"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * // A process that dies between a chunk's acceptance and its record, however often it is started.
 * const dying = (die: Effect.Effect<void>) =>
 *   Layer.effect(
 *     JobRepository,
 *     Effect.map(JobRepository, (repository) =>
 *       FailPoints.around(repository, (point) => (point === "before append ChunkAccepted" ? die : Effect.void))
 *     )
 *   )
 * ```
 *
 * It decides nothing and keeps nothing: whoever is called back counts, and chooses.
 */
import type { JobEvent } from "@helios-infra/core/JobEvent"
import { JobRepository } from "@helios-infra/core/JobRepository"
import { Workspace } from "@helios-infra/core/Workspace"
import * as Effect from "effect/Effect"

/** What a repository is asked to do that changes something; an append once for every kind of event in it. */
export type RepositoryStep =
  | "create"
  | "openWriter"
  | "closeWriter"
  | "request"
  | "delete"
  | `append ${JobEvent["_tag"]}`

/** What a workspace is asked to do. `stage` is a place for the final file, `publishFinal` gives it its name. */
export type WorkspaceStep = "place" | "stage" | "publish" | "publishFinal" | "remove"

/**
 * A moment: `"before append ChunkAccepted"` is after the chunk's output was found good, and before anybody knows of it;
 * `"after …"` is when it was done and whoever asked for it does not know yet. What failed has no `after`.
 */
export type FailPoint = `${"before" | "after"} ${RepositoryStep | WorkspaceStep}`

/** Every point around a repository, in the order in which a job that is completed comes to them, the rest behind. */
export const repositoryPoints: ReadonlyArray<FailPoint> = (
  [
    "create",
    "openWriter",
    "append RunStarted",
    "append AttemptStarted",
    "append AttemptAssigned",
    "append AttemptEnded",
    "append ChunkAccepted",
    "append Stitched",
    "append RunEnded",
    "closeWriter",
    "append OutputLost",
    "append StopRequested",
    "request",
    "delete"
  ] as const
).flatMap((step) => [`before ${step}`, `after ${step}`] as const)

/** Every point around a workspace. */
export const workspacePoints: ReadonlyArray<FailPoint> = (
  ["stage", "place", "publish", "publishFinal", "remove"] as const
).flatMap((step) => [`before ${step}`, `after ${step}`] as const)

/**
 * A repository that calls back before and after everything that changes something, and waits for what it is given.
 *
 * An append of several events is one: first every `before`, in the events' order and each kind once, then the append,
 * then every `after`. An effect that never ends, or ends the process, keeps all the rest from happening; one that dies
 * makes the step die. Reads pass untouched.
 */
export const around = (
  repository: JobRepository["Service"],
  reached: (point: FailPoint) => Effect.Effect<void>
): JobRepository["Service"] => {
  const at = stepsOf(reached)
  return JobRepository.of({
    ...repository,
    create: (jobId, first) => at(["create"], repository.create(jobId, first)),
    openWriter: Effect.fnUntraced(function* (jobId, options) {
      let open = false
      // Finalizers run in reverse order: what is added first comes after the writer is closed.
      yield* Effect.addFinalizer(() => (open ? reached("after closeWriter") : Effect.void))
      yield* reached("before openWriter")
      const writer = yield* repository.openWriter(jobId, options)
      open = true
      yield* Effect.addFinalizer(() => reached("before closeWriter"))
      yield* reached("after openWriter")
      return {
        ...writer,
        append: (events) => at([...new Set(events.map(({ _tag }) => `append ${_tag}` as const))], writer.append(events))
      }
    }),
    request: (jobId, request) => at(["request"], repository.request(jobId, request)),
    delete: (jobId) => at(["delete"], repository.delete(jobId))
  })
}

/** A workspace that calls back like {@link around} does. */
export const aroundWorkspace = (
  workspace: Workspace["Service"],
  reached: (point: FailPoint) => Effect.Effect<void>
): Workspace["Service"] => {
  const at = stepsOf(reached)
  return Workspace.of({
    ...workspace,
    place: (attempt) => at(["place"], workspace.place(attempt)),
    publish: (output, outputFile) => at(["publish"], workspace.publish(output, outputFile)),
    stage: (jobId, outputFile) =>
      Effect.map(at(["stage"], workspace.stage(jobId, outputFile)), (staged) => ({
        ...staged,
        publish: at(["publishFinal"], staged.publish)
      })),
    remove: (jobId, keep) => at(["remove"], workspace.remove(jobId, keep))
  })
}

const stepsOf =
  (reached: (point: FailPoint) => Effect.Effect<void>) =>
  <A, E, R>(steps: ReadonlyArray<RepositoryStep | WorkspaceStep>, effect: Effect.Effect<A, E, R>) =>
    Effect.forEach(steps, (step) => reached(`before ${step}`), { discard: true }).pipe(
      Effect.andThen(effect),
      Effect.tap(() => Effect.forEach(steps, (step) => reached(`after ${step}`), { discard: true }))
    )
