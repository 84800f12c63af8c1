/**
 * `node:fs/promises` on disks that fail when they are told to, for `vi.mock`: a write, a sync, a new name, the n-th of
 * them, once or until the disk is repaired.
 *
 * Everything below the folders of such disks goes through here, whoever calls it; what only reads never fails.
 */
import type * as Files from "node:fs/promises"
import { sep } from "node:path"

/** What a disk fails with. */
export type Code = "ENOSPC" | "EIO" | "EROFS"

/** Where a disk fails. */
export interface Fault {
  readonly code: Code
  /** The first operation that fails, counted from 1. */
  readonly at: number
  /** Whether those after it fail as well, until the disk is repaired. */
  readonly lasts: boolean
}

/** A folder on a disk of its own. */
export interface Disk {
  /** What was done so far that could have failed. */
  readonly operations: ReadonlyArray<string>
  readonly repair: () => void
}

interface State {
  readonly operations: Array<string>
  fault: Fault | undefined
}

const disks = new Map<string, State>()

/** Puts a folder on a disk. */
export const mount = (dir: string, fault?: Fault): Disk => {
  const state: State = { operations: [], fault }
  disks.set(`${dir}${sep}`, state)
  return {
    operations: state.operations,
    repair: () => {
      state.fault = undefined
    }
  }
}

const words: Record<Code, string> = {
  ENOSPC: "no space left on device",
  EIO: "i/o error",
  EROFS: "read-only file system"
}

const diskOf = (path: unknown): State | undefined => {
  for (const [dir, state] of disks) if (`${String(path)}${sep}`.startsWith(dir)) return state
  return undefined
}

/** Does what can fail. A full disk takes a part of what is written before it says so. */
const attempt = async <A>(
  name: string,
  path: unknown,
  run: () => Promise<A>,
  torn?: () => Promise<void>
): Promise<A> => {
  const disk = diskOf(path)
  if (disk === undefined) return run()
  const at = disk.operations.push(`${name} ${String(path)}`)
  const { fault } = disk
  if (fault === undefined || at < fault.at || (at > fault.at && !fault.lasts)) return run()
  if (fault.code === "ENOSPC") await torn?.()
  const message = `${fault.code}: ${words[fault.code]}, ${name} '${String(path)}'`
  throw Object.assign(new Error(message), { code: fault.code, syscall: name, path })
}

const half = (data: unknown): Uint8Array => {
  const bytes = typeof data === "string" || data instanceof Uint8Array ? Buffer.from(data) : Buffer.alloc(0)
  return bytes.subarray(0, Math.floor(bytes.length / 2))
}

const handleOn = (handle: Files.FileHandle, path: unknown): Files.FileHandle => {
  const faulty: Partial<Files.FileHandle> = {
    appendFile: (data, options) =>
      attempt(
        "write",
        path,
        () => handle.appendFile(data, options),
        () => handle.appendFile(half(data))
      ),
    sync: () => attempt("fsync", path, () => handle.sync()),
    datasync: () => attempt("fdatasync", path, () => handle.datasync()),
    truncate: (length) => attempt("ftruncate", path, () => handle.truncate(length))
  }
  return new Proxy(handle, {
    get: (target, key) => {
      const value: unknown = Reflect.get(Reflect.has(faulty, key) ? faulty : target, key)
      if (typeof value !== "function") return value
      const bound: unknown = value.bind(target)
      return bound
    }
  })
}

/** The module, with disks that fail. */
export const over = (files: typeof Files): typeof Files => {
  const faulty: Partial<typeof Files> = {
    open: async (path, flags, mode) => {
      const open = () => files.open(path, flags, mode)
      const handle = await (String(flags).includes("x") ? attempt("open", path, open) : open())
      return diskOf(path) === undefined ? handle : handleOn(handle, path)
    },
    writeFile: (path, data, options) =>
      attempt(
        "write",
        path,
        () => files.writeFile(path, data, options),
        () => files.writeFile(path, half(data), options)
      ),
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one function for all its overloads
    mkdir: ((path: string, options: Parameters<typeof Files.mkdir>[1]) =>
      attempt("mkdir", path, () => files.mkdir(path, options))) as typeof Files.mkdir,
    rename: (from, to) => attempt("rename", from, () => files.rename(from, to))
  }
  return { ...files, ...faulty }
}
