import { assert, describe, it } from "@effect/vitest"
import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
import { JobEvent, WorkerError } from "@helios-infra/core"
import { Arbitrary, Effect, Fiber, Result, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { crc32 } from "node:zlib"
import { spec } from "./fixtures/rendering.ts"
import {
  appendAll,
  created,
  errorOf,
  founds,
  journal,
  list,
  lost,
  open,
  readText,
  reasonOf,
  setUp,
  temporary,
  writeText
} from "./JobsFolder.ts"

const segment = (folder: string, run: number) => path.join(folder, `run-${String(run).padStart(4, "0")}.ndjson`)

const jsonOf = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(Schema.Array(JobEvent.JobRecord))))

const modeOf = (file: string) => Effect.promise(() => fs.stat(file).then(({ mode }) => mode & 0o777))

/** Ids that file systems, shells and people stumble over. */
const hostileIds = [
  "../x",
  "../../../etc/passwd",
  "/etc/passwd",
  "..",
  ".",
  "",
  "a/b",
  "a\\b",
  "A",
  "a",
  "Job",
  "job",
  "jOb",
  "x".repeat(300),
  `${"x".repeat(299)}y`,
  "new\nline",
  "nul\0",
  "con",
  "-rf",
  "ü",
  "u\u0308",
  "ビデオ🎬",
  "\ud800",
  "\ud801",
  "\ufffd"
]

describe("FileJobRepository", () => {
  it.live("says what it promises", () =>
    Effect.gen(function* () {
      const { jobs } = yield* setUp
      assert.deepStrictEqual(jobs.guarantees, { fencing: true, crossProcess: true, durable: "batch" })
    })
  )

  it.live("makes its folder with the first job; until then there are no jobs", () =>
    Effect.gen(function* () {
      const dir = path.join(yield* temporary, "not", "there")
      const jobs = yield* FileJobRepository.make({ dir })
      assert.deepStrictEqual(yield* Stream.runCollect(jobs.list()), [])
      assert.strictEqual(yield* reasonOf(journal(jobs)), "NotFound")
      yield* jobs.create("job", created)
      assert.strictEqual((yield* journal(jobs)).length, 1)
    })
  )

  it.live("keeps any id apart from any other, inside the folder, and gives it back", () =>
    Effect.gen(function* () {
      const { dir, jobs } = yield* setUp
      const ids = hostileIds.filter((id) => id !== "job")
      for (const [index, jobId] of ids.entries()) {
        yield* jobs.create(jobId, { _tag: "JobCreated", version: 1, spec: spec(index + 1) })
        assert.strictEqual(yield* reasonOf(jobs.create(jobId, created)), "AlreadyExists")
      }
      for (const [index, jobId] of ids.entries()) {
        const [record] = yield* journal(jobs, jobId)
        assert.strictEqual(record?.event._tag === "JobCreated" && record.event.spec.chunks.length, index + 1)
      }
      const names = yield* list(dir)
      assert.strictEqual(new Set(names.map((name) => name.toLowerCase())).size, hostileIds.length)
      assert.isTrue(names.every((name) => /^[\w-]+$/.test(name) && name.length < 100))
      assert.deepStrictEqual(yield* list(path.dirname(dir)), ["jobs"])
      const listed = yield* Stream.runCollect(jobs.list())
      assert.deepStrictEqual(
        listed.map(({ id }) => id),
        ["job", ...ids].toReversed()
      )
    })
  )

  it.live("is for its user alone: job files hold commands and addresses", () =>
    Effect.gen(function* () {
      const { dir, folder, jobs } = yield* setUp
      yield* appendAll(jobs, "a")
      yield* jobs.request("job", { _tag: "Cancel", by: "me" })
      yield* Stream.runDrain(jobs.list())
      assert.strictEqual(yield* modeOf(dir), 0o700)
      assert.strictEqual(yield* modeOf(folder), 0o700)
      const names = yield* list(folder)
      assert.strictEqual(names.length, 4)
      for (const name of names) assert.strictEqual(yield* modeOf(path.join(folder, name)), 0o600, name)
    })
  )

  it.live("writes lines that people and other tools can read", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      const writer = yield* open(jobs)
      yield* writer.append([lost("a"), lost("b")])
      yield* writer.close
      const lines = (yield* readText(segment(folder, 1))).split("\n")
      const Line = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
      const parsed = lines.slice(0, -1).map((line) => Schema.decodeSync(Line)(line))
      assert.deepStrictEqual(
        parsed.map((line) => Object.keys(line).join(" ")),
        ["crc format version jobId journal run revision owner previous", "crc revision at events", "crc released"]
      )
      assert.deepStrictEqual(parsed[1]?.["events"], [lost("a"), lost("b")])
      assert.strictEqual(lines.at(-1), "")
    })
  )

  it.effect("takes its times from the clock", () =>
    Effect.gen(function* () {
      const jobs = yield* FileJobRepository.make({ dir: yield* temporary })
      yield* TestClock.adjust(1234)
      yield* jobs.create("job", created)
      yield* TestClock.adjust(500)
      const records = yield* Effect.flatMap(open(jobs), ({ append }) => append([lost("a"), lost("b")]))
      assert.deepStrictEqual(records, [
        { revision: 2, run: 1, at: 1734, event: lost("a") },
        { revision: 3, run: 1, at: 1734, event: lost("b") }
      ])
      assert.deepStrictEqual(yield* journal(jobs), [{ revision: 1, run: 0, at: 1234, event: created }, ...records])
    })
  )

  const events = Arbitrary.array(Arbitrary.schema(JobEvent.JobEvent), { maxLength: 8 })

  it.live.prop(
    "gives back any event as it was",
    [events],
    ([events]) =>
      Effect.gen(function* () {
        const { jobs } = yield* setUp
        const writer = yield* open(jobs)
        const appended = yield* writer.append(events)
        const read = yield* journal(jobs, "job", 1)
        assert.deepStrictEqual(jsonOf(read), jsonOf(appended))
        for (const { event } of read) {
          if (event._tag === "AttemptEnded" && event.error !== undefined) {
            assert.instanceOf(event.error, WorkerError.WorkerError)
          }
        }
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 15 } }
  )
})

