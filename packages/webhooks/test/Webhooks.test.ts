/** Order, retries and memory on the test clock, with a client that answers from a script. */
import { assert, describe, it } from "@effect/vitest"
import { JobManager, JobRepository, WholeJobRepository, type JobState } from "@helios-infra/core"
import { FakeMachine } from "@helios-infra/testkit"
import { WebhookCursors, WebhookEndpoint, Webhooks, WebhookSignature } from "@helios-infra/webhooks"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as FakeClient from "./FakeClient.ts"
import * as Jobs from "./Jobs.ts"
import * as SyncCrypto from "./SyncCrypto.ts"
import { settle } from "./SyncCrypto.ts"

SyncCrypto.install()

type Kept = JobRepository.JobRepository | WebhookCursors.WebhookCursors

/** What outlives a process: jobs and cursors. */
const makeKept = (jobs: Layer.Layer<JobRepository.JobRepository> = Layer.fresh(JobRepository.layerMemory)) =>
  Layer.build(Layer.mergeAll(jobs, Layer.fresh(WebhookCursors.layerMemory)))

type Options = Partial<Omit<Webhooks.Options, "endpoints">> & {
  readonly endpoints?: ReadonlyArray<Partial<WebhookEndpoint.Endpoint>> | Webhooks.Options["endpoints"]
}

/** A process that sends webhooks; it is killed when its scope closes, unless it may drain. */
const start = Effect.fnUntraced(function* (
  kept: Context.Context<Kept>,
  client: FakeClient.FakeClient,
  { endpoints = [{}], ...options }: Options = {}
) {
  const secret = yield* WebhookSignature.newSecret
  const full = (endpoint: Partial<WebhookEndpoint.Endpoint>): WebhookEndpoint.Endpoint => ({
    id: "shop",
    url: "https://shop.example/hook",
    secrets: [secret],
    ...endpoint
  })
  const layer = Webhooks.layer({
    endpoints: typeof endpoints === "function" ? endpoints : endpoints.map(full),
    drain: 0,
    ...options
  }).pipe(Layer.provide([Layer.succeedContext(kept), client.layer]))
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const context = yield* Scope.provide(Layer.build(Layer.fresh(layer)), scope)
  return {
    context,
    webhooks: Context.get(context, Webhooks.Webhooks),
    jobs: Context.get(context, JobRepository.JobRepository),
    end: Scope.close(scope, Exit.void)
  }
})

/** A process with everything of its own. */
const fresh = Effect.fnUntraced(function* (client: FakeClient.FakeClient, options?: Options) {
  const kept = yield* makeKept()
  return { kept, ...(yield* start(kept, client, options)) }
})

const pass = (duration: Duration.Input, steps = 10): Effect.Effect<void> =>
  Effect.andThen(settle, TestClock.adjust(Duration.toMillis(duration) / steps)).pipe(
    Effect.repeat({ times: steps - 1 }),
    Effect.andThen(settle)
  )

const whole = (chunks: number): ReadonlyArray<string> => [
  "1 job.created",
  "2 job.started",
  ...Array.from({ length: chunks }, (_, id) => `${id + 3} job.chunk.accepted`),
  `${chunks + 4} job.completed`
]

const withoutRepeats = (list: ReadonlyArray<string>) => list.filter((item, index) => list.indexOf(item) === index)

/** Remembers what was reported. */
const reports = () => {
  const made: Array<Webhooks.Report> = []
  return { made, report: (report: Webhooks.Report) => Effect.sync(() => void made.push(report)) }
}

