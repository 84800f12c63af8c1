import { assert, describe, it } from "@effect/vitest"
import * as Strays from "@helios-infra/process/Strays"
import { Effect, Schedule } from "effect"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { join } from "node:path"
import { sandbox, tagged, written } from "./fixtures/processes.ts"

/** Runs a script under an orchestrator of its own, and kills that one when the script says `ready`. */
const orphan = Effect.fnUntraced(function* (name: string, script: string) {
  const { dir, env, tag } = yield* sandbox
  const orchestrator = spawn(
    process.execPath,
    ["--conditions=@helios-infra/source", join(import.meta.dirname, "fixtures", "orchestrator.ts"), name, script],
    { env, stdio: ["ignore", "pipe", "inherit"] }
  )
  const told: ReadonlyArray<unknown> = yield* Effect.promise(() => once(orchestrator.stdout, "data"))
  yield* written(join(dir, "ready"))
  orchestrator.kill("SIGKILL")
  yield* Effect.promise(() => once(orchestrator, "exit"))
  return { tag, marker: String(told[0]).trim() }
})

/** Four processes, two of them in a session of their own, that stay as they are. */
const script = `
  sleep 600 &
  setsid sh -c 'trap "" TERM; sleep 600 & echo ready > $DIR/ready; wait' > /dev/null 2>&1 &
  wait`

describe("what a killed orchestrator left", () => {
  it.live("is found by the beginning of its marker, and ended by all of it", () =>
    Effect.gen(function* () {
      const name = `job-${randomUUID()}`
      const { marker, tag } = yield* orphan(name, script)
      const found = yield* Strays.find(`${name}~`).pipe(
        // One that has just been forked shows its marker only when its program has begun.
        Effect.repeat({ until: ({ length }) => length === 4, schedule: Schedule.spaced("10 millis") }),
        Effect.timeout("20 seconds")
      )
      assert.sameMembers(
        found.map(({ pid }) => pid),
        tagged(tag)
      )
      assert.deepStrictEqual([...new Set(found.map((stray) => stray.marker))], [marker])

      assert.deepStrictEqual(yield* Strays.end([name], { killGrace: "50 millis" }), [])
      assert.isNotEmpty(tagged(tag), "the beginning of a marker ends nothing")

      assert.deepStrictEqual(yield* Strays.end([marker, "another"], { killGrace: "50 millis" }), [])
      assert.deepStrictEqual(tagged(tag), [])
      assert.deepStrictEqual(yield* Strays.find(name), [])
    })
  )

  it.live("is nothing when there is nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Strays.find(randomUUID()), [])
      assert.deepStrictEqual(yield* Strays.end([randomUUID()]), [])
      assert.deepStrictEqual(yield* Strays.end([]), [])
    })
  )
})
