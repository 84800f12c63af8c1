import { CloudRunAdapter } from "@helios-infra/adapter-cloudrun"
import { WorkerAdapter } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect, Fiber, Layer, Redacted, Result } from "effect"
import { attempt, failureOf, jobFile, until } from "../../adapter-http/test/Attempts.ts"
import * as FakeWorker from "../../adapter-http/test/FakeWorker.ts"
import * as CloudRunService from "./CloudRunService.ts"

/** An adapter, and what becomes of its attempts. */
const calling = Effect.fnUntraced(function* (options: CloudRunAdapter.Options) {
  const adapter = yield* CloudRunAdapter.make(options)
  const run = (job: WorkerAdapter.WorkerJob = attempt()) =>
    Effect.map(Effect.result(adapter.execute(job, () => {})), (result) => ({ result }))
  return { adapter, run }
})

const claimsOf = (token: string): unknown => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString())

describe("an ID token", () => {
  it.live("is sent with every request, for the service's own URL, and asked for once", () =>
    Effect.gen(function* () {
      const { metadata, serviceUrl, tokens, worker } = yield* CloudRunService.make()
      const { run } = yield* calling({ serviceUrl: `${serviceUrl}/render` })
      for (let times = 0; times < 3; times++) Result.getOrThrow((yield* run()).result)
      assert.deepStrictEqual(metadata.asked, [serviceUrl])
      assert.strictEqual(new Set(tokens).size, 1)
      assert.deepInclude(claimsOf(tokens[0] ?? ""), { aud: serviceUrl })
      assert.strictEqual(worker.requests[0]?.headers.authorization, `Bearer ${tokens[0]}`)
    })
  )

  it.live("is asked for once, however many attempts begin at once", () =>
    Effect.gen(function* () {
      const { metadata, serviceUrl, worker } = yield* CloudRunService.make({ instances: 50 })
      const { run } = yield* calling({ serviceUrl })
      yield* Effect.forEach(Array.from({ length: 30 }), () => run(), { concurrency: "unbounded" })
      assert.strictEqual(worker.requests.length, 30)
      assert.strictEqual(metadata.asked.length, 1)
    })
  )

  it.live("is for a custom audience where the service has one", () =>
    Effect.gen(function* () {
      const audience = "https://render.films.example"
      const { metadata, serviceUrl } = yield* CloudRunService.make({ audience })
      Result.getOrThrow((yield* (yield* calling({ serviceUrl, audience })).run()).result)
      assert.deepStrictEqual(metadata.asked, [audience])
      const { reason } = failureOf(yield* (yield* calling({ serviceUrl })).run())
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
      assert.include(reason.message, `and audience is ${serviceUrl}`)
    })
  )

  it.live("leaves Authorization to the worker's own secret, where that is a bearer token", () =>
    Effect.gen(function* () {
      const { serviceUrl, tokens, worker } = yield* CloudRunService.make()
      const auth = { bearer: Redacted.make("the worker's own"), secret: Redacted.make("between us") }
      Result.getOrThrow((yield* (yield* calling({ serviceUrl, auth })).run()).result)
      assert.include(worker.requests[0]?.headers, {
        authorization: "Bearer the worker's own",
        "x-serverless-authorization": `Bearer ${tokens[0]}`
      })
      assert.match(String(worker.requests[0]?.headers["x-helios-signature"]), /^t=/)
    })
  )

  it.live("that is not accepted is replaced once by another one, for all who had it", () =>
    Effect.gen(function* () {
      const service = yield* CloudRunService.make()
      const { metadata, serviceUrl, tokens } = service
      const { run } = yield* calling({ serviceUrl })
      yield* run()
      service.revoke(tokens[0] ?? "")
      const ended = yield* Effect.forEach(Array.from({ length: 10 }), () => run(), { concurrency: "unbounded" })
      for (const { result } of ended) Result.getOrThrow(result)
      assert.strictEqual(metadata.asked.length, 2)
      assert.strictEqual(new Set(tokens).size, 2)
    })
  )

  it.live("that is not accepted again is not asked for any more", () =>
    Effect.gen(function* () {
      const { metadata, serviceUrl, tokens } = yield* CloudRunService.make({ audience: "https://another.example" })
      const { reason } = failureOf(yield* (yield* calling({ serviceUrl })).run())
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
      assert.strictEqual(metadata.asked.length, 2)
      assert.strictEqual(tokens.length, 2)
    })
  )

  it.live("of an account that may not call is not replaced, and the error says what it lacks", () =>
    Effect.gen(function* () {
      const { metadata, serviceUrl, worker } = yield* CloudRunService.make({ invokers: ["somebody@else.example"] })
      const { reason } = failureOf(yield* (yield* calling({ serviceUrl })).run())
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
      assert.match(reason.message, /roles\/run\.invoker/)
      assert.strictEqual(metadata.asked.length, 1)
      assert.deepStrictEqual(worker.requests, [])
    })
  )

  it.live("that expires while a chunk is rendered does not end that, and the next one has another", () =>
    Effect.gen(function* () {
      let finish = () => {}
      const { metadata, serviceUrl, tokens, worker } = yield* CloudRunService.make({
        worker: {
          respond: (exchange) => {
            exchange.begin()
            exchange.send({ event: "heartbeat" })
            finish = () => FakeWorker.succeed(exchange)
          }
        }
      })
      const { run } = yield* calling({ serviceUrl })
      const rendering = yield* Effect.forkScoped(run())
      yield* until(() => worker.requests.length === 1)
      // Here nobody knows yet: the clocks of Google are ahead.
      metadata.aheadSeconds = 2 * 3600
      finish()
      Result.getOrThrow((yield* Fiber.join(rendering)).result)

      const next = yield* Effect.forkScoped(run())
      yield* until(() => worker.requests.length === 2)
      finish()
      Result.getOrThrow((yield* Fiber.join(next)).result)
      assert.strictEqual(metadata.asked.length, 2)
      assert.deepStrictEqual(tokens, [tokens[0], tokens[0], tokens[2]])
    })
  )
})

