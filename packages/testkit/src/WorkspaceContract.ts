/**
 * What every `Workspace` promises: places that no two attempts share, final files that appear whole or not at all, and
 * nothing outside of the job's folder.
 */
import type { OutputRef } from "@helios-infra/core/WorkerAdapter"
import { type Transfer, Workspace, type WorkspaceError } from "@helios-infra/core/Workspace"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as Contract from "./Contract.ts"
import { background, failureOf, holds, same, within } from "./internal/check.ts"

/** Files as tools see them, which know nothing of the workspace. */
export class WorkspaceRig extends Context.Service<
  WorkspaceRig,
  {
    /** Writes a file of so many bytes to an absolute path, and makes the folders that it is in. */
    readonly write: (path: string, bytes: number) => Effect.Effect<void>
    /** The size of a file. */
    readonly size: (path: string) => Effect.Effect<Option.Option<number>>
    /** The absolute path of a name in the job's folder. */
    readonly resolve: (name: string) => string
    /** Every file at or below the job's folder, by absolute path; for workspaces with `transfer`. */
    readonly files?: Effect.Effect<ReadonlyArray<string>> | undefined
  }
>()("@helios-infra/testkit/WorkspaceContract/WorkspaceRig") {}

const attempt = { jobId: "job", run: 1, chunkId: 0, attempt: 1, outputFile: "part_0.mov" }

const ref = (location: string, bytes = 0): OutputRef => ({ location, bytes })

const fails = <A, R>(what: string, reason: WorkspaceError["reason"], effect: Effect.Effect<A, WorkspaceError, R>) =>
  failureOf(what, effect).pipe(
    Effect.flatMap((error) => same(`the reason for which ${what} fails`, error.reason, reason))
  )

const assetsOf = (transfer: Transfer, names: ReadonlyArray<string>) => Stream.runCollect(transfer.assets(names))

const contentOf = <E>(content: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(content), (pieces) => {
    const all = Buffer.concat(pieces)
    return { bytes: all.length, sha256: createHash("sha256").update(all).digest("hex") }
  })

/** What the implementation promises beside the rest. */
export interface Options extends Contract.Timing {
  /** Whether it has `transfer`; the rig must list files then. Default: false. */
  readonly transfer?: boolean | undefined
}

