/**
 * One connection per repository that says that its process lives, by an advisory lock that Postgres lets go of with the
 * connection, and that hears what other processes tell.
 *
 * When it is lost, it is made again. What was told in between is missed: those who wait look for themselves now and then.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { randomInt } from "node:crypto"
import type * as signals from "./signals.ts"

interface Options {
  /** The lock's number. */
  readonly token: string
  readonly channel: string
  readonly signals: signals.Signals
}

/** How long the lock may take to be given back before it is left to the server. */
const unlockTimeout = Duration.seconds(1)

/** A number that no other process has. */
export const newToken = (): string => String(randomInt(2 ** 32 - 1, 2 ** 48 - 1))

/** What a notification says: who tells it, of which job, and what. */
export const payload = (token: string, job: number, kind: signals.Kind | undefined): string =>
  `${token} ${job} ${kind ?? "all"}`

const hear = ({ signals, token }: Options, text: string): void => {
  const [by, job, kind] = text.split(" ")
  // Those of this process were woken when it was done.
  if (by === token) return
  signals.wake(Number(job), kind === "events" || kind === "requests" ? kind : undefined)
}

/** The pauses between tries to connect again: half a second at most. */
const pauses = Schedule.min([Schedule.exponential(20), Schedule.spaced(500)])

/** Is present until the scope closes. Fails when it cannot be to begin with; from then on it goes on trying. */
export const keep = Effect.fnUntraced(function* (
  config: PgConnection.Config,
  options: Options
): Effect.fn.Return<void, SqlError, Scope.Scope> {
  const present = yield* Deferred.make<void, SqlError>()
  const once = Effect.gen(function* () {
    const connection = yield* Effect.flatMap(PgConnection.make(config), ({ pin }) => pin)
    const heard = yield* connection.listen(options.channel)
    // Waits for an earlier connection of this process that the server has not given up yet.
    yield* Effect.acquireRelease(connection.query("SELECT pg_advisory_lock($1::bigint)", [options.token]), () =>
      // The server takes its time to notice that a connection was closed.
      Effect.ignore(Effect.timeout(connection.query("SELECT pg_advisory_unlock_all()"), unlockTimeout))
    )
    yield* Deferred.succeed(present, undefined)
    options.signals.wakeAll()
    return yield* Effect.forever(Effect.map(Queue.take(heard), ({ payload }) => hear(options, payload)))
  }).pipe(Effect.scoped)
  const fiber = yield* once.pipe(
    Effect.tapError((error) => Deferred.fail(present, error)),
    // Whatever it was, it must not be the end of it.
    Effect.catchDefect((cause) => Effect.fail(new SqlError({ reason: new UnknownError({ cause }) }))),
    Effect.retry(pauses),
    Effect.forkScoped
  )
  yield* Effect.onError(Deferred.await(present), () => Fiber.interrupt(fiber))
})