describe("a service", () => {
  it.live("without a free instance is asked later", () =>
    Effect.gen(function* () {
      const { serviceUrl, worker } = yield* CloudRunService.make({ instances: 1 })
      worker.jobs.set(jobFile, "hang")
      const { run } = yield* calling({ serviceUrl })
      yield* Effect.forkScoped(run())
      yield* until(() => worker.running() === 1)
      assert.strictEqual(failureOf(yield* run()).reason._tag, "Throttled")
    })
  )

  it.live("that takes too long is ended by the platform, and chunks have to be smaller", () =>
    Effect.gen(function* () {
      const { serviceUrl } = yield* CloudRunService.make({ timeoutMs: 200, worker: { respond: FakeWorker.hang } })
      const error = failureOf(yield* (yield* calling({ serviceUrl })).run())
      assert.include(error.reason, { _tag: "TimedOut", limit: "platform" })
      assert.match(error.message, /attempt 2 on cloud-run: the platform ended it after \d+ ms: make chunks smaller/)
    })
  )

  it.live("is cut off in the middle of its events at its limit, which is known for what it is", () =>
    Effect.gen(function* () {
      const { serviceUrl } = yield* CloudRunService.make({
        timeoutMs: 200,
        worker: {
          respond: ({ begin, send }) => {
            begin()
            send({ event: "heartbeat" })
          }
        }
      })
      const { reason } = failureOf(yield* (yield* calling({ serviceUrl, maxDuration: "200 millis" })).run())
      assert.include(reason, { _tag: "TimedOut", limit: "platform" })
    })
  )

  it.live("is not sent what it would not take", () =>
    Effect.gen(function* () {
      const { serviceUrl, tokens } = yield* CloudRunService.make()
      const job = { ...attempt(), env: { LARGE: "x".repeat(32 * 1024 ** 2) } }
      const { reason } = failureOf(yield* (yield* calling({ serviceUrl })).run(job))
      assert.include(reason, { _tag: "Refused", why: "TooLarge" })
      assert.deepStrictEqual(tokens, [])
    })
  )
})

describe("options", () => {
  it("say how many attempts suit the service, and how long they can take", () => {
    const { maxDuration = 0, ...info } = CloudRunAdapter.info({})
    assert.deepStrictEqual(info, { name: "cloud-run", stop: "best-effort", where: "remote", concurrency: 100 })
    assert.strictEqual(Duration.toMinutes(Duration.fromInputUnsafe(maxDuration)), 60)
    assert.deepInclude(CloudRunAdapter.info({ maxConcurrency: 20, maxDuration: "15 minutes" }), {
      concurrency: 20,
      maxConcurrency: 20,
      maxDuration: "15 minutes"
    })
  })

  it.live("can come from Config", () =>
    Effect.gen(function* () {
      const { serviceUrl } = yield* CloudRunService.make()
      const workers = CloudRunAdapter.layerConfig({
        serviceUrl: Config.String("SERVICE"),
        concurrency: Config.Int("CONCURRENCY").pipe(Config.withDefault(30))
      })
      const provider = ConfigProvider.fromUnknown({ SERVICE: serviceUrl })
      const result = yield* WorkerAdapter.WorkerAdapter.use((adapter) =>
        Effect.map(
          adapter.execute(attempt(), () => {}),
          ({ exitCode }) => ({ exitCode, concurrency: adapter.info.concurrency })
        )
      ).pipe(Effect.provide(workers.pipe(Layer.provide(ConfigProvider.layer(provider)))))
      assert.deepStrictEqual(result, { exitCode: 0, concurrency: 30 })
    })
  )
})
