/**
 * The assets of jobs on a worker's disk, by the hash of their content: what one invocation fetched, the next one finds.
 *
 * ```
 * <dir>/<sha256>      an asset: whole, read-only, its time of change made of its hash
 * ```
 *
 * A job's folder gets hard links to them, or copies where the disk has no links. Commands are to read assets and not to
 * write into them; one that was written into is noticed by its time or size, and fetched anew. Several invocations, also
 * of several processes, can share a cache: an asset appears whole, under its final name, or not at all.
 */
import * as LocalFiles from "@helios-infra/adapter-local/LocalFiles"
import { ArtifactKey } from "@helios-infra/core/ArtifactStorage"
import type { AssetList } from "@helios-infra/core/ArtifactLayout"
import { Refused, Transport, WorkerLost } from "@helios-infra/core/WorkerError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { retrying, type TransferError } from "./internal/transfers.ts"

/** Where assets are kept, and how many. */
export interface Options {
  readonly dir: string
  /** How much the assets that no attempt needs may take, in bytes. Default: half the disk, at most 10 GiB. */
  readonly maxBytes?: number | undefined
  /** How long one asset may take to come. */
  readonly timeout: Duration.Duration
}

/** One asset of a job. */
export type Asset = AssetList["assets"][number]

/** Why a job's assets could not be put into its folder. */
export type AssetError = TransferError | WorkerLost

/** Keeps assets. */
export interface AssetCache {
  /**
   * Puts all assets into a job's folder at their paths, and fetches those that are not here. What comes is written below
   * `incoming` first, which has to be on the cache's disk. The folder is to hold nothing but what was put there so.
   */
  readonly provide: (options: {
    readonly assets: ReadonlyArray<Asset>
    readonly folder: string
    readonly incoming: string
    readonly fetch: (asset: Asset) => Stream.Stream<Uint8Array, TransferError>
  }) => Effect.Effect<void, AssetError>
}

/** How many assets are on their way at once in one invocation. */
const parallel = 8

const defaultMost = 10 * 2 ** 30

/** How often an asset is looked for again that another process removed before it was linked. */
const relinks = 3

const isName: (path: string) => boolean = Schema.is(ArtifactKey)