describe("Webhooks", () => {
  it.effect("send what happens to a job as it happens, in order, each once", () =>
    Effect.gen(function* () {
      const client = FakeClient.make()
      const { jobs } = yield* fresh(client)
      yield* jobs.create("job", Jobs.created(3))
      yield* settle
      assert.deepStrictEqual(client.taken(), ["1 job.created"])
      yield* Jobs.write(jobs, "job", (run) => [Jobs.started(run), Jobs.accepted(0)])
      yield* settle
      assert.deepStrictEqual(client.taken(), ["1 job.created", "2 job.started", "3 job.chunk.accepted"])
      // Its process died; the next run goes on.
      yield* Jobs.write(jobs, "job", (run) => [
        Jobs.started(run),
        Jobs.accepted(1),
        Jobs.accepted(2),
        Jobs.stitched,
        Jobs.ended(run, "completed")
      ])
      yield* settle
      assert.deepStrictEqual(client.taken(), [
        "1 job.created",
        "2 job.started",
        "3 job.chunk.accepted",
        "4 job.resumed",
        "5 job.chunk.accepted",
        "6 job.chunk.accepted",
        "8 job.completed"
      ])
      assert.strictEqual(client.sent.length, 7)
    })
  )

  it.effect("send an endpoint the types that it wants, with what it includes", () =>
    Effect.gen(function* () {
      const client = FakeClient.make()
      const { jobs } = yield* fresh(client, {
        endpoints: [
          { id: "ends", url: "https://ends.example", types: ["job.completed", "job.failed"] },
          { id: "all", url: "https://all.example", include: { outputs: true } }
        ]
      })
      yield* Jobs.render(jobs, "job", 3)
      yield* settle
      assert.deepStrictEqual(client.taken("ends.example"), ["7 job.completed"])
      assert.deepStrictEqual(client.taken("all.example"), whole(3))
      const text = JSON.stringify(client.sent)
      assert.include(text, "https://bucket.example/part_0")
      assert.notInclude(text, "very-secret")
    })
  )

  it.effect("try again with longer and longer pauses, and send nothing of the job before that is settled", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(({ event }, count) =>
        event.sequence === 2 && count < 10 ? (count % 2 === 0 ? 500 : "broken") : 204
      )
      const { jobs } = yield* fresh(client)
      yield* Jobs.render(jobs, "job", 3)
      yield* pass("40 minutes", 2400)
      assert.deepStrictEqual(client.taken(), whole(3))
      const tries = client.sent.filter(({ event }) => event.sequence === 2)
      assert.lengthOf(tries, 9)
      assert.strictEqual(new Set(tries.map(({ event }) => event.id)).size, 1)
      const pauses = tries.slice(1).map(({ at }, index) => at - (tries[index]?.at ?? 0))
      for (const [index, pause] of pauses.entries()) {
        const middle = Math.min(600_000, 1000 * 2 ** index)
        // The clock moves in steps of a second.
        assert.isTrue(pause >= middle * 0.8 - 1000 && pause <= middle * 1.2 + 1000, `${pause} after try ${index + 1}`)
      }
      assert.isTrue(pauses.some((pause, index) => Math.abs(pause - 1000 * 2 ** index) > 1000))
    })
  )

  it.effect("leave an endpoint alone as long as it asks for, up to a limit", () =>
    Effect.gen(function* () {
      const asking = (value: string) => new Response(null, { status: 429, headers: { "retry-after": value } })
      const client = FakeClient.make((_, count) => {
        if (count === 1) return asking("120")
        if (count === 2) return asking(new Date(1_800_000_600_000).toUTCString())
        return count === 3 ? asking("999999999") : 204
      })
      yield* TestClock.setTime(1_800_000_000_000)
      const { jobs } = yield* fresh(client)
      yield* jobs.create("job", Jobs.created(1))
      yield* settle
      yield* pass("2 hours", 720)
      assert.deepStrictEqual(
        client.sent.map(({ at }) => (at - 1_800_000_000_000) / 1000),
        [0, 120, 600, 4200]
      )
    })
  )

  it.effect(
    "give an event up after a day, say so, try the following ones once each, and go on as if nothing had been",
    () =>
      Effect.gen(function* () {
        let down = true
        const client = FakeClient.make(() => (down ? 503 : 204))
        const { made, report } = reports()
        const { jobs } = yield* fresh(client, { report })
        yield* Jobs.render(jobs, "job", 2)
        yield* settle
        yield* pass("23 hours", 500)
        assert.lengthOf(made, 0)
        assert.deepStrictEqual(new Set(client.sent.map(({ event }) => event.sequence)), new Set([1]))
        yield* pass("2 hours", 500)
        assert.deepStrictEqual(
          made.map((report) => (report._tag === "GivenUp" ? [report.endpoint, report.event.sequence] : report)),
          [1, 2, 3, 4, 6].map((sequence) => ["shop", sequence])
        )
        const [first] = made
        assert.isTrue(first?._tag === "GivenUp" && first.failingSince === 0 && first.error.reason._tag === "Answered")
        // The last attempt was made when the day was over.
        assert.approximately(client.sent.findLast(({ event }) => event.sequence === 1)?.at ?? 0, 86_400_000, 200_000)
        assert.lengthOf(
          client.sent.filter(({ event }) => event.sequence > 1),
          4
        )
        down = false
        yield* Jobs.write(jobs, "job", (run) => [Jobs.started(run), Jobs.ended(run, "paused")])
        yield* settle
        assert.deepStrictEqual(client.taken(), ["7 job.resumed", "8 job.paused"])
        down = true
        yield* Jobs.write(jobs, "job", (run) => [Jobs.started(run), Jobs.ended(run, "paused")])
        yield* pass("20 hours", 500)
        assert.lengthOf(made, 5)
      })
  )

  it.effect("try for a while what was failing before they were down for days: nobody tried meanwhile", () =>
    Effect.gen(function* () {
      let status = 500
      const client = FakeClient.make(() => status)
      const { made, report } = reports()
      const { end, jobs, kept } = yield* fresh(client, { report })
      yield* Jobs.render(jobs, "job", 1)
      yield* pass("1 minute")
      yield* end
      yield* TestClock.adjust("3 days")
      const second = yield* start(kept, client, { report })
      yield* second.webhooks.recover()
      yield* pass("1 minute")
      status = 204
      yield* pass("5 minutes")
      assert.lengthOf(made, 0)
      assert.deepStrictEqual(client.taken(), whole(1))

      // Not for ever.
      status = 500
      yield* Jobs.render(second.jobs, "other", 1)
      yield* pass("1 minute")
      yield* second.end
      yield* TestClock.adjust("3 days")
      const third = yield* start(kept, client, { report })
      yield* third.webhooks.recover()
      yield* pass("30 minutes", 60)
      assert.lengthOf(made, whole(1).length)
    })
  )

  it.effect("do not lose an event of whose end nobody could be told", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(() => 500)
      let told = 0
      const report = () =>
        Effect.suspend(() =>
          ++told < 3 ? Effect.fail(new Webhooks.ReportError({ cause: "the mail server is down" })) : Effect.void
        )
      const { jobs } = yield* fresh(client, {
        report,
        endpoints: [{ retry: { giveUpAfter: "1 minute", maxDelay: "1 minute" } }]
      })
      yield* jobs.create("job", Jobs.created(1))
      yield* pass("70 seconds", 70)
      assert.strictEqual(told, 1)
      yield* pass("5 minutes", 300)
      assert.strictEqual(told, 3)
      const tries = client.sent.length
      yield* pass("1 hour", 60)
      assert.strictEqual(client.sent.length, tries)
    })
  )

  it.effect(
    "send nothing more to an endpoint that answered 410, in whatever job and after a restart, until it is reopened",
    () =>
      Effect.gen(function* () {
        let gone = true
        const client = FakeClient.make(({ event }) => (gone && event.type === "job.chunk.accepted" ? 410 : 204))
        const { made, report } = reports()
        const { end, jobs, kept } = yield* fresh(client, { report })
        yield* Jobs.render(jobs, "job", 2)
        yield* settle
        assert.deepStrictEqual(client.taken(), ["1 job.created", "2 job.started"])
        assert.deepStrictEqual<unknown>(made, [
          { _tag: "EndpointGone", endpoint: "shop", event: client.sent.at(-1)?.event }
        ])
        yield* Jobs.render(jobs, "other", 2)
        yield* pass("1 day")
        yield* end
        const second = yield* start(kept, client, { report })
        yield* second.webhooks.recover()
        yield* Jobs.render(second.jobs, "third", 1)
        yield* pass("1 day")
        assert.lengthOf(client.sent, 3)
        assert.lengthOf(made, 1)

        gone = false
        yield* second.webhooks.reopen("shop")
        yield* settle
        const of = (jobId: string) =>
          client.sent
            .filter(({ answered, event }) => answered === 204 && event.data.jobId === jobId)
            .map(({ event }) => `${event.sequence} ${event.type}`)
        assert.deepStrictEqual(of("job"), whole(2))
        assert.deepStrictEqual(of("other"), whole(2))
        assert.deepStrictEqual(of("third"), whole(1))
      })
  )

  it.effect("take an endpoint that answered 410 up again at another URL", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(({ host }) => (host === "shop.example" ? 410 : 204))
      const { end, jobs, kept } = yield* fresh(client)
      yield* Jobs.render(jobs, "job", 1)
      yield* settle
      yield* end
      const second = yield* start(kept, client, { endpoints: [{ url: "https://new.example" }] })
      assert.deepStrictEqual(yield* second.webhooks.recover(), ["job"])
      yield* settle
      assert.deepStrictEqual(client.taken("new.example"), whole(1))
    })
  )

  describe("cost a run nothing", () => {
    const spec = {
      metadata: { totalFrames: 200, fps: 30 },
      chunks: Array.from({ length: 20 }, (_, id) => ({
        id,
        startFrame: id * 10,
        frameCount: 10,
        outputFile: `part_${id}.mov`,
        command: "render"
      }))
    }

    /** Renders on the test clock; gives how long it took, in milliseconds, and what its journal says of it. */
    const render = Effect.fnUntraced(function* (jobs: Layer.Layer<JobRepository.JobRepository>) {
      const machine = FakeMachine.layer({ worker: { script: () => ({ takes: "1 second" }) } })
      return yield* Effect.gen(function* () {
        const manager = yield* JobManager.JobManager
        yield* manager.create(spec, { id: "job" })
        const begun = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        let ended: number | undefined
        yield* manager.run("job", { outputFile: "film.mp4", concurrency: 4 }).pipe(
          Effect.andThen(Effect.clockWith((clock) => clock.currentTimeMillis)),
          Effect.tap((now) => Effect.sync(() => void (ended = now))),
          Effect.forkChild
        )
        while (ended === undefined) yield* pass("100 millis", 1)
        const repository = yield* JobRepository.JobRepository
        const records = yield* Stream.runCollect(repository.read("job"))
        return { took: ended - begun, history: records.map(({ at, event }) => `${at - begun} ${event._tag}`) }
      }).pipe(Effect.provide(JobManager.layer.pipe(Layer.provideMerge(Layer.merge(machine, jobs)))))
    })

    it.effect.each<readonly [string, () => FakeClient.Answer]>([
      ["hang", () => Effect.never],
      ["are slow", () => Effect.as(Effect.sleep("14 seconds"), 204)],
      ["refuse everything", () => 500],
      ["break every connection", () => "broken"]
    ])("however its receivers %s", ([, answer]) =>
      Effect.gen(function* () {
        const alone = yield* render(Layer.fresh(JobRepository.layerMemory))
        assert.strictEqual(alone.took, 5000)
        const client = FakeClient.make(answer)
        const { jobs } = yield* fresh(client, { endpoints: [{}, { id: "second", url: "https://second.example" }] })
        const watched = yield* render(Layer.succeed(JobRepository.JobRepository, jobs))
        assert.deepStrictEqual(watched, alone)
        // One event of each endpoint is in memory; the others wait in the journal.
        assert.isAtMost(client.open().most, 2)
        assert.isAtMost(client.sent.length, 16)
      })
    )

    it.effect("when no cursor can be written, and lose no event then", () =>
      Effect.gen(function* () {
        const alone = yield* render(Layer.fresh(JobRepository.layerMemory))
        const kept = yield* makeKept()
        const texts = Context.get(kept, WebhookCursors.WebhookCursors)
        let full = false
        const cursors = WebhookCursors.WebhookCursors.of({
          ...texts,
          set: (key, text) =>
            full ? Effect.fail(new WebhookCursors.CursorError({ key, cause: "disk full" })) : texts.set(key, text)
        })
        const client = FakeClient.make()
        const { jobs } = yield* start(Context.add(kept, WebhookCursors.WebhookCursors, cursors), client)
        full = true
        const watched = yield* render(Layer.succeed(JobRepository.JobRepository, jobs))
        assert.deepStrictEqual(watched, alone)
        assert.isAtMost(client.sent.length, 5)
        full = false
        yield* pass("1 minute", 60)
        const taken = withoutRepeats(client.taken())
        assert.lengthOf(taken, 23)
        assert.isTrue(taken.every((_, i) => i === 0 || parseInt(taken[i - 1] ?? "", 10) < parseInt(taken[i] ?? "", 10)))
      })
    )
  })

  it.effect("send to no endpoint more at once than it takes, and let none wait for another", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(({ host }) => (host === "hung.example" ? Effect.never : 204))
      const { jobs } = yield* fresh(client, {
        endpoints: [
          { id: "hung", url: "https://hung.example", concurrency: 2 },
          { id: "well", url: "https://well.example" }
        ]
      })
      yield* Effect.forEach(Array.from({ length: 20 }), (_, index) => Jobs.render(jobs, `job ${index}`, 2))
      yield* settle
      assert.strictEqual(client.open().now, 2)
      assert.lengthOf(client.taken("well.example"), 20 * 5)
      // The next ones have their turn when those are given up.
      yield* pass("16 seconds")
      assert.strictEqual(client.open().now, 2)
      assert.lengthOf(
        client.sent.filter(({ host }) => host === "hung.example"),
        4
      )
    })
  )

  it.effect.prop(
    "leave nothing out and keep the order, whenever their process dies and however their receivers fail",
    [
      Schema.Array(Schema.Literals(["taken", "failed", "taken and died", "died", "died while hanging"])),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))
    ],
    ([fates, chunks]) =>
      Effect.gen(function* () {
        const left = [...fates]
        let dead = false
        const client = FakeClient.make((sent) => {
          // What is on its way when a process dies goes nowhere.
          if (dead) return Effect.never
          const fate = left.shift() ?? "taken"
          if (fate === "failed") return 500
          if (fate !== "taken") dead = true
          if (fate === "taken and died") sent.answered = 204
          return fate === "taken" ? 204 : Effect.never
        })
        const kept = yield* makeKept()
        let process = yield* start(kept, client)
        yield* Jobs.render(process.jobs, "job", chunks)
        yield* settle
        for (let i = 0; i < fates.length + 1; i++) {
          if (dead) {
            const taken = client.sent.filter(({ answered }) => answered === 204)
            yield* process.end
            // Interrupted, its client would say "never" of what the receiver has got.
            for (const sent of taken) sent.answered = 204
            dead = false
            process = yield* start(kept, client)
            yield* process.webhooks.recover()
          }
          yield* pass("30 minutes", 10)
        }
        const taken = client.taken()
        assert.deepStrictEqual(withoutRepeats(taken), whole(chunks))
        // What is sent twice is the one that was sent last: the order is never broken.
        const places = taken.map((one) => parseInt(one, 10))
        assert.deepStrictEqual(
          places,
          places.toSorted((a, b) => a - b)
        )
        const ids = new Map(client.sent.map(({ event }) => [event.id, event.sequence]))
        assert.strictEqual(ids.size, whole(chunks).length)
      }),
    { arbitrary: { runs: 40, size: 12 } }
  )

  describe("recover", () => {
    it.effect("sends what is due of jobs that ended while nobody sent, once", () =>
      Effect.gen(function* () {
        const client = FakeClient.make()
        const { end, jobs, kept } = yield* fresh(client)
        yield* Jobs.render(jobs, "sent", 1)
        yield* settle
        yield* end
        const sent = client.sent.length
        yield* TestClock.adjust("1 minute")
        const repository = Context.get(kept, JobRepository.JobRepository)
        yield* Jobs.render(repository, "missed", 1)
        const second = yield* start(kept, client)
        assert.deepStrictEqual(yield* second.webhooks.recover(), ["missed"])
        yield* settle
        assert.deepStrictEqual(client.taken().slice(sent), whole(1))
        assert.deepStrictEqual(yield* second.webhooks.recover(), [])
        yield* settle
        assert.lengthOf(client.sent, sent + 4)
      })
    )

    it.effect("leaves jobs alone that another process runs, unless it is told not to", () =>
      Effect.gen(function* () {
        const client = FakeClient.make()
        const { kept, webhooks } = yield* fresh(client)
        const repository = Context.get(kept, JobRepository.JobRepository)
        yield* repository.create("job", Jobs.created(1))
        const writer = yield* repository.openWriter("job", { takeOver: "if-dead" })
        yield* writer.append([Jobs.started(1)])
        assert.deepStrictEqual(yield* webhooks.recover(), [])
        assert.deepStrictEqual(yield* webhooks.recover({ elsewhere: true }), ["job"])
        yield* settle
        yield* writer.append([Jobs.accepted(0), Jobs.ended(1, "completed")])
        yield* settle
        assert.deepStrictEqual(client.taken(), [
          "1 job.created",
          "2 job.started",
          "3 job.chunk.accepted",
          "4 job.completed"
        ])
      })
    )

    it.effect("does not send the history of all jobs to an endpoint that is new, unless it is told to", () =>
      Effect.gen(function* () {
        const client = FakeClient.make()
        const kept = yield* makeKept()
        const repository = Context.get(kept, JobRepository.JobRepository)
        yield* Jobs.render(repository, "old", 1)
        yield* TestClock.adjust("1 minute")
        const { jobs, webhooks } = yield* start(kept, client, {
          endpoints: [{}, { id: "archive", url: "https://archive.example", since: 0 }]
        })
        yield* webhooks.recover()
        yield* settle
        assert.deepStrictEqual(client.taken("shop.example"), [])
        assert.deepStrictEqual(client.taken("archive.example"), whole(1))
        // Of an old job that is run on, what is new.
        yield* Jobs.write(jobs, "old", (run) => [Jobs.started(run), Jobs.ended(run, "paused")])
        yield* settle
        assert.deepStrictEqual(client.taken("shop.example"), ["6 job.resumed", "7 job.paused"])
      })
    )
  })

  it.effect("stop where another process sends the same job, and send nothing out of order then", () =>
    Effect.gen(function* () {
      let first = true
      const client = FakeClient.make(({ event }) => (first && event.sequence === 2 ? 500 : 204))
      const kept = yield* makeKept()
      const one = yield* start(kept, client)
      yield* Jobs.render(one.jobs, "job", 2)
      yield* settle
      first = false
      const two = yield* start(kept, client)
      yield* two.webhooks.recover()
      yield* pass("1 hour", 100)
      const taken = client.taken()
      assert.deepStrictEqual(withoutRepeats(taken), whole(2))
      assert.deepStrictEqual(taken, whole(2))
    })
  )

  it.effect("look up the endpoints of each job, and look again where that fails", () =>
    Effect.gen(function* () {
      const client = FakeClient.make()
      const secret = yield* WebhookSignature.newSecret
      let asked = 0
      const { jobs, webhooks } = yield* fresh(client, {
        endpoints: (jobId) =>
          Effect.suspend(() =>
            ++asked === 1
              ? Effect.fail(new WebhookEndpoint.EndpointError({ endpoint: "(all)", fix: "the database is down" }))
              : Effect.succeed(
                  jobId === "nobody" ? [] : [{ id: jobId, url: `https://${jobId}.example`, secrets: [secret] }]
                )
          )
      })
      yield* Jobs.render(jobs, "a", 1)
      yield* Jobs.render(jobs, "b", 1)
      yield* Jobs.render(jobs, "nobody", 1)
      yield* pass("10 seconds")
      assert.deepStrictEqual(client.taken("a.example"), whole(1))
      assert.deepStrictEqual(client.taken("b.example"), whole(1))
      assert.lengthOf(client.sent, 8)
      assert.deepStrictEqual(yield* webhooks.recover(), [])
    })
  )

  it.effect("look an endpoint up again that takes nothing: it may have another URL or secret by now, or be gone", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(({ host }) => (host === "new.example" ? 204 : 500))
      const secrets = [yield* WebhookSignature.newSecret]
      let url = "https://old.example"
      let ids = ["moved", "removed"]
      const { jobs } = yield* fresh(client, {
        endpoints: () => Effect.sync(() => ids.map((id) => ({ id, url, secrets })))
      })
      yield* Jobs.render(jobs, "job", 1)
      yield* settle
      assert.lengthOf(client.sent, 2)
      url = "https://new.example"
      ids = ["moved"]
      yield* pass("1 minute")
      assert.deepStrictEqual(client.taken(), whole(1))
      assert.lengthOf(client.sent, 2 + whole(1).length)
    })
  )

  it.effect("do not wait for ever for somebody who looks endpoints up", () =>
    Effect.gen(function* () {
      const client = FakeClient.make()
      const secrets = [yield* WebhookSignature.newSecret]
      let hangs = true
      const { jobs } = yield* fresh(client, {
        endpoints: (id) =>
          Effect.suspend(() => (hangs ? Effect.never : Effect.succeed([{ id, url: "https://shop.example", secrets }])))
      })
      yield* Jobs.render(jobs, "deleted", 1)
      yield* Jobs.render(jobs, "job", 1)
      const deleted = yield* Effect.forkChild(jobs.delete("deleted"))
      yield* pass("1 minute")
      yield* Fiber.join(deleted)
      hangs = false
      yield* pass("1 minute")
      assert.deepStrictEqual(client.taken(), whole(1))
    })
  )

  it.effect("recover what can be, and say of which job the endpoints are not known", () =>
    Effect.gen(function* () {
      const client = FakeClient.make()
      const secrets = [yield* WebhookSignature.newSecret]
      const { kept } = yield* fresh(client, { endpoints: [] })
      const jobs = Context.get(kept, JobRepository.JobRepository)
      for (const id of ["a", "b", "c"]) yield* Jobs.render(jobs, id, 1)
      const { webhooks } = yield* start(kept, client, {
        endpoints: (id) =>
          Effect.succeed([{ id, url: id === "b" ? "http://shop.example" : `https://${id}.example`, secrets }])
      })
      const error = yield* Effect.flip(webhooks.recover())
      assert.match(error.message, /"b": its url must be https/)
      yield* settle
      for (const id of ["a", "c"]) assert.deepStrictEqual(client.taken(`${id}.example`), whole(1))
    })
  )

  it.effect("take an endpoint up at another URL while jobs still wait for the one that answered 410", () =>
    Effect.gen(function* () {
      let status = 500
      const client = FakeClient.make(({ host }) => (host === "new.example" ? 204 : status))
      const secrets = [yield* WebhookSignature.newSecret]
      let url = "https://old.example"
      const retry = { delay: "1 hour", maxDelay: "1 hour" } as const
      const { jobs } = yield* fresh(client, {
        endpoints: () => Effect.sync(() => [{ id: "shop", url, secrets, retry }])
      })
      yield* Jobs.render(jobs, "waits", 1)
      yield* settle
      status = 410
      yield* Jobs.render(jobs, "closes", 1)
      yield* settle
      url = "https://new.example"
      yield* Jobs.render(jobs, "job", 1)
      yield* settle
      assert.deepStrictEqual(client.taken("new.example"), whole(1))
      yield* pass("2 hours")
      const taken = client.sent.filter(({ host, event }) => host === "new.example" && event.data.jobId === "waits")
      assert.lengthOf(taken, whole(1).length)
    })
  )

  it.effect("say that an endpoint does not answer, whatever fraction of a millisecond it has", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(() => Effect.never)
      const { made, report } = reports()
      const { jobs } = yield* fresh(client, {
        endpoints: [{ timeout: 1000 / 3, retry: { giveUpAfter: 0 } }],
        report
      })
      yield* Jobs.render(jobs, "job", 1)
      yield* pass("10 seconds")
      assert.lengthOf(made, whole(1).length)
    })
  )

  it.effect("never disturb a run, whatever the functions that they are given throw", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(() => 500)
      const thrown = yield* fresh(client, {
        endpoints: () => {
          throw new Error("no such table")
        }
      })
      yield* Jobs.render(thrown.jobs, "job", 1)
      yield* thrown.jobs.delete("job")

      let told = 0
      const { jobs } = yield* fresh(client, {
        endpoints: [{ retry: { giveUpAfter: 0 } }],
        report: () => {
          told++
          throw new Error("no such queue")
        }
      })
      yield* Jobs.render(jobs, "job", 1)
      yield* pass("10 seconds")
      assert.isAbove(told, 1)
      assert.isAbove(client.sent.length, 1)
    })
  )

  it.effect("fail to start with an endpoint that cannot be used, or two of one id", () =>
    Effect.gen(function* () {
      const client = FakeClient.make()
      const insecure = yield* Effect.flip(fresh(client, { endpoints: [{ url: "http://shop.example" }] }))
      assert.include(insecure.message, 'webhook endpoint "shop": its url must be https')
      const twice = yield* Effect.flip(fresh(client, { endpoints: [{}, {}] }))
      assert.include(twice.message, "another one has this id")
    })
  )

  it.effect(
    "say how much is lost with a job that is deleted before it was delivered, and nothing where nothing is",
    () =>
      Effect.gen(function* () {
        let down = false
        const client = FakeClient.make(({ event }) => (down && event.sequence > 2 ? 500 : 204))
        const { made, report } = reports()
        const { jobs } = yield* fresh(client, { report })
        yield* Jobs.render(jobs, "sent", 2)
        yield* settle
        yield* jobs.delete("sent")
        assert.lengthOf(made, 0)
        down = true
        yield* Jobs.render(jobs, "job", 2)
        yield* settle
        yield* jobs.delete("job")
        assert.deepStrictEqual(made, [{ _tag: "Deleted", endpoint: "shop", jobId: "job", events: 3 }])
        const sent = client.sent.length
        yield* pass("1 hour")
        assert.lengthOf(client.sent, sent)
        // Another job of this name begins anew.
        down = false
        yield* Jobs.render(jobs, "job", 1)
        yield* settle
        assert.deepStrictEqual(client.taken().slice(-4), whole(1))
      })
  )

  it.effect("pass over nothing that was not sent yet when they are to send again from a later place", () =>
    Effect.gen(function* () {
      let status = 500
      const client = FakeClient.make(({ event }) => (event.sequence > 2 ? status : 204))
      const { jobs, webhooks } = yield* fresh(client)
      yield* Jobs.render(jobs, "job", 2)
      yield* settle
      yield* webhooks.resend("job", { endpoint: "shop", sequence: 5 })
      status = 204
      yield* pass("1 minute")
      assert.deepStrictEqual(client.taken(), whole(2))
      yield* webhooks.resend("job", { endpoint: "shop", sequence: 1000 })
      yield* Jobs.write(jobs, "job", (run) => [Jobs.started(run), Jobs.ended(run, "completed")])
      yield* settle
      assert.deepStrictEqual(client.taken().slice(5), ["7 job.resumed", "8 job.completed"])
    })
  )

  it.effect("say that there is no endpoint to send again to", () =>
    Effect.gen(function* () {
      const { jobs, webhooks } = yield* fresh(FakeClient.make())
      yield* Jobs.render(jobs, "job", 1)
      const error = yield* Effect.flip(webhooks.resend("job", { endpoint: "shpo", sequence: 1 }))
      assert.strictEqual(error.message, 'webhook endpoint "shpo": job "job" has none of this id; it has "shop"')
    })
  )

  it.effect("send again, from one event on", () =>
    Effect.gen(function* () {
      const client = FakeClient.make()
      const { jobs, webhooks } = yield* fresh(client)
      yield* Jobs.render(jobs, "job", 2)
      yield* settle
      yield* webhooks.resend("job", { endpoint: "shop", sequence: 4 })
      yield* settle
      assert.deepStrictEqual(client.taken().slice(5), ["4 job.chunk.accepted", "6 job.completed"])
      const ids = client.sent.map(({ event }) => event.id)
      assert.deepStrictEqual(ids.slice(5), ids.slice(3, 5))
    })
  )

  it.effect("send again what a run that begins meanwhile would pass over", () =>
    Effect.gen(function* () {
      const kept = yield* makeKept()
      const cursors = Context.get(kept, WebhookCursors.WebhookCursors)
      const reached = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      let resending = false
      const slow = WebhookCursors.WebhookCursors.of({
        ...cursors,
        set: (key, text) =>
          resending
            ? Effect.andThen(
                Deferred.succeed(reached, undefined),
                Effect.andThen(Deferred.await(release), cursors.set(key, text))
              )
            : cursors.set(key, text)
      })
      const client = FakeClient.make()
      const { jobs, webhooks } = yield* start(Context.add(kept, WebhookCursors.WebhookCursors, slow), client)
      yield* jobs.create("job", Jobs.created(1))
      yield* Jobs.write(jobs, "job", (run) => [Jobs.started(run), Jobs.ended(run, "paused")])
      yield* settle
      const before = client.taken()
      resending = true
      const fiber = yield* Effect.forkChild(webhooks.resend("job", { endpoint: "shop", sequence: 2 }))
      yield* Deferred.await(reached)
      yield* Jobs.write(jobs, "job", (run) => [Jobs.started(run), Jobs.ended(run, "paused")])
      yield* settle
      resending = false
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(fiber)
      yield* settle
      assert.deepStrictEqual(before, ["1 job.created", "2 job.started", "3 job.paused"])
      assert.deepStrictEqual(client.taken().slice(3), [
        "2 job.started",
        "3 job.paused",
        "4 job.resumed",
        "5 job.paused"
      ])
    })
  )

  it.effect("report as lost with a job what was not sent, and nothing else, however long the reports take", () =>
    Effect.gen(function* () {
      const kept = yield* makeKept()
      const reading = yield* Deferred.make<void>()
      const repository = Context.get(kept, JobRepository.JobRepository)
      let isDeleted = false
      // A lane that reads when the job is deleted finds out before it is stopped.
      const told = JobRepository.JobRepository.of({
        ...repository,
        delete: (id) =>
          Effect.andThen(
            repository.delete(id),
            Effect.andThen(
              Effect.sync(() => (isDeleted = true)),
              settle
            )
          ),
        changes: (id, after) =>
          Stream.concat(
            Stream.drain(Stream.fromEffect(Deferred.await(reading))),
            Stream.suspend(() => repository.read(id, isDeleted ? 0 : after))
          )
      })
      const { made, report } = reports()
      const client = FakeClient.make()
      const { jobs } = yield* start(Context.add(kept, JobRepository.JobRepository, told), client, { report })
      yield* jobs.create("job", Jobs.created(2))
      yield* Jobs.write(jobs, "job", (run) => [Jobs.started(run), Jobs.accepted(0)])
      yield* settle
      assert.lengthOf(client.sent, 3)
      yield* Effect.all([jobs.delete("job"), Deferred.succeed(reading, undefined)], { concurrency: "unbounded" })
      yield* settle
      assert.deepStrictEqual(made, [])
    })
  )

  it.effect("begin anew where a cursor is damaged: rather twice than never", () =>
    Effect.gen(function* () {
      const client = FakeClient.make()
      const { end, jobs, kept } = yield* fresh(client)
      yield* Jobs.render(jobs, "job", 1)
      yield* settle
      yield* end
      const cursors = Context.get(kept, WebhookCursors.WebhookCursors)
      let damage = 2
      const damaged = WebhookCursors.WebhookCursors.of({
        ...cursors,
        // When it is looked for, and when its lane begins.
        get: (key) =>
          Effect.map(cursors.get(key), (text) => (key.startsWith("jobs/") && damage-- > 0 ? text?.slice(0, 20) : text))
      })
      const second = yield* start(Context.add(kept, WebhookCursors.WebhookCursors, damaged), client)
      assert.deepStrictEqual(yield* second.webhooks.recover(), ["job"])
      yield* settle
      assert.deepStrictEqual(client.taken(), [...whole(1), ...whole(1)])
    })
  )

  it.effect("write a cursor anew that is lost while they send, and lose no event then", () =>
    Effect.gen(function* () {
      let status = 500
      const client = FakeClient.make(() => status)
      const kept = yield* makeKept()
      const texts = new Map<string, string>()
      const store = WebhookCursors.WebhookCursors.of({
        get: (key) => Effect.sync(() => texts.get(key)),
        set: (key, text) => Effect.sync(() => void texts.set(key, text)),
        remove: (key) => Effect.sync(() => void texts.delete(key))
      })
      const { jobs, webhooks } = yield* start(Context.add(kept, WebhookCursors.WebhookCursors, store), client)
      yield* Jobs.render(jobs, "job", 1)
      yield* settle
      texts.clear()
      yield* pass("10 seconds")
      status = 204
      yield* pass("1 minute")
      assert.deepStrictEqual(client.taken(), whole(1))
      assert.deepStrictEqual(yield* webhooks.recover(), [])
    })
  )

  it.effect("stop where the job was deleted by somebody else", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(() => 500)
      const { jobs, kept } = yield* fresh(client)
      const other = yield* start(kept, FakeClient.make())
      yield* Jobs.render(jobs, "job", 1)
      yield* settle
      yield* other.jobs.delete("job")
      yield* pass("1 minute")
      const sent = client.sent.length
      yield* pass("1 day")
      assert.lengthOf(client.sent, sent)
    })
  )

  it.effect("hear of a run that begins while they write down that the job is at rest", () =>
    Effect.gen(function* () {
      const kept = yield* makeKept()
      const cursors = Context.get(kept, WebhookCursors.WebhookCursors)
      const release = yield* Deferred.make<void>()
      const slow = WebhookCursors.WebhookCursors.of({
        ...cursors,
        set: (key, text) =>
          Effect.andThen(text.includes('"atRest":true') ? Deferred.await(release) : Effect.void, cursors.set(key, text))
      })
      const client = FakeClient.make()
      const { jobs } = yield* start(Context.add(kept, WebhookCursors.WebhookCursors, slow), client)
      yield* jobs.create("job", Jobs.created(1))
      yield* settle
      assert.deepStrictEqual(client.taken(), ["1 job.created"])
      yield* Jobs.write(jobs, "job", (run) => [
        Jobs.started(run),
        Jobs.accepted(0),
        Jobs.stitched,
        Jobs.ended(run, "completed")
      ])
      yield* settle
      assert.lengthOf(client.sent, 1)
      yield* Deferred.succeed(release, undefined)
      yield* settle
      assert.deepStrictEqual(client.taken(), whole(1))
    })
  )

  it.effect("tell progress where it is wanted, and leave it out when it is late", () =>
    Effect.gen(function* () {
      let down = false
      const client = FakeClient.make(() => (down ? 500 : 204))
      const { jobs } = yield* fresh(client, {
        endpoints: [{ types: ["job.progress", "job.paused"], progressEvery: "2 seconds" }]
      })
      yield* jobs.create("job", Jobs.created(20))
      const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
      yield* writer.append([Jobs.started(1)])
      const render = (from: number, to: number) =>
        Effect.forEach(
          Array.from({ length: to - from }, (_, i) => from + i),
          (chunk) => Effect.andThen(pass("1 second", 1), writer.append([Jobs.accepted(chunk)]))
        )
      yield* render(0, 6)
      yield* settle
      assert.deepStrictEqual(client.taken(), ["4 job.progress", "6 job.progress", "8 job.progress"])
      down = true
      yield* render(6, 12)
      yield* writer.append([Jobs.ended(1, "paused")])
      yield* pass("1 minute", 60)
      down = false
      yield* pass("1 hour", 100)
      assert.deepStrictEqual(client.taken().slice(3), ["15 job.paused"])
    })
  )

  it.effect("send what is due before they close, but wait for nobody who does not take it", () =>
    Effect.gen(function* () {
      const client = FakeClient.make(({ host }) =>
        host === "down.example" ? 500 : Effect.as(Effect.sleep("100 millis"), 204)
      )
      const { end, jobs } = yield* fresh(client, {
        drain: "5 seconds",
        endpoints: [{}, { id: "down", url: "https://down.example" }]
      })
      yield* Jobs.render(jobs, "job", 2)
      yield* Effect.forkChild(end)
      yield* pass("1 second", 20)
      assert.deepStrictEqual(client.taken("shop.example"), whole(2))
      const sent = client.sent.length
      yield* pass("1 hour")
      assert.lengthOf(client.sent, sent)
    })
  )

  it.effect("send the ends of runs also where the store forgets their last moments", () =>
    Effect.gen(function* () {
      const saved = new Map<string, JobState.JobState>()
      let frozen = false
      const store: WholeJobRepository.Store = {
        save: (job) => Effect.sync(() => void (frozen || saved.set(job.id, job))),
        get: (id) => Effect.sync(() => saved.get(id)),
        list: () => Effect.sync(() => [...saved.values()]),
        delete: (id) => Effect.sync(() => void saved.delete(id))
      }
      const client = FakeClient.make()
      const kept = yield* makeKept(WholeJobRepository.layer(store))
      const one = yield* start(kept, client)
      yield* one.jobs.create("job", Jobs.created(5))
      const writer = yield* one.jobs.openWriter("job", { takeOver: "if-dead" })
      yield* writer.append([Jobs.started(1), Jobs.accepted(0)])
      yield* pass("1 second")
      frozen = true
      yield* writer.append([Jobs.accepted(1), Jobs.accepted(2)])
      yield* pass("1 second")
      yield* one.end
      const before = client.sent.length
      frozen = false
      const again = yield* makeKept(WholeJobRepository.layer(store))
      const cursors = Context.get(kept, WebhookCursors.WebhookCursors)
      const two = yield* start(Context.add(again, WebhookCursors.WebhookCursors, cursors), client)
      yield* two.webhooks.recover()
      yield* Jobs.write(two.jobs, "job", (run) => [Jobs.started(run), Jobs.accepted(1), Jobs.ended(run, "paused")])
      yield* pass("1 second")
      const types = client.sent.slice(before).map(({ event }) => event.type)
      assert.includeMembers(types, ["job.resumed", "job.chunk.accepted", "job.paused"])
      const seen = new Map(client.sent.map(({ event }) => [event.id, JSON.stringify(event.data)]))
      for (const { event } of client.sent) assert.strictEqual(seen.get(event.id), JSON.stringify(event.data))
    })
  )
})
