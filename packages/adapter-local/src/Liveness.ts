/**
 * Whether the process that left something on a disk still lives: a hint, for whoever cleans up after it.
 *
 * Knows processes of this machine only, and mistakes none that got a number again that another one had. It ends nothing.
 */
export { of, self } from "./internal/liveness.ts"
