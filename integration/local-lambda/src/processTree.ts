/**
 * The end of an instance, as the platform does it: everything that runs in it is gone at once.
 *
 * A render command leads a process group of its own, so that killing the runtime's group would not reach it: processes are
 * found as children of children. What has cut itself off from its parents is not found.
 */
import { readdirSync, readFileSync } from "node:fs"
import process from "node:process"

/** Sends a signal to a process (or group, when negative), if it is still there. */
const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended.
  }
}

const parents = (): ReadonlyMap<number, number> => {
  const found = new Map<number, number>()
  let names: ReadonlyArray<string>
  try {
    names = readdirSync("/proc")
  } catch {
    return found // No Linux: groups have to do.
  }
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue
    try {
      // `pid (name) state parent …`, and a name can hold anything.
      const stat = readFileSync(`/proc/${name}/stat`, "latin1")
      const parent = /^ \S (\d+)/.exec(stat.slice(stat.lastIndexOf(")") + 1))?.[1]
      if (parent !== undefined) found.set(Number(name), Number(parent))
    } catch {
      // It ended while it was looked at.
    }
  }
  return found
}

/** Kills the leader of a process group, the group, and all that descends from it. */
export const killTree = (leader: number): void => {
  const tree = new Set([leader])
  let size: number
  do {
    size = tree.size
    // What is stopped starts nothing more.
    for (const pid of tree) signal(pid, "SIGSTOP")
    for (const [pid, parent] of parents()) if (tree.has(parent)) tree.add(pid)
  } while (tree.size > size)
  signal(-leader, "SIGKILL")
  for (const pid of tree) signal(pid, "SIGKILL")
}