/** The contract of a workspace; its layer brings the rig along. */
export const make = <E>(layer: Layer.Layer<Workspace | WorkspaceRig, E>, options: Options = {}): Contract.Contract => {
  const timing = Contract.patienceOf(options)

  const promise = <A, E2 extends Error>(
    body: (workspace: Workspace["Service"], rig: WorkspaceRig["Service"]) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2, Workspace | WorkspaceRig | Scope.Scope> =>
    Effect.gen(function* () {
      yield* body(yield* Workspace, yield* WorkspaceRig)
    })

  /** A promise about `transfer`, where there is one. */
  const transferring = <A, E2 extends Error>(
    body: (
      transfer: Transfer,
      workspace: Workspace["Service"],
      rig: WorkspaceRig["Service"] & { readonly files: Effect.Effect<ReadonlyArray<string>> }
    ) => Effect.Effect<A, E2, Scope.Scope>
  ) =>
    options.transfer === true
      ? promise((workspace, rig) =>
          Effect.gen(function* () {
            const { transfer } = workspace
            yield* holds("it should have transfer", transfer !== undefined, transfer)
            yield* holds("its rig should have files", rig.files !== undefined, rig.files)
            if (transfer !== undefined && rig.files !== undefined) {
              yield* body(transfer, workspace, { ...rig, files: Effect.map(rig.files, (files) => files.toSorted()) })
            }
          })
        )
      : undefined

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
          const staged = yield* workspace.stage("film", "out.mp4")
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
          const staged = yield* workspace.stage("film", "out.mp4").pipe(
            Effect.tap(({ path }) => rig.write(path, 9)),
            Effect.scoped
          )
          yield* same("the staged file", yield* rig.size(staged.path), Option.none())
          yield* same("the final file", yield* rig.size(staged.finalPath), Option.none())
        })
      ),

      "a staged file that nobody wrote cannot be published": promise((workspace) =>
        Effect.gen(function* () {
          const { publish } = yield* workspace.stage("film", "out.mp4")
          yield* fails("publish", "NotFound", publish)
        })
      ),

      "a relative name that leads out of the job's folder is Outside": promise((workspace, rig) =>
        Effect.gen(function* () {
          const place = yield* workspace.place(attempt)
          yield* rig.write(place, 7)
          for (const name of ["../out.mp4", "a/../../out.mp4", ".."]) {
            yield* fails(`stage ${name}`, "Outside", Effect.scoped(workspace.stage("film", name)))
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
      ),

      "assets are the files that are named, and those below folders that are, each once and in order": transferring(
        (transfer, _workspace, rig) =>
          Effect.gen(function* () {
            const files = ["b.png", "fonts/deep/z.ttf", "fonts/a b.ttf", "fonts/日本.ttf"]
            for (const [index, name] of [...files, "not-named.png"].entries()) {
              yield* rig.write(rig.resolve(name), 1000 + index)
            }
            const named = yield* assetsOf(transfer, [
              "fonts",
              "b.png",
              "./fonts/",
              "fonts/../b.png",
              "fonts/deep/z.ttf"
            ])
            yield* same(
              "what is found",
              named.map(({ bytes, path }) => ({ bytes, path })),
              files.map((path, index) => ({ path, bytes: 1000 + index })).toSorted((a, b) => (a.path < b.path ? -1 : 1))
            )
            for (const { bytes, content, path, sha256 } of named) {
              const found = yield* contentOf(content)
              yield* same(`the content of ${path}`, found, { bytes, sha256 })
              yield* same(`the content of ${path}, read again`, yield* contentOf(content), { bytes, sha256 })
            }
            yield* same("what no name gives", yield* assetsOf(transfer, []), [])
          })
      ),

      "what attempts wrote and what is staged is no asset": transferring((transfer, workspace, rig) =>
        Effect.gen(function* () {
          yield* rig.write(rig.resolve("a.png"), 1)
          yield* rig.write(yield* workspace.place(attempt), 7)
          const staged = yield* workspace.stage("film", "out.mp4")
          yield* rig.write(staged.path, 9)
          const found = yield* assetsOf(transfer, ["."])
          yield* same(
            "the files of the whole folder",
            found.map(({ path }) => path),
            ["a.png"]
          )
        })
      ),

      "an asset that is not there is NotFound, one that leads out of the job's folder is Outside": transferring(
        (transfer, _workspace, rig) =>
          Effect.gen(function* () {
            yield* rig.write(rig.resolve("a.png"), 1)
            yield* fails("assets", "NotFound", assetsOf(transfer, ["a.png", "never.png"]))
            for (const name of ["..", "../a.png", "a/../../a.png", "/a.png"]) {
              yield* fails(`assets with ${name}`, "Outside", assetsOf(transfer, ["a.png", name]))
            }
          })
      ),

      "what is received has a place of its own, and is removed with its job": transferring((transfer, workspace, rig) =>
        Effect.gen(function* () {
          const before = yield* rig.files
          const sent = new TextEncoder().encode("received".repeat(1000))
          const content = Stream.fromIterable([sent.subarray(0, 10), sent.subarray(10)]).pipe(Stream.rechunk(1))
          const expected = yield* contentOf(content)
          const places = new Set<string>()
          for (const jobId of ["job", "job", "other", "../../outside"]) {
            const { path, ...received } = yield* transfer.receive(jobId, "jobs/job/chunks/0/1.1/output.mov", content)
            places.add(path)
            yield* same("what came", received, expected)
            yield* holds("its extension should be .mov", path.endsWith(".mov"), path)
            yield* same("what stat says", yield* workspace.stat(ref(path)), Option.some({ bytes: sent.length }))
            yield* same("its local path", yield* workspace.locate(ref(path)), path)
          }
          yield* same("how many different places", places.size, 4)
          const [kept = "", dropped = "", other = "", hostile = ""] = places
          yield* workspace.remove("job", [kept])
          const left = yield* Effect.forEach([kept, dropped, other], rig.size)
          yield* same("what is left", left, [Option.some(sent.length), Option.none(), Option.some(sent.length)])
          for (const jobId of ["job", "other", "../../outside"]) yield* workspace.remove(jobId, [])
          yield* same("what is left of another job", yield* rig.size(hostile), Option.none())
          yield* same("the files, when all is removed", yield* rig.files, before)
        })
      ),

      "nothing is left of what could not be received": transferring((transfer, workspace, rig) =>
        Effect.gen(function* () {
          yield* rig.write(yield* workspace.place(attempt), 1)
          const before = yield* rig.files
          const begins = Stream.make(new Uint8Array(100_000))
          const stops = new Error("the stream stops here")
          const failing = transfer.receive("job", "output.mov", Stream.concat(begins, Stream.fail(stops)))
          const error = yield* failureOf("receive", failing)
          yield* holds("it should fail with what its stream fails with", error === stops, error)
          yield* same("the files, after a failure", yield* rig.files, before)
          const reached = yield* Deferred.make<void>()
          const hangs = Stream.fromEffectDrain(Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
          const hanging = transfer.receive("job", "output.mov", Stream.concat(begins, hangs))
          const receiving = yield* background(timing, hanging)
          yield* within(timing, "receive should read", Deferred.await(reached))
          yield* within(timing, "interruption of receive", Fiber.interrupt(receiving))
          yield* same("the files, after an interruption", yield* rig.files, before)
        })
      )
    }
  })
}
