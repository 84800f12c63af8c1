/**
 * Processes that outlived their orchestrator, or left the process group they were started in.
 *
 * Everything that a command starts inherits the marker in its environment (`HELIOS_ATTEMPT`), and is found by it:
 * a browser in a session of its own, or what a killed orchestrator left. Works on Linux; elsewhere nothing is found
 * here, and only process groups are ended. A process that was started with an empty environment **and** in a session of
 * its own cannot be found by anybody.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as processTable from "./internal/processTable.ts"

/** How long processes have between TERM and KILL when nobody says. */
export const defaultKillGrace: Duration.Duration = Duration.seconds(5)

/** How long after KILL a process can still be there before it is given up on: one that hangs in the kernel. */
const afterKillMs = 5000

/** How long to wait for a process in the middle of its `exec` to show its environment. */
const unsettledMs = 100

/** How long to wait between looks at most. */
const longestPauseMs = 100

/** The variable in which a command's processes carry its marker. */
export const markerVariable: string = processTable.markerVariable

/** A running process that carries a marker. */
export interface Stray {
  readonly pid: number
  readonly marker: string
}

/** All running processes whose marker starts with `prefix`, in no order. */
export const find: (prefix: string) => Effect.Effect<ReadonlyArray<Stray>> = Effect.fnUntraced(function* (prefix) {
  const markers = yield* processTable.markers
  return [...markers].flatMap(([pid, marker]) => (marker.startsWith(prefix) ? [{ pid, marker }] : []))
})

/**
 * Ends all processes that carry exactly one of these markers, and all others in their sessions: TERM, and KILL after
 * `killGrace`. Gives the pids of those that are still there five seconds after that; an empty list means that none is.
 */
export const end: (
  markers: ReadonlyArray<string>,
  options?: { readonly killGrace?: Duration.Input | undefined }
) => Effect.Effect<ReadonlyArray<number>> = Effect.fn("Strays.end")(function* (markers, options) {
  const wanted = new Set(markers)
  const sought = { matches: (marker: string) => wanted.has(marker), forMs: 0 }
  return yield* endSought(sought, Duration.fromInputUnsafe(options?.killGrace ?? defaultKillGrace))
})

/** @internal */
export const endSought: (
  sought: processTable.Sought,
  killGrace: Duration.Duration
) => Effect.Effect<ReadonlyArray<number>> = Effect.fnUntraced(function* (sought, killGrace) {
  const graceMs = Duration.toMillis(killGrace)
  const startedAt = yield* Clock.monotonicTimeNanos
  const asked = new Set<string>()
  let group = sought.group
  let cleanLooks = 0
  let pauseMs = 1
  while (true) {
    const elapsedMs = Number((yield* Clock.monotonicTimeNanos) - startedAt) / 1e6
    const seen = yield* processTable.look({ ...sought, group })
    if (!seen.group) group = undefined
    // Twice, because a process can start another one and end while the list is being read.
    cleanLooks = seen.found.length === 0 && (!seen.unsettled || elapsedMs > unsettledMs) ? cleanLooks + 1 : 0
    if (cleanLooks === 2) return []
    if (elapsedMs < graceMs) {
      signalAll(
        seen.found.filter(({ key }) => !asked.has(key)),
        asked.size === 0 ? group : undefined,
        "SIGTERM"
      )
      for (const { key } of seen.found) asked.add(key)
    } else if (elapsedMs < graceMs + afterKillMs) {
      signalAll(seen.found, group, "SIGKILL")
    } else if (seen.found.length > 0) {
      return seen.found.map(({ pid }) => pid)
    }
    yield* Effect.sleep(elapsedMs < graceMs ? Math.min(pauseMs, graceMs - elapsedMs) : pauseMs)
    pauseMs = cleanLooks > 0 ? 1 : Math.min(pauseMs * 2, longestPauseMs)
  }
})

/** The group in one call, so that none of it can start another process in between; the others one by one. */
const signalAll = (found: ReadonlyArray<processTable.Found>, group: number | undefined, name: NodeJS.Signals): void => {
  if (group !== undefined && found.some((one) => one.group === group)) processTable.signal(-group, name)
  for (const one of found) if (group === undefined || one.group !== group) processTable.signal(one.pid, name)
}
