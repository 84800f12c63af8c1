export * as GcsArtifactStorage from "./GcsArtifactStorage.ts"
export * as GcsPlugin from "./GcsPlugin.ts"