describe("create", () => {
  it.live("lets one of many win, and shows nobody a job without its first event", () =>
    Effect.gen(function* () {
      const { dir } = yield* setUp
      const repositories = yield* Effect.forEach([1, 2, 3, 4], () => FileJobRepository.make({ dir }))
      for (let round = 0; round < 10; round++) {
        const jobId = `round ${round}`
        const watch = Effect.suspend(() => Stream.runCollect(repositories[0]?.read(jobId) ?? Stream.empty)).pipe(
          Effect.catchReason("RepositoryError", "NotFound", () => Effect.undefined),
          Effect.repeat({ until: (records) => records !== undefined })
        )
        const watching = yield* Effect.forkChild(watch)
        const results = yield* Effect.forEach(repositories, (jobs) => Effect.result(jobs.create(jobId, created)), {
          concurrency: "unbounded"
        })
        assert.strictEqual(results.filter(Result.isSuccess).length, 1)
        for (const result of results) {
          if (Result.isFailure(result)) assert.strictEqual(result.failure.reason._tag, "AlreadyExists")
        }
        assert.strictEqual((yield* Fiber.join(watching))?.length, 1)
      }
      assert.deepStrictEqual(
        (yield* list(dir)).filter((name) => name.startsWith(".")),
        []
      )
    })
  )

  it.live("refuses what is no JSON, and leaves nothing of it", () =>
    Effect.gen(function* () {
      const dir = yield* temporary
      const jobs = yield* FileJobRepository.make({ dir })
      const create = jobs.create("job", { _tag: "JobCreated", version: 1, spec: Object.assign(spec(1), { size: 10n }) })
      assert.strictEqual(yield* reasonOf(create), "Unavailable")
      assert.deepStrictEqual(yield* list(dir), [])
    })
  )
})

