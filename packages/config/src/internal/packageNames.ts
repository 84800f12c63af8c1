/** Which strings are names of packages: nothing else is ever looked for on a disk or loaded. */
import { isBuiltin } from "node:module"

const part = String.raw`[A-Za-z0-9~_-][A-Za-z0-9._~-]*`

/** A package, or one of its entries: `@acme/helios-ssh`, `helios-ssh/plugin`. No path, no URL, no step upward. */
export const pattern: string = String.raw`^(?:@${part}/)?${part}(?:/${part})*$`

const named = new RegExp(pattern)

/** The package of one of its entries: `@acme/helios-ssh` of `@acme/helios-ssh/plugin`. */
export const packageOf = (name: string): string =>
  name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/")

/** Whether a string is the name of a package, and none of Node's own modules. */
export const isPackageName = (name: string): boolean => name.length <= 214 && named.test(name) && !isBuiltin(name)
