/**
 * The files of a job for adapters that say nothing of files: core, which knows no file system, takes their word.
 *
 * Every output is where the job file says, below the job's folder, and the final file is written under its own name.
 * Nothing is looked at, moved or removed.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Workspace } from "../../Workspace.ts"

/** The workspace; `jobDir` is meant from the current folder. */
export const make = (jobDir: string = "."): Workspace["Service"] => {
  const folder = jobDir.replace(/(?<=.)\/+$/, "")
  const inside = (name: string): string =>
    folder === "." || isAbsolute(name) ? name : folder.endsWith("/") ? `${folder}${name}` : `${folder}/${name}`
  return Workspace.of({
    root: folder,
    place: ({ outputFile }) => Effect.succeed(inside(outputFile)),
    locate: ({ location }) => Effect.succeed(location),
    stat: ({ bytes }) => Effect.succeed(Option.some({ bytes })),
    publish: () => Effect.void,
    stage: (_jobId, outputFile) => {
      const path = inside(outputFile)
      return Effect.succeed({ path, finalPath: path, publish: Effect.succeed({}) })
    },
    remove: () => Effect.void
  })
}

const isAbsolute = (name: string): boolean => /^(?:[/\\]|[a-z]:[/\\])/i.test(name)
