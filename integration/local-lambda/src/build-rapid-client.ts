/**
 * Builds the native part of `aws-lambda-ric` (its curl, its C++ runtime, its addon) where a C++ compiler, cmake and make
 * are there, and says in a word that it did not where they are not. The package's own scripts would do the same at every
 * install, with Node's headers from the network; here it happens on demand, once, with the headers of the Node that runs.
 *
 * `node src/build-rapid-client.ts`; takes half a minute. Always exits with 0: tests go without it.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { builtClient } from "./builtClient.ts"

const has = (program: string): boolean => spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0

const packageOf = (name: string, from: string): string => dirname(createRequire(from).resolve(`${name}/package.json`))

/** The folder with Node's headers: beside the program, as in every distribution of it. */
const headers = (): string | undefined =>
  [join(dirname(process.execPath), "../include/node"), join(dirname(process.execPath), "../../include/node")].find(
    (folder) => existsSync(join(folder, "node_api.h"))
  )

const build = (): string => {
  if (existsSync(builtClient)) return "is there already"
  const missing = ["cmake", "make", "g++", "tar", "xz"].filter((program) => !has(program))
  const include = headers()
  if (include === undefined) missing.push("Node's headers")
  if (missing.length > 0 || include === undefined) return `is not built, for want of ${missing.join(", ")}`

  const runtimeClient = packageOf("aws-lambda-ric", import.meta.url)
  const addonApi = packageOf("node-addon-api", join(runtimeClient, "package.json"))
  // Its scripts build in their own folder, and that of the package is shared with other checkouts.
  const work = `${dirname(builtClient)}.${process.pid}`
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  try {
    for (const part of ["deps", "scripts", "src"])
      cpSync(join(runtimeClient, part), join(work, part), { recursive: true })
    const run = (program: string, args: ReadonlyArray<string>) =>
      execFileSync(program, args, { cwd: work, stdio: ["ignore", "ignore", "pipe"], maxBuffer: 2 ** 26 })
    run("sh", ["scripts/preinstall.sh"])
    const artifacts = join(work, "deps/artifacts")
    const flags = ["-shared", "-fPIC", "-O2", "-std=c++20", "-DNODE_ADDON_API_CPP_EXCEPTIONS"]
    const includes = [include, addonApi, join(artifacts, "include")].flatMap((folder) => ["-I", folder])
    const libraries = ["libaws-lambda-runtime.a", "libcurl.a"].map((name) => join(artifacts, "lib", name))
    const built = "rapid-client.node"
    run("g++", [...flags, ...includes, "src/native/rapid-client.cc", ...libraries, "-pthread", "-o", built])
    mkdirSync(dirname(builtClient), { recursive: true })
    renameSync(join(work, built), builtClient)
    return "is built"
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).slice(-2000) : String(error)
    return `could not be built:\n${said}`
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`the native part of aws-lambda-ric ${build()}\n`)
}
