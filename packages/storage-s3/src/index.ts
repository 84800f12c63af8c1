export * as S3ArtifactStorage from "./S3ArtifactStorage.ts"
export * as S3Plugin from "./S3Plugin.ts"
