import { assert, describe, it } from "@effect/vitest"
import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
import type { JobRepository } from "@helios-infra/core"
import { Effect, References, Stream } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
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

/** The ids that a list gives, without what it says about the others. */
const ids = (jobs: JobRepository.JobRepository["Service"]) =>
  Stream.runCollect(jobs.list()).pipe(
    Effect.map((listed) => listed.map(({ id }) => id)),
    Effect.provideService(References.MinimumLogLevel, "None")
  )

const readBytes = (file: string) => Effect.promise(() => fs.readFile(file))

/** A job with a run of three appends that its process did not live to let go of; and the bytes that it wrote. */
const interrupted = Effect.gen(function* () {
  const { dir, folder, jobs } = yield* setUp
  const writer = yield* open(jobs)
  for (const found of ["a", "b", "ü🎬"]) yield* writer.append([lost(`${found}1`), lost(`${found}2`)])
  const run1 = path.join(folder, "run-0001.ndjson")
  return { dir, folder, jobs, run1, bytes: yield* readBytes(run1) }
})

const all = ["a1", "a2", "b1", "b2", "ü🎬1", "ü🎬2"]

describe("a torn tail", () => {
  it.live("is dropped wherever it was torn, and the job goes on from there", () =>
    Effect.gen(function* () {
      const { bytes, folder, jobs, run1 } = yield* interrupted
      const ends = [...bytes.entries()].filter(([, byte]) => byte === 0x0a).map(([index]) => index + 1)
      const lastLine = ends.at(-2) ?? 0
      const next = path.join(folder, "run-0002.ndjson")
      for (let length = lastLine; length <= bytes.length; length++) {
        yield* writeText(run1, bytes.subarray(0, length))
        const expected = length === bytes.length ? all : all.slice(0, 4)
        assert.deepStrictEqual(yield* founds(jobs), expected)
        // Every tenth time, for a run takes a while.
        if (length % 10 > 0 && length < bytes.length) continue
        const writer = yield* open(jobs, "always")
        const [record] = yield* writer.append([lost("next")])
        assert.strictEqual(record?.revision, expected.length + 2)
        yield* writer.close
        assert.deepStrictEqual(yield* founds(jobs), [...expected, "next"])
        yield* Effect.promise(() => fs.rm(next))
      }
    })
  )

  it.live("can be what a disk that lost its power makes of it: nothing but zeros", () =>
    Effect.gen(function* () {
      const { bytes, jobs, run1 } = yield* interrupted
      yield* writeText(run1, Buffer.concat([bytes, Buffer.alloc(5000)]))
      assert.deepStrictEqual(yield* founds(jobs), all)
      yield* Effect.scoped(Effect.flatMap(open(jobs, "always"), ({ append }) => append([lost("next")])))
      assert.deepStrictEqual(yield* founds(jobs), [...all, "next"])
    })
  )

  it.live("is not what a later run has counted: that must be there", () =>
    Effect.gen(function* () {
      const { bytes, jobs, run1 } = yield* interrupted
      yield* Effect.scoped(open(jobs, "always"))
      yield* writeText(run1, bytes.subarray(0, bytes.length - 10))
      const { message, reason } = yield* errorOf(journal(jobs))
      assert.strictEqual(reason._tag, "Corrupt")
      assert.include(message, run1)
    })
  )
})