/** Makes a cache; its folder is made with the first asset. */
export const make = (options: Options): AssetCache => {
  const { dir, timeout } = options
  const locks = new Map<string, { readonly semaphore: Semaphore.Semaphore; users: number }>()

  /** One invocation of this process at a time looks after an asset; where one is stopped, the next one goes on. */
  const locked = <A, E>(sha256: string, use: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const lock = locks.get(sha256) ?? { semaphore: Semaphore.makeUnsafe(1), users: 0 }
        lock.users++
        locks.set(sha256, lock)
        return lock
      }),
      ({ semaphore }) => semaphore.withPermit(use),
      (lock) =>
        Effect.sync(() => {
          if (--lock.users === 0) locks.delete(sha256)
        })
    )

  const entryOf = (sha256: string): string => path.join(dir, sha256)

  /** Whether an asset is here as it came. */
  const isHere = Effect.fnUntraced(function* ({ bytes, sha256 }: Content) {
    const entry = entryOf(sha256)
    const found = yield* LocalFiles.ifThere(LocalFiles.file(() => fs.lstat(entry)))
    if (found === undefined) return false
    if (found.isFile() && found.size === bytes && Math.round(found.mtimeMs / 1000) === stampOf(sha256)) return true
    yield* LocalFiles.discard(entry)
    return false
  })

  const fetch = Effect.fnUntraced(function* (
    asset: Content,
    incoming: string,
    content: Stream.Stream<Uint8Array, TransferError>
  ): Effect.fn.Return<void, AssetError> {
    const part = path.join(incoming, randomUUID())
    const keep = () =>
      fs
        // Also to be run: a job's scripts are assets like any other.
        .chmod(part, 0o555)
        .then(() => fs.utimes(part, stampOf(asset.sha256), stampOf(asset.sha256)))
        .then(() => fs.rename(part, entryOf(asset.sha256)))
    yield* receive(asset, part, content).pipe(
      retrying,
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.fail(corrupt(asset, `did not come within ${Duration.format(timeout)}`))
      }),
      Effect.andThen(disk(LocalFiles.file(keep))),
      Effect.onError(() => LocalFiles.discard(part))
    )
  })

  const link = Effect.fnUntraced(function* (
    asset: Content,
    { fetch: contentOf, folder, incoming }: Parameters<AssetCache["provide"]>[0]
  ): Effect.fn.Return<void, AssetError> {
    const entry = entryOf(asset.sha256)
    const now = (yield* Clock.currentTimeMillis) / 1000
    const bring = Effect.gen(function* () {
      if (!(yield* disk(isHere(asset)))) yield* fetch(asset, incoming, contentOf(asset))
      yield* Effect.ignore(LocalFiles.file(() => fs.utimes(entry, now, stampOf(asset.sha256))))
    })
    for (const name of asset.paths) {
      const target = path.join(folder, name)
      yield* bring.pipe(
        Effect.andThen(LocalFiles.file(() => fs.mkdir(path.dirname(target), { recursive: true }))),
        Effect.andThen(linkOrCopy(entry, target)),
        Effect.retry({ times: relinks, while: (error) => error._tag === "FileError" && error.code === "ENOENT" }),
        Effect.catchTag("FileError", (error) => Effect.fail(placing(name, error)))
      )
    }
  })

  /** What is kept, the one that was not used for longest first. */
  const kept = Effect.gen(function* () {
    const names = (yield* LocalFiles.ifThere(LocalFiles.file(() => fs.readdir(dir)))) ?? []
    const entries = yield* Effect.forEach(
      names,
      (name) =>
        Effect.map(LocalFiles.ifThere(LocalFiles.file(() => fs.lstat(path.join(dir, name)))), (found) =>
          found === undefined ? [] : [{ name, bytes: found.size, usedAt: found.atimeMs }]
        ),
      { concurrency: parallel }
    )
    return entries.flat().toSorted((a, b) => a.usedAt - b.usedAt)
  })

  /** Removes what was not used for longest until no more than `most` bytes are left; what is linked somewhere stays there. */
  const trim = Effect.fnUntraced(function* (most: number, spared: ReadonlySet<string>) {
    const entries = yield* kept
    let bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
    for (const entry of entries) {
      if (bytes <= most) return
      if (spared.has(entry.name)) continue
      yield* LocalFiles.discard(path.join(dir, entry.name))
      bytes -= entry.bytes
    }
  })

  const provide = Effect.fn("AssetCache.provide")(function* (
    request: Parameters<AssetCache["provide"]>[0]
  ): Effect.fn.Return<void, AssetError> {
    const { assets } = request
    if (assets.length === 0) return
    const contents = yield* byContent(assets)
    yield* disk(LocalFiles.file(() => fs.mkdir(dir, { recursive: true, mode: 0o700 })))
    const missing = yield* disk(Effect.filter(contents, (asset) => Effect.map(isHere(asset), (here) => !here)))
    const coming = sum(missing)
    const most = yield* disk(mostBytes(options.maxBytes, dir))
    const wanted = new Set(contents.map(({ sha256 }) => sha256))
    if (coming > 0) {
      const { blocks, bsize } = yield* disk(LocalFiles.file(() => fs.statfs(dir)))
      if (sum(contents) > blocks * bsize) return yield* tooLarge(sum(contents), blocks * bsize)
      yield* disk(trim(Math.max(0, most - coming), wanted))
    }
    yield* Effect.forEach(contents, (asset) => locked(asset.sha256, link(asset, request)), {
      concurrency: parallel,
      discard: true
    })
    // Assets that are too many to be kept are still there for this job, by their links.
    if (coming > 0) yield* disk(trim(most, new Set()))
  })

  return { provide }
}

