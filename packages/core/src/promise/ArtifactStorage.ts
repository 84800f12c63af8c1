/**
 * Where a job's files lie when its workers are elsewhere: the contract that a class with promises fulfils, and the error
 * that it may reject with.
 *
 * Packages offer such classes for their storages. Whatever else one of these rejects with counts as a storage that gave
 * no answer.
 */
import type { ArtifactInfo, GetOptions, PutOptions } from "../ArtifactStorage.ts"

export { ArtifactError } from "../ArtifactStorage.ts"
export type { ArtifactInfo, GetOptions, PutOptions } from "../ArtifactStorage.ts"

/** What a method is given that may take long: aborted when its result is not wanted any more. */
export interface StorageContext {
  readonly signal: AbortSignal
}

/**
 * Stores artifacts: bytes under keys, whole or not at all. {@link ArtifactError} says which reasons there are; one that
 * is not `NotFound`, `Exists`, … is `Unavailable`.
 */
export interface ArtifactStorage {
  /** Stores all bytes of `body`, in place of an artifact that has this key. When `body` throws, nothing is stored. */
  put(key: string, body: AsyncIterable<Uint8Array>, options: PutOptions, context: StorageContext): Promise<ArtifactInfo>
  /** The bytes of an artifact, or part of it. */
  get(key: string, options: GetOptions): AsyncIterable<Uint8Array>
  /** What is known of an artifact; `null` where there is none. */
  head(key: string): Promise<ArtifactInfo | null>
  /** All artifacts whose keys begin with `prefix`. */
  list(prefix: string): AsyncIterable<ArtifactInfo>
  /** Removes artifacts; one that is not there is no failure. */
  delete(keys: ReadonlyArray<string>): Promise<void>
  /** A URL that reads or writes one artifact and works for `expiresMs` milliseconds. */
  url(key: string, options: { readonly method: "GET" | "PUT"; readonly expiresMs: number }): Promise<string>
}
