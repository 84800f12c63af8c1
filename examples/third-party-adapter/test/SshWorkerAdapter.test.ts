import { assert, describe, it } from "@effect/vitest"
import { LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository, OutputCheck, Plugin, WorkerAdapter } from "@helios-infra/core"
import { Environment } from "@helios-infra/process"
import { Duration, Effect, Fiber, Layer, Schedule } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as SshWorkerAdapter from "../src/SshWorkerAdapter.ts"
import { attempt } from "./attempt.ts"
import * as Farm from "./Farm.ts"

/** An adapter before a host of the test's configuration, and what it tells. */
const farm = Effect.fnUntraced(function* (host: string = "farm") {
  const { configFile } = yield* Farm.sshd
  const folder = yield* Farm.folder
  const { execute, reap } = yield* SshWorkerAdapter.make({ host, folder, configFile, killGrace: Duration.millis(200) })
  const signals: Array<WorkerAdapter.WorkerSignal> = []
  const run = (command: string) =>
    execute(attempt(command, path.join(folder, "1.mov")), (signal) => void signals.push(signal))
  return { configFile, folder, reap, run, signals }
})

const running = (folder: string) => Effect.sync(() => Farm.renderingIn(folder))

const until = <E>(condition: Effect.Effect<boolean, E>) =>
  condition.pipe(
    Effect.repeat({ until: (met) => met, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("30 seconds")
  )

/** A command that does not want to end, and has a child that wants it even less. */
const stubborn = `sh -c 'trap "" TERM; setsid sleep 600 & sleep 600'`

const reasonOf = Effect.fnUntraced(function* (host: string) {
  const { folder, run, signals } = yield* farm(host)
  const { reason } = yield* Effect.flip(run("touch ran"))
  assert.deepStrictEqual(yield* Effect.promise(() => fs.readdir(folder)), [], "nothing should run")
  assert.isEmpty(
    signals.filter(({ _tag }) => _tag !== "Line"),
    "nobody should be told to run it"
  )
  return reason
})

describe("the plugin", () => {
  it.effect("makes an adapter of a line of configuration", () =>
    Effect.gen(function* () {
      const registry = yield* Plugin.registry([SshWorkerAdapter.worker])
      const config = { type: "ssh", host: "render@farm-7", folder: "/srv/film", concurrency: 8, killGrace: "1 second" }
      const { info } = yield* Effect.provide(WorkerAdapter.WorkerAdapter, yield* registry.resolve("worker", config))
      assert.deepInclude(info, { name: "ssh", concurrency: 8, maxConcurrency: 8 })
    })
  )

  it.effect.each(["-oProxyCommand=reboot", "farm:/etc", "two words", ""])("has no host %j", (host) =>
    Effect.gen(function* () {
      const registry = yield* Plugin.registry([SshWorkerAdapter.worker])
      const error = yield* Effect.flip(registry.resolve("worker", { type: "ssh", host, folder: "/srv/film" }))
      assert.include(error.message, "host")
    })
  )
})

describe.skipIf(Farm.missing !== undefined)(`before a real sshd${Farm.missing ?? ""}`, () => {
  it.live.each(["unknown", "mistaken", "stranger"])(
    "a machine that is not known, or not this one, or does not know us, is refused: %s",
    (host) =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(host)
        assert.deepInclude(reason, { _tag: "Refused", why: "Unauthorized" })
      })
  )

  it.live.each(["closed", "nowhere"])("a machine that cannot be reached is tried again: %s", (host) =>
    Effect.gen(function* () {
      const reason = yield* reasonOf(host)
      assert.strictEqual(reason._tag, "Transport", reason.message)
    })
  )

  it.live("a machine that takes no more connections is given time", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* reasonOf("full"))._tag, "Throttled")
    })
  )

  it.live("without an ssh here, says what to install", () =>
    Effect.gen(function* () {
      const { run } = yield* farm().pipe(Effect.provideService(Environment.ParentEnvironment, { PATH: "/nowhere" }))
      const { reason } = yield* Effect.flip(run("true"))
      assert.deepInclude(reason, { _tag: "Refused", why: "NotFound" })
    })
  )

  it.live("arguments arrive as they are, through every shell on the way", () =>
    Effect.gen(function* () {
      const { folder, run } = yield* farm()
      const { stdout } = yield* run(
        `printf '[%s]\\n' '$(touch oops)' "it's" '\`id\`' 'a\nb' '\\' '' '*' '; exit 9' -n 映画`
      )
      assert.strictEqual(stdout, "[$(touch oops)]\n[it's]\n[`id`]\n[a\nb]\n[\\]\n[]\n[*]\n[; exit 9]\n[-n]\n[映画]\n")
      assert.deepStrictEqual(yield* Effect.promise(() => fs.readdir(folder)), [])
    })
  )

  it.live("a lost connection is a lost worker, and what it ran is ended", () =>
    Effect.gen(function* () {
      const { folder, run, signals } = yield* farm()
      const { cut } = yield* Farm.sshd
      const fiber = yield* Effect.forkChild(Effect.flip(run(stubborn)))
      yield* until(Effect.map(running(folder), (count) => count === 2))
      cut()
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "WorkerLost")
      assert.strictEqual(yield* running(folder), 0)
      assert.isFalse(signals.some(({ _tag }) => _tag === "NotStopped"))
    })
  )

  it.live("what was begun by a process that was killed ends by itself", () =>
    Effect.gen(function* () {
      const { configFile, folder } = yield* farm()
      const orchestrator = spawn(
        process.execPath,
        [
          "--conditions=@helios-infra/source",
          path.join(import.meta.dirname, "fixtures/orchestrator.ts"),
          configFile,
          folder
        ],
        { stdio: ["ignore", "pipe", "inherit"] }
      )
      yield* Effect.promise(() => once(orchestrator.stdout, "data"))
      yield* until(Effect.map(running(folder), (count) => count === 2))
      orchestrator.kill("SIGKILL")
      yield* until(Effect.map(running(folder), (count) => count === 0))
    })
  )

  it.live("another process ends what is left, by its handle", () =>
    Effect.gen(function* () {
      const { configFile, folder, run, signals } = yield* farm()
      const fiber = yield* Effect.forkChild(Effect.flip(run(stubborn)))
      yield* until(Effect.map(running(folder), (count) => count === 2))
      const handles = signals.flatMap((signal) => (signal._tag === "Assigned" ? [signal.handle ?? ""] : []))
      const other = yield* SshWorkerAdapter.make({ host: "farm", folder, configFile, killGrace: Duration.millis(200) })
      assert.deepStrictEqual(yield* other.reap("film", ["2147483647", "../../tmp", ...handles]), { leftover: [] })
      assert.strictEqual(yield* running(folder), 0)
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "RenderFailed")
      const gone = yield* SshWorkerAdapter.make({ host: "closed", folder, configFile })
      assert.deepStrictEqual(
        yield* gone.reap("film", handles),
        { leftover: handles },
        "who cannot ask must not say none"
      )
    })
  )

  it.live("renders a job", () =>
    Effect.gen(function* () {
      const { configFile, folder } = yield* farm()
      const config = { type: "ssh", host: "farm", folder, configFile, concurrency: 2 }
      const registry = yield* Plugin.registry([SshWorkerAdapter.worker])
      const services = JobManager.layer.pipe(
        Layer.provide([
          JobRepository.layerMemory,
          yield* registry.resolve("worker", config),
          OutputCheck.layerPresence
        ]),
        Layer.provideMerge(LocalWorkspace.layer({ dir: path.join(folder, "here") }))
      )
      yield* Effect.promise(() => fs.mkdir(path.join(folder, "here")))
      yield* Effect.promise(() => fs.writeFile(path.join(folder, "scene.txt"), "frame "))
      const chunks = [0, 1, 2, 3].map((id) => ({
        id,
        startFrame: id,
        frameCount: 1,
        outputFile: `part_${id}.txt`,
        command: `sh -c 'cat scene.txt > "$1" && echo ${id} >> "$1"' sh part_${id}.txt`
      }))
      yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        const { id } = yield* jobs.create({ metadata: { totalFrames: 4, fps: 1, width: 64, height: 64 }, chunks })
        yield* jobs.run(id)
      }).pipe(Effect.provide(services))
      const texts = yield* Effect.promise(() =>
        Promise.all(chunks.map(({ outputFile }) => fs.readFile(path.join(folder, "here", outputFile), "utf8")))
      )
      assert.deepStrictEqual(texts, ["frame 0\n", "frame 1\n", "frame 2\n", "frame 3\n"])
    })
  )
})
