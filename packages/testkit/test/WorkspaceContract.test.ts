import { describe } from "@effect/vitest"
import { Workspace } from "@helios-infra/core"
import { FakeFiles, FakeWorkspace, WorkspaceContract, workspaceContract } from "@helios-infra/testkit"
import { Effect, Layer, Stream } from "effect"
import { folder } from "./FakeRigs.ts"
import { catches } from "./Mutants.ts"

type Service = Workspace.Workspace["Service"]

const good = FakeWorkspace.layer().pipe(Layer.merge(folder), Layer.provideMerge(FakeFiles.layer))

workspaceContract("FakeWorkspace", good, { transfer: true })

describe("the contract of Workspace", () => {
  const broken = (change: (workspace: Service, files: FakeFiles.FakeFiles["Service"]) => Partial<Service>) =>
    WorkspaceContract.make(
      Layer.provideMerge(
        Layer.effect(
          Workspace.Workspace,
          Effect.gen(function* () {
            const workspace = yield* Workspace.Workspace
            return { ...workspace, ...change(workspace, yield* FakeFiles.FakeFiles) }
          })
        ),
        good
      ),
      { transfer: true, patience: "2 seconds" }
    )

  catches(
    "one that gives the same place to the same attempt",
    broken(() => ({ place: ({ chunkId, jobId }) => Effect.succeed(`/job/.helios/${jobId}/${chunkId}.mov`) })),
    /no place is given twice/
  )
  catches(
    "one that drops the extension",
    broken(({ place }) => ({ place: (attempt) => Effect.map(place(attempt), (path) => path.replace(".mov", "")) })),
    /keeps the extension/
  )
  catches(
    "one that stages the final file itself",
    broken((_, files) => ({
      stage: (_jobId, name) =>
        Effect.succeed({
          path: `/job/${name}`,
          finalPath: `/job/${name}`,
          publish: Effect.sync(() => ({ bytes: files.get(`/job/${name}`)?.bytes ?? 0 }))
        })
    })),
    /when it is published, whole/
  )
  catches(
    "one that leaves what was not published",
    broken(() => ({
      stage: (_jobId, name) =>
        Effect.succeed({
          path: `/job/staged-${name}`,
          finalPath: `/job/${name}`,
          publish: Effect.succeed({ bytes: 9 })
        })
    })),
    /gone with its scope/
  )
  catches(
    "one that moves what it publishes",
    broken(({ publish }, files) => ({
      publish: (output, name) =>
        Effect.tap(publish(output, name), () => Effect.sync(() => files.delete(output.location)))
    })),
    /stays where it was/
  )
  catches(
    "one that removes everything",
    broken((_, files) => ({ remove: () => Effect.sync(() => files.clear()) })),
    /remove takes the attempts of one job/
  )
  catches(
    "one that lets names lead anywhere",
    broken(({ publish }) => ({ publish: (output, name) => publish(output, name.replaceAll("../", "") || "x") })),
    /Outside/
  )
  catches(
    "one that finds what is not there",
    broken(() => ({ locate: ({ location }) => Effect.succeed(location) })),
    /NotFound to locate/
  )

  const transferring = (
    change: (transfer: Workspace.Transfer, files: FakeFiles.FakeFiles["Service"]) => Partial<Workspace.Transfer>
  ) => broken(({ transfer }, files) => (transfer && { transfer: { ...transfer, ...change(transfer, files) } }) ?? {})

  catches(
    "one that does not transfer and says that it does",
    broken(() => ({ transfer: undefined })),
    /assets are the files that are named/
  )
  catches(
    "one that gives an asset for each name that leads to it",
    transferring(({ assets }) => ({
      assets: (names) => Stream.flatMap(Stream.fromIterable(names), (name) => assets([name]))
    })),
    /each once and in order/
  )
  catches(
    "one whose assets can be read once",
    transferring(({ assets }) => ({
      assets: (names) =>
        Stream.map(assets(names), (asset) => {
          let read = false
          const once = Stream.suspend(() => {
            if (read) return Stream.empty
            read = true
            return asset.content
          })
          return { ...asset, content: once }
        })
    })),
    /each once and in order/
  )
  catches(
    "one that sends what attempts wrote",
    transferring((_, files) => ({
      assets: () =>
        Stream.fromIterable([...files.keys()].toSorted()).pipe(
          Stream.map((path) => ({ path: path.slice("/job/".length), bytes: 0, sha256: "", content: Stream.empty }))
        )
    })),
    /is no asset/
  )
  catches(
    "one that leaves out what is not there",
    transferring(({ assets }) => ({
      assets: (names) => Stream.flatMap(Stream.fromIterable(names), (name) => Stream.ignore(assets([name])))
    })),
    /NotFound, one that leads out/
  )
  catches(
    "one that receives everything in one place",
    transferring(({ receive }, files) => ({
      receive: (jobId, name, content) =>
        Effect.map(receive(jobId, name, content), (received) => {
          files.set("/job/.helios/received.mov", files.get(received.path) ?? FakeFiles.join([]))
          return { ...received, path: "/job/.helios/received.mov" }
        })
    })),
    /has a place of its own/
  )
  catches(
    "one that keeps half of what came",
    transferring(({ receive }, files) => ({
      receive: (jobId, name, content) =>
        Effect.onError(receive(jobId, name, content), () =>
          Effect.sync(() => files.set(`/job/.helios/${jobId}/half.mov`, FakeFiles.join([])))
        )
    })),
    /nothing is left of what could not be received/
  )
})
