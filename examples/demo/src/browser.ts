/**
 * Unpacks the Chromium that `@sparticuz/chromium` carries, once per machine and user.
 *
 * That package unpacks straight into the temporary folder and takes a half-written file for a finished one, so two
 * workers that start together would trip over each other. Here it unpacks into a folder of its own, which then gets its
 * name in one rename: whoever comes second finds it whole, or loses the race and uses the winner's.
 */
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { arch, platform, tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"

/** A Chromium that can be started. */
export interface Chromium {
  readonly executablePath: string
  /** What to add to its environment: its own fonts, so that text looks the same on every machine. */
  readonly env: Readonly<Record<string, string>>
}

/** Whether the folder is there and ours: anybody may write to a temporary folder. */
const isOurs = (folder: string): Promise<boolean> =>
  stat(folder).then(
    (info) => info.isDirectory() && info.uid === process.getuid?.(),
    () => false
  )

const fontsConf = (home: string): string => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${join(home, "fonts")}</dir><cachedir>${join(home, "fonts-cache")}</cachedir></fontconfig>
`

/**
 * Makes sure that there is a Chromium and says where. `CHROMIUM_PATH` wins; else it is unpacked below the temporary
 * folder (`TMPDIR`): 210 MB, about 2 s the first time, nothing after that.
 */
export const ensureChromium = async (): Promise<Chromium> => {
  const chosen = process.env["CHROMIUM_PATH"]
  if (chosen !== undefined && chosen !== "") return { executablePath: chosen, env: {} }
  if (platform() !== "linux" || arch() !== "x64") {
    throw new Error(`no Chromium comes with this example for ${platform()} ${arch()}: point CHROMIUM_PATH at one`)
  }
  const require = createRequire(import.meta.url)
  const entry = require.resolve("@sparticuz/chromium")
  const manifest = await readFile(join(entry, "../../package.json"), "utf8")
  const version = /"version": "([^"]+)"/.exec(manifest)?.[1] ?? "unknown"
  const home = join(tmpdir(), `helios-demo-chromium-${version}-${process.getuid?.()}`)
  const chromium = { executablePath: join(home, "chromium"), env: { FONTCONFIG_FILE: join(home, "fonts.conf") } }
  if (await isOurs(home)) return chromium

  const staging = await mkdtemp(`${home}-`)
  try {
    // In a process of its own, because the package only takes its target from TMPDIR.
    const script = `(await import(${JSON.stringify(entry)})).default.executablePath()`
    await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
      env: { ...process.env, TMPDIR: staging }
    })
    await writeFile(join(staging, "fonts.conf"), fontsConf(home))
    await rename(staging, home).catch(async (error: unknown) => {
      if (!(await isOurs(home))) throw error
    })
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  return chromium
}
