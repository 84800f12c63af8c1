/**
 * File operations as effects, with errors that are told apart by the system's code, and files as streams of bytes: for
 * what works beside the adapter on the same machine. It holds what this package and the worker's runtime need, and is no
 * file system.
 */
export { discard, file, FileError, ifThere, isBelow, isFolder, realpathOfExisting, unless } from "./internal/files.ts"
export { type Content, contentOf, read, readHandle, withHandle, write } from "./internal/fileStreams.ts"
