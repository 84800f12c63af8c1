export * as PostgresJobRepository from "./PostgresJobRepository.ts"
export * as SqliteJobRepository from "./SqliteJobRepository.ts"
export * as SqlPlugin from "./SqlPlugin.ts"