describe("a damaged middle", () => {
  it.live("is found at any byte, named by file and line, and nothing is changed by that", () =>
    Effect.gen(function* () {
      const { bytes, folder, jobs, run1 } = yield* interrupted
      const lines = bytes.toString().split("\n")
      let offset = 0
      for (const [index, line] of lines.slice(0, -1).entries()) {
        const length = Buffer.byteLength(line)
        for (const at of [0, 7, 12, 20, Math.floor(length / 2), length - 1]) {
          const damaged = Buffer.from(bytes)
          damaged[offset + at] = (damaged[offset + at] ?? 0) ^ 1
          yield* writeText(run1, damaged)
          const { message, reason } = yield* errorOf(journal(jobs))
          assert.strictEqual(reason._tag, "Corrupt", `line ${index + 1}, byte ${at}`)
          assert.include(message, `${run1}, line ${index + 1}`)
          assert.strictEqual(yield* reasonOf(Effect.scoped(open(jobs, "always"))), "Corrupt")
          assert.isTrue(damaged.equals(yield* readBytes(run1)))
          // Whoever tries leaves no more than a run that never began.
          const later = (yield* list(folder)).filter((name) => name > "run-0001.ndjson" && name.startsWith("run-"))
          for (const name of later) {
            assert.strictEqual((yield* readBytes(path.join(folder, name))).length, 0)
            yield* Effect.promise(() => fs.rm(path.join(folder, name)))
          }
        }
        offset += length + 1
      }
      yield* writeText(run1, bytes)
      assert.deepStrictEqual(yield* founds(jobs), all)
    })
  )

  const removals: Record<string, (lines: Array<string>) => Array<string>> = {
    "a line is missing": (lines) => lines.toSpliced(1, 1),
    "a line is there twice": (lines) => lines.toSpliced(1, 0, lines[1] ?? ""),
    "two lines are exchanged": (lines) => [lines[0] ?? "", lines[2] ?? "", lines[1] ?? "", ...lines.slice(3)],
    "an empty line is between": (lines) => lines.toSpliced(2, 0, "")
  }

  it.live.each(Object.entries(removals))("is found when %s", ([, change]) =>
    Effect.gen(function* () {
      const { bytes, jobs, run1 } = yield* interrupted
      yield* writeText(run1, change(bytes.toString().split("\n")).join("\n"))
      assert.strictEqual(yield* reasonOf(journal(jobs)), "Corrupt")
    })
  )

  it.live("is found when a whole run is missing, or is that of another job", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      for (const run of [1, 2, 3]) yield* appendAll(jobs, String(run))
      const file = path.join(folder, "run-0002.ndjson")
      const text = yield* readText(file)
      yield* Effect.promise(() => fs.rm(file))
      const { message, reason } = yield* errorOf(journal(jobs))
      assert.strictEqual(reason._tag, "Corrupt")
      assert.include(message, file)
      yield* writeText(file, yield* readText(path.join(folder, "run-0001.ndjson")))
      assert.strictEqual(yield* reasonOf(journal(jobs)), "Corrupt")
      yield* writeText(file, text)
      assert.deepStrictEqual(yield* founds(jobs), ["1", "2", "3"])
    })
  )

  it.live("does not hide the other jobs, and the job can be deleted", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      yield* jobs.create("other", created)
      for (const text of ["x\n", "", "{}\n", "null\n"]) {
        yield* writeText(path.join(folder, "run-0000.ndjson"), text)
        assert.strictEqual(yield* reasonOf(journal(jobs)), "Corrupt")
        assert.deepStrictEqual(yield* ids(jobs), ["other"])
      }
      yield* jobs.delete("job")
      assert.strictEqual(yield* reasonOf(journal(jobs)), "NotFound")
      yield* jobs.create("job", created)
    })
  )
})

describe("a later version", () => {
  it.live.each([0, 1])("of the file of run %s is left alone", (run) =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      yield* appendAll(jobs, "a")
      const file = path.join(folder, `run-000${run}.ndjson`)
      const text = (yield* readText(file)).replace('"version":1', '"version":2,"new":true')
      yield* writeText(file, text)
      for (const operation of [
        journal(jobs),
        Effect.scoped(open(jobs, "always")),
        jobs.delete("job"),
        Stream.runDrain(jobs.changes("job", 0))
      ]) {
        const { message, reason } = yield* errorOf(operation)
        assert.strictEqual(reason._tag === "NewerVersion" && reason.found, 2)
        assert.include(message, "version 2, which a later @helios-infra/adapter-local wrote: update")
      }
      assert.deepStrictEqual(yield* ids(jobs), [])
      assert.strictEqual(yield* readText(file), text)
    })
  )
})

