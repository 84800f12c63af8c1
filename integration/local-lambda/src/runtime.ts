/**
 * The program that an instance runs: Amazon's runtime client for Node.js, `aws-lambda-ric`, as it is in its package. Only
 * its native part is found elsewhere: what `build-rapid-client.ts` has built, or `RapidClient.ts` in its place.
 */
import { registerHooks } from "node:module"
import process from "node:process"
import { pathToFileURL } from "node:url"

const built = process.env["LOCAL_LAMBDA_RAPID_CLIENT"]
delete process.env["LOCAL_LAMBDA_RAPID_CLIENT"]
const client = built === undefined ? new URL("./RapidClient.ts", import.meta.url) : pathToFileURL(built)

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "./rapid-client.node" ? { url: client.href, shortCircuit: true } : next(specifier, context)
})

await import(import.meta.resolve("aws-lambda-ric"))
