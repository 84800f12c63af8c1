/**
 * What every `Workspace` promises: places that no two attempts share, final files that appear whole or not at all, and
 * nothing outside of the job's folder.
 */
import type { OutputRef } from "@helios-infra/core/WorkerAdapter"
import { Workspace, type WorkspaceError } from "@helios-infra/core/Workspace"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Contract from "./Contract.ts"
import { failureOf, holds, same } from "./internal/check.ts"

/** Files as tools see them, which know nothing of the workspace. */
export class WorkspaceRig extends Context.Service<
  WorkspaceRig,
  {
    /** Writes a file of so many bytes to an absolute path. */
    readonly write: (path: string, bytes: number) => Effect.Effect<void>
    /** The size of a file. */
    readonly size: (path: string) => Effect.Effect<Option.Option<number>>
    /** The absolute path of a name in the job's folder. */
    readonly resolve: (name: string) => string
  }
>()("@helios-infra/testkit/WorkspaceContract/WorkspaceRig") {}

const attempt = { jobId: "job", run: 1, chunkId: 0, attempt: 1, outputFile: "part_0.mov" }

const ref = (location: string, bytes = 0): OutputRef => ({ location, bytes })

const fails = <A, R>(what: string, reason: WorkspaceError["reason"], effect: Effect.Effect<A, WorkspaceError, R>) =>
  failureOf(what, effect).pipe(
    Effect.flatMap((error) => same(`the reason for which ${what} fails`, error.reason, reason))
  )

/** The contract of a workspace; its layer brings the rig along. */
export const make = <E>(layer: Layer.Layer<Workspace | WorkspaceRig, E>): Contract.Contract => {
  const promise = <A, E2 extends Error>(
    body: (workspace: Workspace["Service"], rig: WorkspaceRig["Service"]) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2, Workspace | WorkspaceRig | Scope.Scope> =>
    Effect.gen(function* () {
      yield* body(yield* Workspace, yield* WorkspaceRig)
    })

  return Contract.make({
    of: "Workspace",
    layer,
    promises: {
      "no place is given twice, not even for the same attempt": promise((workspace) =>
        Effect.gen(function* () {
          const places = yield* Effect.all(
            Array.from({ length: 50 }, (_, index) => workspace.place({ ...attempt, chunkId: index % 2 })),
            { concurrency: "unbounded" }
          )
          yield* same("how many different places", new Set(places).size, 50)
        })
      ),

      "a place can be written to, and keeps the extension": promise((workspace, rig) =>
        Effect.gen(function* () {
          for (const jobId of ["job", "../../outside", "a/b", "日本"]) {
            const place = yield* workspace.place({ ...attempt, jobId })
            yield* holds("its extension should be .mov", place.endsWith(".mov"), place)
            yield* rig.write(place, 7)
            yield* same("what stat says", yield* workspace.stat(ref(place)), Option.some({ bytes: 7 }))
            yield* same("its local path", yield* workspace.locate(ref(place)), place)
          }
        })
      ),

      "an output that is not there is none to stat, and NotFound to locate and publish": promise((workspace) =>
        Effect.gen(function* () {
          const place = yield* workspace.place(attempt)
          yield* same("what stat says", yield* workspace.stat(ref(place)), Option.none())
          yield* fails("locate", "NotFound", workspace.locate(ref(place)))
          yield* fails("publish", "NotFound", workspace.publish(ref(place), "part_0.mov"))
        })
      ),

      "a published output is there under its name, in place of an older one, and stays where it was": promise(
        (workspace, rig) =>
          Effect.gen(function* () {
            const place = yield* workspace.place(attempt)
            yield* rig.write(place, 7)
            yield* rig.write(rig.resolve("part_0.mov"), 3)
            for (const name of ["part_0.mov", "sub/folder/part_0.mov"]) {
              yield* workspace.publish(ref(place), name)
              yield* same(`the size of ${name}`, yield* rig.size(rig.resolve(name)), Option.some(7))
            }
            yield* same("the output itself", yield* rig.size(place), Option.some(7))
          })
      ),

      "a staged file appears under its name when it is published, whole": promise((workspace, rig) =>
        Effect.gen(function* () {
          yield* rig.write(rig.resolve("out.mp4"), 3)
          const staged = yield* workspace.stage("out.mp4")
          yield* same("its final path", staged.finalPath, rig.resolve("out.mp4"))
          yield* holds("its extension should be .mp4", staged.path.endsWith(".mp4"), staged.path)
          yield* rig.write(staged.path, 9)
          yield* same("the older file, before", yield* rig.size(staged.finalPath), Option.some(3))
          yield* same("what publish says", yield* staged.publish, { bytes: 9 })
          yield* same("the new file", yield* rig.size(staged.finalPath), Option.some(9))
          yield* same("the staged file", yield* rig.size(staged.path), Option.none())
        })
      ),

      "a staged file that is not published is gone with its scope": promise((workspace, rig) =>
        Effect.gen(function* () {
          const staged = yield* workspace.stage("out.mp4").pipe(
            Effect.tap(({ path }) => rig.write(path, 9)),
            Effect.scoped
          )
          yield* same("the staged file", yield* rig.size(staged.path), Option.none())
          yield* same("the final file", yield* rig.size(staged.finalPath), Option.none())
        })
      ),

      "a staged file that nobody wrote cannot be published": promise((workspace) =>
        Effect.gen(function* () {
          const { publish } = yield* workspace.stage("out.mp4")
          yield* fails("publish", "NotFound", publish)
        })
      ),

      "a relative name that leads out of the job's folder is Outside": promise((workspace, rig) =>
        Effect.gen(function* () {
          const place = yield* workspace.place(attempt)
          yield* rig.write(place, 7)
          for (const name of ["../out.mp4", "a/../../out.mp4", ".."]) {
            yield* fails(`stage ${name}`, "Outside", Effect.scoped(workspace.stage(name)))
            yield* fails(`publish ${name}`, "Outside", workspace.publish(ref(place), name))
          }
        })
      ),

      "remove takes the attempts of one job, but for those to keep": promise((workspace, rig) =>
        Effect.gen(function* () {
          const places = yield* Effect.forEach(["job", "job", "other"], (jobId) =>
            workspace.place({ ...attempt, jobId })
          )
          for (const place of places) yield* rig.write(place, 7)
          yield* rig.write(rig.resolve("out.mp4"), 9)
          yield* workspace.remove("job", places.slice(0, 1))
          const left = yield* Effect.forEach([...places, rig.resolve("out.mp4")], rig.size)
          yield* same("what is left", left, [Option.some(7), Option.none(), Option.some(7), Option.some(9)])
          yield* workspace.remove("job", [])
          yield* workspace.remove("never", [])
          yield* same("the other job's", yield* rig.size(places[2] ?? ""), Option.some(7))
          const again = yield* workspace.place(attempt)
          yield* rig.write(again, 1)
          yield* same("a place after it", yield* rig.size(again), Option.some(1))
        })
      )
    }
  })
}