/** An asset, and all the names that a job has for it. */
interface Content extends Asset {
  readonly paths: ReadonlyArray<string>
}

/** Each content once; fails when a path could lead anywhere but into the job's folder. */
const byContent = Effect.fnUntraced(function* (assets: ReadonlyArray<Asset>) {
  const contents = new Map<string, Asset & { readonly paths: Array<string> }>()
  for (const asset of assets) {
    if (!isName(asset.path)) {
      const fix = `the asset path ${JSON.stringify(asset.path.slice(0, 200))} is no plain path below the job's folder`
      return yield* new Refused({ why: "InvalidJob", fix })
    }
    const known = contents.get(asset.sha256)
    if (known === undefined) contents.set(asset.sha256, { ...asset, paths: [asset.path] })
    else known.paths.push(asset.path)
  }
  return [...contents.values()]
})

const sum = (assets: ReadonlyArray<Asset>): number => assets.reduce((bytes, asset) => bytes + asset.bytes, 0)

/** The time of change that an asset is given, in seconds since the epoch: what was written into has another one. */
const stampOf = (sha256: string): number => 946_684_800 + (Number.parseInt(sha256.slice(0, 7), 16) % 2 ** 28)

const mostBytes = (told: number | undefined, dir: string): Effect.Effect<number, LocalFiles.FileError> =>
  told === undefined
    ? Effect.map(
        LocalFiles.file(() => fs.statfs(dir)),
        ({ blocks, bsize }) => Math.min(defaultMost, (blocks * bsize) / 2)
      )
    : Effect.succeed(told)

/** Writes an asset to a file of its own, if it is the one that was asked for. */
const receive = Effect.fnUntraced(function* (
  asset: Asset,
  part: string,
  content: Stream.Stream<Uint8Array, TransferError>
): Effect.fn.Return<void, AssetError> {
  let left = asset.bytes
  const bounded = Stream.mapEffect(content, (piece) => {
    left -= piece.length
    return left < 0 ? Effect.fail(corrupt(asset, `has more than its ${asset.bytes} bytes`)) : Effect.succeed(piece)
  })
  // What an earlier try left.
  yield* LocalFiles.discard(part)
  const { bytes, sha256 } = yield* LocalFiles.write(part, bounded, ({ message }) => new WorkerLost({ detail: message }))
  if (bytes < asset.bytes) return yield* corrupt(asset, `has ${bytes} of its ${asset.bytes} bytes`)
  if (sha256 !== asset.sha256) return yield* corrupt(asset, "is not what it was when the job was sent")
})

/** Hard links are not possible everywhere: across disks, and on some of them at all. */
const linkOrCopy = (entry: string, target: string): Effect.Effect<void, LocalFiles.FileError> =>
  Effect.catchIf(
    LocalFiles.file(() => fs.link(entry, target)),
    ({ code }) => code !== "ENOENT" && code !== "EEXIST",
    () => LocalFiles.file(() => fs.copyFile(entry, target, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE))
  )

// ---
// errors
// ---

const corrupt = (asset: Asset, detail: string): Transport =>
  new Transport({ cause: new Error(`the asset ${asset.path} ${detail}`) })

const tooLarge = (bytes: number, room: number): Refused =>
  new Refused({
    why: "TooLarge",
    fix: `the job's assets have ${bytes} bytes, the worker's disk only ${room}: give the worker a larger one`
  })

const placing = (name: string, error: LocalFiles.FileError): AssetError =>
  error.code === "EEXIST" || error.code === "ENOTDIR"
    ? new Refused({ why: "InvalidJob", fix: `two assets of the job cannot be one file, or one in the other: ${name}` })
    : new WorkerLost({ detail: error.message })

const disk = <A>(operation: Effect.Effect<A, LocalFiles.FileError>): Effect.Effect<A, WorkerLost> =>
  Effect.mapError(operation, (error) => new WorkerLost({ detail: error.message }))
