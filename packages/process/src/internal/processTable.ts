/**
 * Who runs on this machine, as Linux tells it under `/proc`: the only way to find a process that has left its group.
 *
 * Reads are synchronous: what is read and what is done about it must not be torn apart by a pid that is given away in
 * between. Elsewhere than on Linux nothing is read, and process groups are all there is.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { uptime } from "node:os"
import { kill, pid as self, platform } from "node:process"

/** The variable that carries an attempt's marker, to everything that the attempt starts. */
export const markerVariable = "HELIOS_ATTEMPT"

const isLinux = platform === "linux"

/** A process that is to be ended, or the whole of a group (`-pid`) where processes cannot be listed. */
export interface Found {
  readonly pid: number
  readonly group: number
  /** Tells a process from a later one with the same pid. */
  readonly key: string
}

/** What to look for: the processes with a marker, those of their sessions, and those of a group. */
export interface Sought {
  readonly matches: (marker: string) => boolean
  readonly group?: number | undefined
  /** How long ago the first of them can have been started, in milliseconds; 0 when that is not known. */
  readonly forMs: number
}

/** What was found. */
export interface Sighting {
  readonly found: ReadonlyArray<Found>
  /** Whether the group still exists. Once it does not, its number may be given to somebody else: forget it. */
  readonly group: boolean
  /** There is a process in the middle of its `exec`, when its environment cannot be seen: look again. */
  readonly unsettled: boolean
}

interface Stat {
  readonly pid: number
  readonly gone: boolean
  readonly kernel: boolean
  readonly group: number
  readonly session: number
  readonly startedAt: string
}

/** The `code` of a Node error: `"ENOENT"`. */
export const errorCode = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "code") && Predicate.isString(error.code) ? error.code : undefined

/** As UTF-8, for which Node has a way without buffers: a scan must cost little beside starting a process. */
const read = (file: string) => Result.try(() => readFileSync(`/proc/${file}`, "utf8"))

const readStat = (pid: number): Stat | undefined => {
  const text = read(`${pid}/stat`)
  if (Result.isFailure(text)) return undefined
  // The second field is the program's name in parentheses and may hold anything; proc(5) counts from 1, this from 3.
  const fields = text.success.slice(text.success.lastIndexOf(")") + 2).split(" ")
  const number = (field: number) => Number(fields[field - 3])
  return {
    pid,
    // A zombie has ended; only its parent can remove its entry.
    gone: fields[0] === "Z" || fields[0] === "X",
    kernel: (number(9) & 0x00200000) !== 0,
    group: number(5),
    session: number(6),
    startedAt: fields[22 - 3] ?? ""
  }
}

/** A process's marker; `undefined` when it has none or may not be read, `"blank"` when it has no environment at all. */
const readMarker = (pid: number): { readonly marker: string } | "blank" | undefined => {
  const environ = read(`${pid}/environ`)
  if (Result.isFailure(environ)) return undefined
  if (environ.success === "") return "blank"
  const variables = `\0${environ.success}\0`
  const name = `\0${markerVariable}=`
  const at = variables.indexOf(name)
  return at === -1 ? undefined : { marker: variables.slice(at + name.length, variables.indexOf("\0", at + 1)) }
}

const listPids = (): ReadonlyArray<number> => {
  const names = Result.try(() => readdirSync("/proc"))
  if (Result.isFailure(names)) return []
  return names.success.map(Number).filter((pid) => Number.isInteger(pid) && pid !== self)
}

/** One reading of the whole table. Stats are read when they are asked for, once. */
class Table {
  readonly pids: ReadonlyArray<number>
  readonly markers = new Map<number, string>()
  readonly blank: Array<number> = []
  readonly #stats = new Map<number, Stat | undefined>()

  constructor(pids: ReadonlyArray<number>) {
    this.pids = pids
    for (const pid of pids) {
      const read = readMarker(pid)
      if (read === "blank") this.blank.push(pid)
      else if (read !== undefined) this.markers.set(pid, read.marker)
    }
  }

