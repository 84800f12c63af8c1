/** Loads packages that bring plugins, once a configuration names them. */
import * as Plugin from "@helios-infra/core/Plugin"
import type { Workspace } from "@helios-infra/core/Workspace"
import * as Effect from "effect/Effect"
import { pathToFileURL } from "node:url"
import * as path from "node:path"
import { UnusablePackage } from "../ConfigFileError.ts"
import type * as FirstParty from "../FirstParty.ts"
import { type AnyPlugin, isPlugin } from "../HeliosConfig.ts"
import { importFrom, type ImportError, load } from "./importModule.ts"
import { isPackageName, packageOf } from "./packageNames.ts"
import { type Claim, pluginsOf } from "./pluginsOf.ts"

// ---
// packages of others
// ---

/**
 * The plugins of a package that a configuration names, found as an `import` in that folder would find it. A package is
 * loaded by its name only, so that data can run nothing that was not installed.
 */
export const loadPackage = Effect.fnUntraced(function* (
  name: string,
  folder: string
): Effect.fn.Return<ReadonlyArray<AnyPlugin>, UnusablePackage> {
  const unusable = (why: UnusablePackage["why"], detail: string, cause?: unknown) =>
    new UnusablePackage({ package: name, why, detail, ...(cause === undefined ? undefined : { cause }) })
  if (!isPackageName(name)) {
    const detail =
      'it is not the name of a package such as "@acme/helios-ssh". Paths and URLs are not taken: import a plugin of your own in a helios.config.ts'
    return yield* unusable("InvalidName", detail)
  }
  const module = yield* Effect.mapError(importFrom(name, moduleIn(folder)), (error) =>
    error.isMissing(packageOf(name))
      ? unusable(
          "NotInstalled",
          `the package is not installed in ${folder} or above it: npm install ${packageOf(name)}`
        )
      : unusable("CannotLoad", `the package could not be loaded: ${error.message}`, error.cause)
  )
  const claims = pluginsOf(module)
  if (claims.length === 0) {
    const detail = `the package exports no plugin: what it exports is ${Object.keys(module).join(", ") || "nothing"}`
    return yield* unusable("NoPlugin", detail)
  }
  for (const { apiVersion, kind, type } of claims) {
    if (apiVersion === Plugin.apiVersion) continue
    const reason = new Plugin.UnsupportedApiVersion({ found: apiVersion })
    return yield* unusable("UnsupportedApiVersion", `of its ${kind} ${JSON.stringify(type)}, ${reason.message}`)
  }
  const plugins = claims.filter(isPlugin)
  if (plugins.length < claims.length) {
    const other = claims.find((claim) => !isPlugin(claim))
    const detail = `its ${other?.kind} ${JSON.stringify(other?.type)} is no plugin: make it with definePlugin`
    return yield* unusable("NoPlugin", detail)
  }
  return plugins
})

// ---
// our own
// ---

/** Stands for a plugin of ours, which is loaded when its options are read. */
export const lazy = <K extends Plugin.Kind>(
  kind: K,
  type: string,
  source: FirstParty.Source,
  folder: string
): Plugin.Resolvable<K, Workspace> => {
  const fail = (reason: Plugin.PluginReason) => new Plugin.PluginError({ kind, type, reason })
  const plugin = Effect.gen(function* () {
    const module = yield* loadOurs(source, folder).pipe(
      Effect.mapError((error) =>
        fail(
          error.isMissing(source.package)
            ? new Plugin.NotInstalled({ package: source.package })
            : new Plugin.CannotLoad({ package: source.package, cause: error.cause })
        )
      )
    )
    const claim = pluginsOf(module).find((one) => one.kind === kind && one.type === type)
    if (claim !== undefined && claim.apiVersion !== Plugin.apiVersion) {
      return yield* fail(new Plugin.UnsupportedApiVersion({ found: claim.apiVersion }))
    }
    if (!isOf(kind, claim)) {
      const cause = new Error(`it has no ${kind} of this type: update it`)
      return yield* fail(new Plugin.CannotLoad({ package: source.package, cause }))
    }
    return claim
  })
  return {
    kind,
    type,
    apiVersion: Plugin.apiVersion,
    resolve: (options) => Effect.flatMap(plugin, ({ resolve }) => resolve(options))
  }
}

const isOf = <K extends Plugin.Kind>(
  kind: K,
  claim: Claim | undefined
): claim is Plugin.Resolvable<K, Workspace> & Claim => isPlugin(claim) && claim.kind === kind

/** As this package finds it; else, for a program that is installed elsewhere than its packages, from the folder. */
const loadOurs = (source: FirstParty.Source, folder: string): Effect.Effect<object, ImportError> =>
  Effect.catchIf(
    load(source.load),
    (error) => error.isMissing(source.package),
    () => importFrom(source.specifier, moduleIn(folder))
  )

/** Some module in a folder, for what is found from there. */
const moduleIn = (folder: string): string => pathToFileURL(path.join(folder, "helios.config.js")).href
