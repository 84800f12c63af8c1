/** Files of this machine as a workspace for those who only read: nothing is placed, published or removed in it. */
import { Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as path from "node:path"
import * as workFolder from "./workFolder.ts"

const readOnly = (name: string): Effect.Effect<never, WorkspaceError> =>
  Effect.fail(new WorkspaceError({ path: name, reason: "ReadOnly", cause: new Error("files are only read here") }))

/** The workspace. Names are meant from the current folder. */
export const layer: Layer.Layer<Workspace> = Layer.sync(Workspace, () =>
  Workspace.of({
    root: path.resolve(),
    place: ({ outputFile }) => readOnly(outputFile),
    locate: ({ location }) => Effect.succeed(path.resolve(location)),
    stat: ({ location }) =>
      Effect.tryPromise({
        try: () => workFolder.sizeOf(location),
        catch: (cause) => new WorkspaceError({ path: location, reason: reasonOf(cause), cause })
      }).pipe(
        Effect.map((bytes) => Option.some({ bytes })),
        Effect.catchIf(
          ({ reason }) => reason === "NotFound",
          () => Effect.succeedNone
        )
      ),
    publish: (_, outputFile) => readOnly(outputFile),
    stage: (_jobId, outputFile) => readOnly(outputFile),
    remove: () => Effect.void
  })
)

const reasonOf = (cause: unknown): WorkspaceError["reason"] =>
  Predicate.hasProperty(cause, "code") && cause.code === "ENOENT" ? "NotFound" : "Unavailable"
