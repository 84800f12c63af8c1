import { describe } from "@effect/vitest"
import { Workspace } from "@helios-infra/core"
import { FakeFiles, FakeWorkspace, WorkspaceContract, workspaceContract } from "@helios-infra/testkit"
import { Effect, Layer } from "effect"
import { folder } from "./FakeRigs.ts"
import { catches } from "./Mutants.ts"

type Service = Workspace.Workspace["Service"]

const good = FakeWorkspace.layer().pipe(Layer.merge(folder), Layer.provideMerge(FakeFiles.layer))

workspaceContract("FakeWorkspace", good)

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
      )
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
      stage: (name) =>
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
      stage: (name) =>
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
})
