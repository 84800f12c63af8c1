export * as PostgresJobRepository from "./PostgresJobRepository.ts"
export * as SqliteJobRepository from "./SqliteJobRepository.ts"
