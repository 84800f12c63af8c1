export * as ArtifactStorageContract from "./ArtifactStorageContract.ts"
export * as Contract from "./Contract.ts"
export * as FailPoints from "./FailPoints.ts"
export * as FakeArtifactStorage from "./FakeArtifactStorage.ts"
export * as FakeFiles from "./FakeFiles.ts"
export * as FakeMachine from "./FakeMachine.ts"
export * as FakeOutputCheck from "./FakeOutputCheck.ts"
export * as FakeVideoStitcher from "./FakeVideoStitcher.ts"
export * as FakeWorkerAdapter from "./FakeWorkerAdapter.ts"
export * as FakeWorkspace from "./FakeWorkspace.ts"
export * as JobRepositoryContract from "./JobRepositoryContract.ts"
export * as OutputCheckContract from "./OutputCheckContract.ts"
export * as VideoRig from "./VideoRig.ts"
export * as VideoStitcherContract from "./VideoStitcherContract.ts"
export * as Simulation from "./Simulation.ts"
export * as Vitest from "./Vitest.ts"
export * as WorkerAdapterContract from "./WorkerAdapterContract.ts"
export * as WorkspaceContract from "./WorkspaceContract.ts"
export {
  artifactStorageContract,
  jobRepositoryContract,
  outputCheckContract,
  videoStitcherContract,
  workerAdapterContract,
  workspaceContract
} from "./Vitest.ts"
