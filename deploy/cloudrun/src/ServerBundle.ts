/**
 * What the service runs as one file: the worker's server, Google's client for its storage, and all that they need.
 *
 * Node alone runs it, so that the image has no `node_modules` but the renderer's.
 */
import * as Bundle from "@helios-infra/deploy-bundle"
import { join } from "node:path"

const folder = join(import.meta.dirname, "..")

/** Bundles `worker/server.ts`, or another entry that serves, into `server.mjs`. */
export const bundle = (entry: string = join(folder, "worker/server.ts")): Promise<Bundle.Bundle> =>
  Bundle.bundle({ folder, name: "server", entry })
