/**
 * The Promise API: jobs run from plain async code, and classes with promises as adapters, stitchers and repositories.
 *
 * It is a thin layer over the same engine: nothing runs differently here.
 */
export * from "./promise/AdapterMiddleware.ts"
export * from "./promise/AdapterPool.ts"
export * from "./promise/ArtifactStorage.ts"
export * from "./promise/JobError.ts"
export * from "./promise/JobExecutor.ts"
export * from "./promise/JobFolder.ts"
export * from "./promise/JobManager.ts"
export * from "./promise/JobRepository.ts"
export * from "./promise/OutputCheck.ts"
export * from "./promise/Telemetry.ts"
export * from "./promise/VideoStitcher.ts"
export * from "./promise/WorkerAdapter.ts"