describe("openWriter", () => {
  it.live("takes over when told to: what the earlier writer wrote after that is in its file, and does not count", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      const first = yield* open(jobs)
      yield* first.append([lost("before")])
      const second = yield* open(jobs, "always")
      const { message, reason } = yield* errorOf(first.append([lost("stale")]))
      assert.strictEqual(reason._tag, "Fenced")
      assert.include(message, "run 1")
      assert.include(yield* readText(segment(folder, 1)), "stale")
      yield* second.append([lost("after")])
      assert.deepStrictEqual(yield* founds(jobs), ["before", "after"])
    })
  )

  it.live("fences a writer that has closed", () =>
    Effect.gen(function* () {
      const { jobs } = yield* setUp
      const writer = yield* open(jobs)
      yield* writer.close
      assert.strictEqual(yield* reasonOf(writer.append([lost("late")])), "Fenced")
    })
  )

  const owners: Record<string, { readonly from: RegExp; readonly to: string; readonly result: string }> = {
    "of another host is not taken for dead": { from: /"host":"[^"]*"/, to: '"host":"elsewhere"', result: "unknown" },
    "from before this machine was started is dead": { from: /"bootId":"[^"]*"/, to: '"bootId":"x"', result: "dead" },
    "whose process has ended is dead": { from: /"pid":\d+/, to: '"pid":999999999', result: "dead" },
    "whose number another process has now is dead": {
      from: /"processStart":"\d+"/,
      to: '"processStart":"1"',
      result: "dead"
    }
  }

  it.live.each(Object.entries(owners))("a writer %s", ([, { from, result, to }]) =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      const writer = yield* open(jobs)
      yield* writer.append([lost("a")])
      yield* rewriteHeader(segment(folder, 1), from, to)
      const [job] = yield* Stream.runCollect(jobs.list())
      assert.strictEqual(job?.owner, result)
      const opened = yield* Effect.result(open(jobs))
      assert.strictEqual(Result.isSuccess(opened), result === "dead")
      if (Result.isFailure(opened)) {
        const { reason } = opened.failure
        assert.strictEqual(reason._tag === "Running" && reason.alive, "unknown")
        assert.include(opened.failure.message, "elsewhere")
        yield* open(jobs, "always")
      }
      assert.deepStrictEqual(yield* founds(jobs), ["a"])
    })
  )

  it.live("goes past a run that never began: its process died with an empty file, or half a header", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      yield* appendAll(jobs, "a")
      const old = new Date(Date.now() - 60_000)
      const header = (yield* readText(segment(folder, 1))).split("\n")[0] ?? ""
      for (const [run, text] of [
        [2, ""],
        [3, header.slice(0, 100)]
      ] as const) {
        yield* writeText(segment(folder, run), text)
        yield* Effect.promise(() => fs.utimes(segment(folder, run), old, old))
      }
      assert.deepStrictEqual(yield* founds(jobs), ["a"])
      const writer = yield* open(jobs)
      assert.strictEqual(writer.run, 4)
      yield* writer.append([lost("b")])
      assert.deepStrictEqual(yield* founds(jobs), ["a", "b"])
    })
  )

  it.live("waits for a run that is about to begin, and no longer than it must", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      const writer = yield* open(jobs)
      yield* writer.append([lost("a")])
      yield* writeText(segment(folder, 2), "")
      // Nobody can say yet whether this one counts.
      const { message, reason } = yield* errorOf(writer.append([lost("b")]))
      assert.strictEqual(reason._tag, "Unavailable")
      assert.include(message, segment(folder, 2))
      const next = yield* open(jobs, "always")
      assert.strictEqual(next.run, 3)
      assert.deepStrictEqual(yield* founds(jobs), ["a", "b"])
    })
  )
})

/** Changes a header, which is what another process would have written. */
const rewriteHeader = (file: string, from: RegExp, to: string) =>
  Effect.gen(function* () {
    const text = yield* readText(file)
    const [header = "", ...lines] = text.split("\n")
    const changed = header.replace(from, to)
    assert.notStrictEqual(changed, header)
    const rest = changed.slice('{"crc":"00000000",'.length)
    const checked = `{"crc":"${crc32(rest).toString(16).padStart(8, "0")}",${rest}`
    yield* writeText(file, [checked, ...lines].join("\n"))
  })

describe("append", () => {
  it.live("of an event that is no JSON fails alone", () =>
    Effect.gen(function* () {
      const { jobs } = yield* setUp
      const writer = yield* open(jobs)
      const bad: JobEvent.JobEvent = { _tag: "JobCreated", version: 1, spec: Object.assign(spec(1), { size: 10n }) }
      assert.strictEqual(yield* reasonOf(writer.append([lost("with it"), bad])), "Unavailable")
      yield* writer.append([lost("after it")])
      assert.deepStrictEqual(yield* founds(jobs), ["after it"])
    })
  )

  it.live("takes events that are larger than what is read at once", () =>
    Effect.gen(function* () {
      const { jobs } = yield* setUp
      const large = ["ü".repeat(1_000_000), "x", "🎬".repeat(300_000), "y"]
      yield* appendAll(jobs, ...large)
      assert.deepStrictEqual(yield* founds(jobs), large)
    })
  )
})