describe("a folder with other things in it", () => {
  it.live("gives its jobs, and leaves the others alone", () =>
    Effect.gen(function* () {
      const { dir, folder, jobs } = yield* setUp
      const foreign = ["notes.txt", ".DS_Store", `copy-${"0".repeat(32)}`]
      for (const name of foreign) yield* writeText(path.join(dir, name), "mine")
      yield* Effect.promise(() => fs.cp(folder, `${folder} copy`, { recursive: true }))
      yield* Effect.promise(() => fs.cp(folder, path.join(dir, `other-${"1".repeat(32)}`), { recursive: true }))
      yield* Effect.promise(() => fs.mkdir(path.join(dir, `empty-${"2".repeat(32)}`)))
      for (const name of ["run-1.ndjson", "run-0001.ndjson~", "run-x.ndjson", ".run-0001.ndjson.swp", "notes"]) {
        yield* writeText(path.join(folder, name), "mine")
      }
      yield* writeText(path.join(folder, "request-0001-mine.json"), "mine")
      yield* Effect.promise(() => fs.mkdir(path.join(folder, "request-0001-folder.json")))
      assert.deepStrictEqual(yield* ids(jobs), ["job"])
      const writer = yield* open(jobs)
      assert.strictEqual(writer.run, 1)
      yield* jobs.request("job", { _tag: "Cancel", by: "me" })
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(jobs.requests("job"), 1)), [
        { _tag: "Cancel", by: "me" }
      ])
      yield* writer.append([lost("a")])
      assert.deepStrictEqual(yield* founds(jobs), ["a"])
      yield* writer.close
      yield* jobs.delete("job")
      assert.includeMembers(yield* list(dir), foreign)
    })
  )

  it.live("says so where something is in the way", () =>
    Effect.gen(function* () {
      const { dir, folder, jobs } = yield* setUp
      yield* jobs.delete("job")
      yield* writeText(folder, "mine")
      for (const operation of [jobs.create("job", created), journal(jobs)]) {
        const { message, reason } = yield* errorOf(operation)
        assert.strictEqual(reason._tag, "Unavailable")
        assert.include(message, folder)
        assert.include(message, "in its place")
      }
      yield* Effect.promise(() => fs.rm(folder))
      yield* Effect.promise(() => fs.mkdir(path.join(folder, "mine"), { recursive: true }))
      assert.strictEqual(yield* reasonOf(jobs.create("job", created)), "Unavailable")
      const file = path.join(dir, "file")
      yield* writeText(file, "mine")
      const nowhere = yield* FileJobRepository.make({ dir: file })
      for (const operation of [nowhere.create("job", created), journal(nowhere), Stream.runDrain(nowhere.list())]) {
        const { message, reason } = yield* errorOf(operation)
        assert.strictEqual(reason._tag, "Unavailable")
        assert.include(message, file)
      }
    })
  )

  it.live("takes an empty folder of the job's name for what is left of a deletion", () =>
    Effect.gen(function* () {
      const { folder, jobs } = yield* setUp
      yield* jobs.delete("job")
      yield* Effect.promise(() => fs.mkdir(folder))
      assert.strictEqual(yield* reasonOf(journal(jobs)), "NotFound")
      yield* jobs.create("job", created)
      assert.strictEqual((yield* journal(jobs)).length, 1)
    })
  )

  it.live("removes what crashes left long ago, and nothing that may be in use", () =>
    Effect.gen(function* () {
      const { dir, jobs } = yield* setUp
      const token = "00000000000000000001-abcdef12"
      const left = [`.new-${token}`, `.deleted-${token}`]
      for (const name of [...left, `.new-${token}x`]) yield* Effect.promise(() => fs.mkdir(path.join(dir, name)))
      const old = new Date(Date.now() - 2 * 3_600_000)
      for (const name of left) yield* Effect.promise(() => fs.utimes(path.join(dir, name), old, old))
      yield* jobs.delete("job")
      assert.deepStrictEqual(yield* list(dir), [`.new-${token}x`])
    })
  )
})

describe("a folder below a link", () => {
  it.live("is the folder that the link leads to", () =>
    Effect.gen(function* () {
      const { dir, jobs } = yield* setUp
      const link = path.join(yield* temporary, "link")
      yield* Effect.promise(() => fs.symlink(dir, link))
      const other = yield* FileJobRepository.make({ dir: link })
      const writer = yield* open(other)
      assert.strictEqual(yield* reasonOf(open(jobs)), "Running")
      yield* writer.append([lost("a")])
      assert.deepStrictEqual(yield* founds(jobs), ["a"])
    })
  )
})
