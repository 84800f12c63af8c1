/** What in a module is a plugin. */
import * as Predicate from "effect/Predicate"
import { types } from "node:util"

/** What a plugin says of itself, for this version of the contract or another one. */
export interface Claim {
  readonly kind: string
  readonly type: string
  readonly apiVersion: unknown
}

const isClaim = (value: unknown): value is Claim =>
  Predicate.isObject(value) &&
  Predicate.hasProperty(value, "kind") &&
  Predicate.isString(value.kind) &&
  Predicate.hasProperty(value, "type") &&
  Predicate.isString(value.type) &&
  Predicate.hasProperty(value, "apiVersion")

/**
 * The plugins that a module exports, whatever it calls them: by themselves, or in modules that it passes on
 * (`export * as SshPlugin from …`). Each once.
 */
export const pluginsOf = (module: object): ReadonlyArray<Claim> => {
  const exported = Object.values<unknown>({ ...module })
  const passedOn = exported.filter(isModule).flatMap((inner) => Object.values<unknown>({ ...inner }))
  return [...new Set([...exported, ...passedOn])].filter(isClaim)
}

const isModule = (value: unknown): value is object => types.isModuleNamespaceObject(value)