  stat(pid: number): Stat | undefined {
    if (!this.#stats.has(pid)) this.#stats.set(pid, readStat(pid))
    return this.#stats.get(pid)
  }

  /** Whether a process without an environment may be one that is about to have one. */
  isUnsettled(forMs: number): boolean {
    if (forMs === 0) return false
    // Start times are in ticks of 1/100 s since boot on every platform that Node runs on.
    const oldest = (uptime() - forMs / 1000 - 1) * 100
    return this.blank.some((pid) => {
      const stat = this.stat(pid)
      return stat !== undefined && !stat.gone && !stat.kernel && Number(stat.startedAt) >= oldest
    })
  }
}

/** Sends a signal to a process, or to a group when `pid` is negative; `false` when there is none. Signal 0 only asks. */
export const signal = (pid: number, name: NodeJS.Signals | 0): boolean => {
  const sent = Result.try(() => kill(pid, name))
  // EPERM: there is one, and it is not ours to end.
  return Result.isSuccess(sent) || errorCode(sent.failure) === "EPERM"
}

const lookInto = (table: Table, sought: Sought): Sighting => {
  const marked = [...table.markers].filter(([, marker]) => sought.matches(marker)).map(([pid]) => pid)
  const group = sought.group !== undefined && signal(-sought.group, 0) ? sought.group : undefined
  const unsettled = table.isUnsettled(sought.forMs)
  if (marked.length === 0 && group === undefined) return { found: [], group: false, unsettled }
  // Every command is started in a session of its own, so a session with one of its processes in it holds no others;
  // this finds those that have hidden their environment. Our own session is never touched.
  const own = readStat(self)?.session
  const sessions = new Set(marked.map((pid) => table.stat(pid)?.session))
  if (group !== undefined) sessions.add(group)
  sessions.delete(own)
  const found = table.pids.flatMap((pid) => {
    const stat = table.stat(pid)
    if (stat === undefined || stat.gone || stat.session === own) return []
    return sessions.has(stat.session) || stat.group === group
      ? [{ pid, group: stat.group, key: `${pid}@${stat.startedAt}` }]
      : []
  })
  return { found, group: group !== undefined, unsettled }
}

let waiting: Array<(table: Table) => void> = []

/** Reads the table once for all who ask in the same turn, so that 100 commands that end together cost what one does. */
const readTable: Effect.Effect<Table> = Effect.callback((resume) => {
  waiting.push((table) => resume(Effect.succeed(table)))
  if (waiting.length > 1) return
  setImmediate(() => {
    const readers = waiting
    waiting = []
    const table = new Table(listPids())
    for (const give of readers) give(table)
  })
})

/** Looks through all processes. */
export const look = (sought: Sought): Effect.Effect<Sighting> =>
  isLinux
    ? Effect.map(readTable, (table) => lookInto(table, sought))
    : Effect.sync(() => {
        const group = sought.group
        const found = group !== undefined && signal(-group, 0) ? [{ pid: -group, group, key: String(-group) }] : []
        return { found, group: found.length > 0, unsettled: false }
      })

/** The pids and markers of all processes that have one. */
export const markers: Effect.Effect<ReadonlyMap<number, string>> = isLinux
  ? Effect.map(readTable, (table) => table.markers)
  : Effect.succeed(new Map())

// ---
// what a command has left
// ---

/** The first processes of the commands that run: each carries its own command's marker, and need not be read. */
const leaders = new Set<number>()

/** A command has been started. */
export const started = (leader: number): void => void leaders.add(leader)

/** The first process of a command has ended. */
export const ended = (leader: number): void => void leaders.delete(leader)

/** The pid that was given last; 0 when that is not told. */
const lastPid = (): number => {
  const text = read("loadavg")
  return Result.isFailure(text) ? 0 : Number(text.success.trim().split(" ").at(-1)) || 0
}

/** How long pids cannot come round twice: they are given in order. */
const pidsAreInOrderForMs = 1000

/** How many pids are asked for one by one before the list of all is quicker. */
const fewPids = 64

/**
 * Whether there is one among the processes that were started after `first`, those included that are started while this
 * looks; `undefined` when those are many, or pids have begun again from the bottom.
 */
const isAnyAfter = (first: number, is: (pid: number) => boolean): boolean | undefined => {
  let seen = first
  while (true) {
    const last = lastPid()
    if (last === seen) return false
    if (last < seen || last - first > fewPids) return undefined
    while (seen < last) if (is(++seen)) return true
  }
}

/** Whether a process may be of the command with this first process and marker. Errs towards yes. */
const mayBeOf = (leader: number, marker: string) => (pid: number) => {
  // `kill` and `readFile` would throw, which costs more than all of the rest.
  if (leaders.has(pid) || !existsSync(`/proc/${pid}`)) return false
  const stat = readStat(pid)
  if (stat === undefined) return false
  if (stat.group === leader) return true
  const found = readMarker(pid)
  return found === "blank" ? !stat.gone && !stat.kernel : found?.marker === marker
}

/**
 * Whether a command whose first process `leader` has just ended left something. Cheap: of a command that was over
 * soon, only the processes that were started after it are looked at.
 */
export const leftSomething = (leader: number, marker: string, ranMs: number): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const any = isLinux && ranMs < pidsAreInOrderForMs ? isAnyAfter(leader, mayBeOf(leader, marker)) : undefined
    if (any !== undefined) return Effect.succeed(any)
    if (signal(-leader, 0)) return Effect.succeed(true)
    if (!isLinux) return Effect.succeed(false)
    return Effect.map(readTable, (table) => table.isUnsettled(ranMs) || [...table.markers.values()].includes(marker))
  })
