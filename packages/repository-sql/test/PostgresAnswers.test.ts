/** What becomes of a statement that the server has carried out, when its answer never comes. */
import { assert, describe, it } from "@effect/vitest"
import * as PostgresJobRepository from "@helios-infra/repository-sql/PostgresJobRepository"
import { Effect, Redacted } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { created, founds, journal, lost, open } from "./Jobs.ts"
import * as Places from "./Places.ts"
import * as Postgres from "./Postgres.ts"

const server = Postgres.shared()
const place = Places.postgres(server)

/** What comes between a repository and its server: it cuts the next connection that says something, before the answer. */
const proxied = Effect.gen(function* () {
  const here = yield* place
  const { schema, url } = Places.optionsOf(here.address)
  const through = new URL(Redacted.value(url))
  const { port } = yield* server
  const sockets = new Set<Socket>()
  let cutAt: string | undefined
  let cuts = 0
  const proxy = yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const proxy = createServer((client) => {
        const upstream = connect(port, "127.0.0.1")
        let cut = false
        sockets.add(client).add(upstream)
        client.on("data", (data) => {
          if (cutAt !== undefined && data.includes(cutAt)) {
            cutAt = undefined
            cut = true
            cuts++
          }
          upstream.write(data)
        })
        upstream.on("data", (data) => {
          if (cut) client.destroy()
          else client.write(data)
        })
        const end = () => {
          client.destroy()
          upstream.destroy()
        }
        for (const socket of [client, upstream]) socket.on("error", end).on("close", end)
      })
      proxy.listen(0, "127.0.0.1", () => resume(Effect.succeed(proxy)))
    }),
    (proxy) =>
      Effect.sync(() => {
        proxy.close()
        for (const socket of sockets) socket.destroy()
      })
  )
  const address = proxy.address()
  through.port = String(typeof address === "object" ? address?.port : "")
  const jobs = yield* PostgresJobRepository.make({ url: Redacted.make(through.href), schema, connections: 1 })
  return {
    ...here,
    jobs,
    /** Cuts the connection that says this next. */
    cutAt: (text: string) => Effect.sync(() => void (cutAt = text)),
    /** Ends all connections: those that are made then have to say every statement in words once more. */
    renew: Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    }),
    cuts: () => cuts
  }
})

describe("an answer that is lost", () => {
  it.live("to an append: it is written once, and those after it follow", () =>
    Effect.gen(function* () {
      const { cutAt, cuts, jobs } = yield* proxied
      yield* jobs.create("job", created)
      const writer = yield* open(jobs)
      for (const text of ["first", "second", "third"]) {
        yield* cutAt(text)
        const records = yield* writer.append([lost(text), lost(`${text}, again`)])
        assert.strictEqual(records.length, 2)
      }
      assert.strictEqual(cuts(), 3)
      const [record] = yield* writer.append([lost("last")])
      assert.strictEqual(record?.revision, 8)
      const all = ["first", "first, again", "second", "second, again", "third", "third, again", "last"]
      assert.deepStrictEqual(yield* founds(jobs), all)
    })
  )

  it.live("to an append of a run that was then taken over: what was written counts", () =>
    Effect.gen(function* () {
      const { cutAt, jobs, query } = yield* proxied
      yield* jobs.create("job", created)
      const writer = yield* open(jobs)
      yield* query(
        "CREATE FUNCTION {fence}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.run := 2; RETURN NEW; END'"
      )
      // As if the next run had begun between the append and its second try.
      yield* query(
        "CREATE TRIGGER fence BEFORE UPDATE ON {jobs} FOR EACH ROW WHEN (NEW.revision = 2) EXECUTE FUNCTION {fence}()"
      )
      yield* cutAt("written")
      yield* writer.append([lost("written")])
      const error = yield* Effect.flip(writer.append([lost("late")]))
      assert.strictEqual(error.reason._tag, "Fenced")
      assert.deepStrictEqual(yield* founds(jobs), ["written"])
    })
  )

  it.live.each(["a nasty job", "COMMIT"])("to a creation, at %j: the job is there once, and not in the way", (text) =>
    Effect.gen(function* () {
      const { cutAt, cuts, jobs, renew } = yield* proxied
      yield* renew
      yield* cutAt(text)
      yield* jobs.create("a nasty job", created)
      assert.strictEqual(cuts(), 1)
      assert.strictEqual((yield* journal(jobs, "a nasty job")).length, 1)
      assert.strictEqual((yield* Effect.flip(jobs.create("a nasty job", created))).reason._tag, "AlreadyExists")
    })
  )

  it.live.each(["holder", "DELETE FROM", "COMMIT"])("to the beginning of a run, at %j: it has the run", (text) =>
    Effect.gen(function* () {
      const { cutAt, cuts, jobs, renew } = yield* proxied
      yield* jobs.create("job", created)
      yield* renew
      yield* cutAt(text)
      const writer = yield* open(jobs)
      assert.strictEqual(cuts(), 1)
      assert.strictEqual(writer.run, 1)
      yield* writer.append([lost("a")])
      yield* writer.close
      assert.strictEqual((yield* open(jobs)).run, 2)
    })
  )

  it.live("to a request: it is heard once", () =>
    Effect.gen(function* () {
      const { cutAt, cuts, jobs, query } = yield* proxied
      yield* jobs.create("job", created)
      yield* cutAt("who asks")
      yield* jobs.request("job", { _tag: "Cancel", by: "who asks" })
      assert.strictEqual(cuts(), 1)
      assert.strictEqual((yield* query("SELECT 1 FROM {requests}")).length, 1)
    })
  )

  it.live("to a deletion: the job is gone, and that is no error", () =>
    Effect.gen(function* () {
      const { cutAt, cuts, jobs, query } = yield* proxied
      yield* jobs.create("job", created)
      yield* cutAt("DELETE FROM")
      yield* jobs.delete("job")
      assert.strictEqual(cuts(), 1)
      for (const table of ["jobs", "events", "requests"]) {
        assert.deepStrictEqual(yield* query(`SELECT * FROM {${table}}`), [], table)
      }
    })
  )
})
