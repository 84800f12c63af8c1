/**
 * Whether the process that wrote a journal last still lives: a hint, which spares a living one from being taken over.
 * Safety does not depend on it.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Owner } from "@helios-infra/core/JobEvent"
import * as fs from "node:fs/promises"
import { hostname } from "node:os"
import { file } from "./files.ts"

/** Whether a process lives; of one on another machine nothing is known. */
export const of = Effect.fnUntraced(function* (owner: Owner): Effect.fn.Return<"alive" | "dead" | "unknown"> {
  if (owner.host !== hostname() || owner.pid === undefined) return "unknown"
  const bootId = yield* readBootId
  if (owner.bootId !== undefined && bootId !== undefined && owner.bootId !== bootId) return "dead"
  if (!exists(owner.pid)) return "dead"
  const processStart = yield* startOf(owner.pid)
  // Numbers of processes are used again.
  if (owner.processStart === undefined || processStart === undefined) {
    return owner.processStart === undefined ? "unknown" : "dead"
  }
  return owner.processStart === processStart ? "alive" : "dead"
})

const read = (name: string): Effect.Effect<string | undefined> =>
  file(() => fs.readFile(name, "utf8")).pipe(Effect.catch(() => Effect.undefined))

const readBootId = Effect.map(read("/proc/sys/kernel/random/boot_id"), (text) => text?.trim())

/** When a process started, in clock ticks since boot; `undefined` for one that has ended, and where there is no `/proc`. */
const startOf = (pid: number): Effect.Effect<string | undefined> =>
  Effect.map(read(`/proc/${pid}/stat`), (text) => {
    // The name before the last parenthesis can hold anything.
    const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ")
    const ended = fields?.[0] === "Z" || fields?.[0] === "X"
    return ended ? undefined : fields?.[19]
  })

/** Whether there is a process of that number. One that may not be signalled is there as well. */
const exists = (pid: number): boolean =>
  Result.match(Result.try({ try: () => process.kill(pid, 0), catch: (cause) => cause }), {
    onSuccess: () => true,
    onFailure: (cause) => cause instanceof Error && "code" in cause && cause.code === "EPERM"
  })

const readSelf: Effect.Effect<Owner> = Effect.gen(function* () {
  const bootId = yield* readBootId
  const processStart = yield* startOf(process.pid)
  return {
    host: hostname(),
    pid: process.pid,
    ...(bootId === undefined ? undefined : { bootId }),
    ...(processStart === undefined ? undefined : { processStart })
  }
})

/** This process, looked up once. What the system does not tell is left out. */
export const self: Effect.Effect<Owner> = Effect.runSync(Effect.cached(readSelf))
