export * as FrameProgress from "./FrameProgress.ts"
export * as LocalPlugin from "./LocalPlugin.ts"
export * as LocalWorkerAdapter from "./LocalWorkerAdapter.ts"
export * as LocalWorkspace from "./LocalWorkspace.ts"
