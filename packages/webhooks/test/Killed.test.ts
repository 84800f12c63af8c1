/** A real process with jobs and cursors on the disk, killed again and again between an event and its cursor. */
import { FileJobRepository } from "@helios-infra/adapter-local"
import { assert, it } from "@effect/vitest"
import { WebhookSignature } from "@helios-infra/webhooks"
import { Effect, Redacted, Stream } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Receiver from "./Receiver.ts"

const program = path.join(import.meta.dirname, "fixtures", "sender.ts")

const chunks = 40

const mostKills = 6

it.live(
  "a process that is killed between an event and its cursor leaves nothing out, and keeps the order",
  () =>
    Effect.gen(function* () {
      const dir = yield* Effect.acquireRelease(
        Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "webhooks-killed-"))),
        (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
      )
      const secret = Redacted.value(yield* WebhookSignature.newSecret)
      let child: ReturnType<typeof spawn> | undefined
      let kills = 0
      let sinceStart = 0
      let completed = false
      const receiver = yield* Receiver.make([secret], (response, { verified }, count) => {
        sinceStart++
        // Every third event from the start of a process: received, and its process dead before it can know, or just after.
        if (sinceStart % 3 === 0 && kills < mostKills) {
          kills++
          if (kills % 3 === 0) child?.kill("SIGKILL")
          response.writeHead(kills % 3 === 1 ? 500 : 204).end(() => child?.kill("SIGKILL"))
          return
        }
        const status = count % 7 === 0 ? 503 : 204
        completed = verified.event.type === "job.completed" && status === 204
        response.writeHead(status).end(() => completed && child?.kill("SIGKILL"))
      })
      const run = Effect.acquireUseRelease(
        Effect.sync(() => {
          sinceStart = 0
          return (child = spawn(
            process.execPath,
            ["--conditions=@helios-infra/source", program, dir, receiver.url, secret, String(chunks)],
            {
              stdio: ["ignore", "ignore", "inherit"],
              env: { ...process.env, NODE_COMPILE_CACHE: path.join(tmpdir(), "webhooks-compile-cache") }
            }
          ))
        }),
        (child) => Effect.promise(() => once(child, "exit").then(() => child.exitCode)),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      for (let runs = 0; !completed; runs++) {
        assert.isAtMost(runs, mostKills)
        assert.isNull(yield* run, "it ended by itself")
      }
      assert.strictEqual(kills, mostKills)

      const jobs = yield* FileJobRepository.make({ dir: path.join(dir, "jobs") })
      const journal = yield* Stream.runCollect(jobs.read("film"))
      const expected = journal.flatMap(({ event, revision }) => (event._tag === "Stitched" ? [] : [revision]))
      const places = receiver.received.map(({ verified }) => verified.event.sequence)
      const first = places.filter((place, index) => places.indexOf(place) === index)
      assert.deepStrictEqual(first, expected)
      assert.deepStrictEqual(
        places,
        places.toSorted((a, b) => a - b)
      )
      assert.isAbove(places.length, first.length)
      const ids = new Set(receiver.received.map(({ verified }) => verified.id))
      assert.strictEqual(ids.size, first.length)
    }),
  180_000
)
