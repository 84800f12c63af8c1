/**
 * Runs in a user's project, under any Node: imports each entry that it is given, and prints what is wrong, as JSON.
 *
 * Each must export something, and change nothing that others can see, which is what `sideEffects: false` promises. What
 * libraries and Node's own modules do when they are loaded is not ours: they are loaded before.
 */
const { closed, entries, others } = JSON.parse(process.argv[2])

const builtins = { Array, Error, Function, JSON, Map, Math, Number, Object, Promise, RegExp, Set, String, Symbol }

/** All that a module could change for others. Effect keeps books of its own, under names of its own. */
const visible = () =>
  new Set([
    ...Object.entries({ globalThis, ...builtins }).flatMap(([name, value]) =>
      [value, value.prototype ?? {}].flatMap((owner) => Reflect.ownKeys(owner).map((key) => `${name} ${String(key)}`))
    ),
    ...process.eventNames().map((event) => `process.on ${String(event)} ${process.listenerCount(event)}`),
    ...Object.entries(process.env).map((pair) => `process.env ${pair.join("=")}`),
    // Standard output and error are pipes.
    ...process.getActiveResourcesInfo().filter((name) => name !== "PipeWrap"),
    `Error.stackTraceLimit ${Error.stackTraceLimit}`,
    `process.cwd ${process.cwd()}`
  ])

const wrong = []
// One after the other, to know which of them did it.
/* oxlint-disable no-await-in-loop */
for (const other of others) await import(other)
for (const entry of entries) {
  const before = visible()
  try {
    if (Object.keys(await import(entry)).length === 0) wrong.push(`${entry} exports nothing`)
  } catch (error) {
    wrong.push(`${entry} cannot be imported: ${String(error)}`)
  }
  const changed = [...visible().symmetricDifference(before)].filter((key) => !key.startsWith("globalThis ~effect/"))
  if (changed.length > 0) wrong.push(`importing ${entry} changes ${changed.join(", ")}`)
}
for (const entry of closed) {
  const code = await import(entry).then(
    () => "it can",
    (error) => error.code
  )
  if (code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") wrong.push(`${entry} can be imported: ${code}`)
}
console.log(JSON.stringify(wrong))
