/**
 * All fakes over one disk: what `JobManager.layer` needs to run jobs without a process, a file or a second of waiting.
 */
import type { OutputCheck } from "@helios-infra/core/OutputCheck"
import type { VideoStitcher } from "@helios-infra/core/VideoStitcher"
import type { WorkerAdapter } from "@helios-infra/core/WorkerAdapter"
import type { Workspace } from "@helios-infra/core/Workspace"
import * as Layer from "effect/Layer"
import * as FakeFiles from "./FakeFiles.ts"
import * as FakeOutputCheck from "./FakeOutputCheck.ts"
import * as FakeVideoStitcher from "./FakeVideoStitcher.ts"
import * as FakeWorkerAdapter from "./FakeWorkerAdapter.ts"
import * as FakeWorkspace from "./FakeWorkspace.ts"

/** How the fakes behave. */
export interface Options {
  readonly worker?: FakeWorkerAdapter.Options | undefined
  readonly stitcher?: FakeVideoStitcher.Options | undefined
  readonly check?: FakeOutputCheck.Options | undefined
  readonly workspace?: FakeWorkspace.Options | undefined
}

/** Everything but a repository: `JobRepository.layerMemory` is that. */
export const layer = (
  options: Options = {}
): Layer.Layer<
  WorkerAdapter | FakeWorkerAdapter.FakeWorkers | VideoStitcher | OutputCheck | Workspace | FakeFiles.FakeFiles
> =>
  Layer.mergeAll(
    FakeWorkerAdapter.layer(options.worker),
    FakeVideoStitcher.layer(options.stitcher),
    FakeOutputCheck.layer(options.check),
    FakeWorkspace.layer(options.workspace)
  ).pipe(Layer.provideMerge(FakeFiles.layer))
