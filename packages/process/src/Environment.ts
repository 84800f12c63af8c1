/**
 * What a command gets to see of the orchestrator's environment: the variables on a list, and no others.
 *
 * The list lets programs find each other, their files and their locale. Credentials are not on it; a command that needs
 * one is given it by name, by the embedder.
 */
import * as Context from "effect/Context"
import { env } from "node:process"

/** Variables by name, as Node gives them. */
export type Variables = Readonly<Record<string, string | undefined>>

/**
 * The environment that the allow-list is applied to: by default this process's, read here and nowhere else.
 */
export const ParentEnvironment: Context.Reference<Variables> = Context.Reference(
  "@helios-infra/process/Environment/ParentEnvironment",
  { defaultValue: (): Variables => env }
)

/**
 * The names that pass when nobody says otherwise. A trailing `*` stands for any ending.
 *
 * Proxy variables, `NODE_OPTIONS`, `SSH_AUTH_SOCK` and everything of a cloud's or a registry's are left out: they carry
 * credentials, or change what a program does.
 */
export const defaultAllowed: ReadonlyArray<string> = [
  // where programs, libraries and files are
  "PATH",
  "LD_LIBRARY_PATH",
  "DYLD_LIBRARY_PATH",
  "HOME",
  "TMPDIR",
  "XDG_CACHE_HOME",
  "XDG_CONFIG_HOME",
  "XDG_DATA_HOME",
  "XDG_DATA_DIRS",
  "XDG_RUNTIME_DIR",
  // who and where we are
  "USER",
  "LOGNAME",
  "SHELL",
  "LANG",
  "LANGUAGE",
  "LC_*",
  "TZ",
  // certificates that the machine trusts
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
  // screens, graphics cards, fonts
  "DISPLAY",
  "WAYLAND_DISPLAY",
  "XAUTHORITY",
  "CUDA_VISIBLE_DEVICES",
  "NVIDIA_VISIBLE_DEVICES",
  "NVIDIA_DRIVER_CAPABILITIES",
  "LIBVA_DRIVER_NAME",
  "FONTCONFIG_FILE",
  "FONTCONFIG_PATH",
  // what renderers look for
  "FFMPEG_PATH",
  "FFPROBE_PATH",
  "PLAYWRIGHT_BROWSERS_PATH",
  "PUPPETEER_CACHE_DIR",
  "PUPPETEER_EXECUTABLE_PATH",
  "CHROME_PATH",
  "HELIOS_BROWSER_ARGS"
]

/**
 * The variables of `parent` whose names are in `allowed`: exactly, or by a pattern with a trailing `*`.
 *
 * ```ts
 * import * as Environment from "@helios-infra/process/Environment"
 *
 * Environment.pick({ PATH: "/bin", LC_ALL: "C", AWS_SECRET_ACCESS_KEY: "…" }, ["PATH", "LC_*"])
 * // => { PATH: "/bin", LC_ALL: "C" }
 * ```
 */
export const pick = (
  parent: Variables,
  allowed: ReadonlyArray<string> = defaultAllowed
): Readonly<Record<string, string>> => {
  const exact = new Set(allowed)
  const prefixes = allowed.filter((name) => name.endsWith("*")).map((name) => name.slice(0, -1))
  const passes = (name: string) => exact.has(name) || prefixes.some((prefix) => name.startsWith(prefix))
  return Object.fromEntries(
    Object.entries(parent).filter((entry): entry is [string, string] => entry[1] !== undefined && passes(entry[0]))
  )
}
