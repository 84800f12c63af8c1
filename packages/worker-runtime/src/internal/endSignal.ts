/** The signals by which a process is told to end. */
import * as Effect from "effect/Effect"
import process from "node:process"

const signals = ["SIGTERM", "SIGINT"] as const

/**
 * Waits for the first one, in place of ending the process. A second one of any kind does what it does where nobody waits.
 */
export const next: Effect.Effect<void> = Effect.callback<void>((resume) => {
  const forget = () => {
    for (const signal of signals) process.off(signal, end)
  }
  const end = () => {
    forget()
    resume(Effect.void)
  }
  for (const signal of signals) process.on(signal, end)
  return Effect.sync(forget)
})