describe("requests", () => {
  it.live("are removed when the next run begins", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      const requests = Effect.map(list(folder), (names) => names.filter((name) => name.includes("request")))
      const first = yield* open(jobs)
      yield* jobs.request("job", { _tag: "Cancel", by: "me" })
      assert.strictEqual((yield* requests).length, 1)
      yield* first.close
      yield* open(jobs)
      assert.deepStrictEqual(yield* requests, [])
    })
  )
})

describe("delete", () => {
  it.live("leaves nothing in the folder", () =>
    Effect.gen(function* () {
      const { dir, jobs } = yield* setUp
      yield* appendAll(jobs, "a")
      yield* jobs.request("job", { _tag: "Cancel", by: "me" })
      yield* jobs.delete("job")
      assert.deepStrictEqual(yield* list(dir), [])
    })
  )

  it.live("takes a job once, however many ask, and never one that somebody has begun to write", () =>
    Effect.gen(function* () {
      const { dir, jobs } = yield* setUp
      for (let round = 0; round < 20; round++) {
        const results = yield* Effect.forEach(
          [jobs.delete("job"), jobs.delete("job"), Effect.asVoid(open(jobs))],
          Effect.result,
          { concurrency: "unbounded" }
        )
        const [a, b, opened] = results.map(Result.isSuccess)
        assert.strictEqual([a, b, opened].filter((succeeded) => succeeded).length, 1)
        yield* Effect.ignore(jobs.create("job", created))
        yield* Effect.flatMap(open(jobs, "always"), ({ close }) => close)
      }
      assert.strictEqual((yield* list(dir)).length, 1)
    })
  )
})

describe("list", () => {
  it.live("gives the same whether it has read the journals before or not", () =>
    Effect.gen(function* () {
      const { dir, jobs } = yield* setUp
      yield* jobs.create("running", created)
      yield* appendAll(jobs, "a")
      const { append } = yield* open(jobs, "if-dead", "running")
      yield* append([lost("b")])
      const all = yield* Stream.runCollect(jobs.list())
      assert.sameDeepMembers(
        all.map(({ id, owner, run }) => [id, owner, run]),
        [
          ["running", "alive", 1],
          ["job", "none", 1]
        ]
      )
      const other = yield* FileJobRepository.make({ dir })
      assert.deepStrictEqual(yield* Stream.runCollect(other.list()), all)
    })
  )

  it.live("reads a journal that nobody writes once, and again when it has grown", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      yield* appendAll(jobs, "a")
      const [first] = yield* Stream.runCollect(jobs.list())
      // Not what the journal says, but as large: only who reads it again notices.
      const text = yield* readText(segment(folder, 1))
      yield* writeText(segment(folder, 1), text.replace('"found":"a"', '"found":"b"'))
      assert.deepStrictEqual(yield* Stream.runCollect(jobs.list()), first === undefined ? [] : [first])
      yield* writeText(segment(folder, 1), text)
      const { append, close, run } = yield* open(jobs)
      yield* append([{ _tag: "RunEnded", run, how: "failed", leftover: [] }])
      yield* close
      const [second] = yield* Stream.runCollect(jobs.list())
      assert.deepStrictEqual([first?.status, second?.status, second?.run], ["pending", "failed", 2])
    })
  )

  it.live("does not believe a summary that is damaged or of another job", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      const summary = path.join(folder, "summary.json")
      const expected = yield* Stream.runCollect(jobs.list())
      const kept = yield* readText(summary)
      for (const text of ["", "{", kept.slice(0, 40), kept.replace(/"journal":"./, '"journal":"x'), "[]"]) {
        yield* writeText(summary, text.replace('"pending"', '"completed"'))
        assert.deepStrictEqual(yield* Stream.runCollect(jobs.list()), expected)
        assert.strictEqual(yield* readText(summary), kept)
      }
    })
  )
})
