/**
 * The world of a simulation: one disk, one store and one fleet for all orchestrators, and what lies between them and each
 * of these. An orchestrator that was killed reaches none of them any more, and hears of nothing.
 */
import * as AdapterPool from "@helios-infra/core/AdapterPool"
import { OutputCheck } from "@helios-infra/core/OutputCheck"
import { JobRepository, RepositoryError, Unavailable } from "@helios-infra/core/JobRepository"
import type * as JobSpec from "@helios-infra/core/JobSpec"
import * as JobManager from "@helios-infra/core/JobManager"
import { ChunkInvalid, StitchError, ToolFailed, VideoStitcher } from "@helios-infra/core/VideoStitcher"
import { WorkerAdapter } from "@helios-infra/core/WorkerAdapter"
import { Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as FailPoints from "../../FailPoints.ts"
import { type FakeFile, FakeFiles, isWhole, join } from "../../FakeFiles.ts"
import * as FakeOutputCheck from "../../FakeOutputCheck.ts"
import * as FakeWorkspace from "../../FakeWorkspace.ts"
import * as Dice from "./dice.ts"
import * as Fleet from "./fleet.ts"
import * as Invariants from "./invariants.ts"
import type { Scenario } from "./scenario.ts"
import * as Store from "./store.ts"
import * as Timeline from "./timeline.ts"

/** What an orchestrator works with. */
export interface Parts {
  readonly repository: JobRepository["Service"]
  readonly workerAdapter: WorkerAdapter["Service"]
  readonly outputCheck: OutputCheck["Service"]
  readonly workspace: Workspace["Service"]
  readonly stitcher: VideoStitcher["Service"]
}

/** What is put in place of what a simulation has. */
export interface Changes {
  /** Changes what an orchestrator works with. */
  readonly parts?: ((parts: Parts) => Parts) | undefined
  /** Changes the orchestrator itself. */
  readonly jobs?: ((jobs: JobManager.JobManager["Service"]) => JobManager.JobManager["Service"]) | undefined
}

/** A process that manages jobs. */
export interface Orchestrator {
  readonly machine: Timeline.Machine
  readonly jobs: JobManager.JobManager["Service"]
  /** Dies when it comes to a point for the nth time. */
  readonly dieAt: (point: FailPoints.FailPoint, nth: number) => void
  /** What a process does that is told to end. */
  readonly close: Effect.Effect<void>
}

/** The world. */
export interface World {
  readonly scenario: Scenario
  readonly spec: JobSpec.JobSpec
  readonly timeline: Timeline.Timeline
  readonly store: Store.Store
  readonly fleet: Fleet.Fleet
  readonly files: Map<string, FakeFile>
  readonly watch: Invariants.Watch
  readonly story: ReadonlyArray<string>
  readonly tell: (line: string) => void
  /** Whether there ever was a job. */
  readonly wasCreated: () => boolean
  readonly boot: () => Orchestrator
  /** Every orchestrator that there was. */
  readonly orchestrators: ReadonlyArray<Orchestrator>
  /** Nothing goes wrong any more. */
  readonly calmDown: () => void
}

/** The files as a machine has them, as long as it lives. */
class Disk extends Map<string, FakeFile> {
  readonly #files: Map<string, FakeFile>
  readonly #alive: () => boolean
  constructor(files: Map<string, FakeFile>, alive: () => boolean) {
    super()
    this.#files = files
    this.#alive = alive
  }
  override get(path: string) {
    return this.#files.get(path)
  }
  override has(path: string) {
    return this.#files.has(path)
  }
  override keys() {
    return this.#files.keys()
  }
  override set(path: string, file: FakeFile) {
    if (this.#alive()) this.#files.set(path, file)
    return this
  }
  override delete(path: string) {
    return this.#alive() && this.#files.delete(path)
  }
}

/** The job file of a scenario. */
const jobFile = ({ chunks }: Scenario): JobSpec.JobSpec => {
  let end = 0
  const planned = chunks.map((frameCount, id) => {
    const startFrame = end
    end += frameCount
    const name = `part_${id}.mov`
    return { id, startFrame, frameCount, outputFile: name, command: `render --from ${startFrame} -o ${name}` }
  })
  return { metadata: { totalFrames: end, fps: 30, width: 64, height: 64 }, chunks: planned }
}

/** Makes a world in which nothing has happened yet; `given` says what the job is, and what its attempts do. */
export const make = (
  scenario: Scenario,
  changes: Changes = {},
  given?: { readonly spec: JobSpec.JobSpec; readonly plan: (chunkId: number, nth: number) => Fleet.Plan }
): World => {
  const spec = given?.spec ?? jobFile(scenario)
  const timeline = Timeline.make(scenario.shuffled ? Dice.make(`${scenario.seed}/order`) : undefined)
  const files = new Map<string, FakeFile>()
  const story: Array<string> = []
  const orchestrators: Array<Orchestrator> = []
  let calm = false
  let created = false
  const tell = (line: string): void => void story.push(`${(timeline.now() / 1000).toFixed(3).padStart(10)} s  ${line}`)

  const watch = Invariants.make({ scenario, spec, timeline, files, tell, fleet: () => fleet })
  const fleet = Fleet.make({
    scenario,
    timeline,
    files,
    calm: () => calm,
    tell,
    onBegin: watch.began,
    plan: given?.plan
  })
  const store = Store.make({
    fencing: scenario.fencing,
    onOpen: (job, by) => {
      tell(`${by.name} has run ${job.run} of ${job.id}`)
      watch.opened(job)
    },
    onAppend: (job, records, by) => {
      for (const { event, revision, run } of records) {
        const { _tag, ...rest } = event
        created ||= _tag === "JobCreated"
        tell(
          `${by.name} run ${run} #${revision} ${_tag}${_tag === "JobCreated" || _tag === "RunStarted" ? "" : ` ${brief(rest)}`}`
        )
      }
      watch.appended(job, records)
    }
  })

  const boot = (): Orchestrator => {
    const name = `orchestrator ${orchestrators.length + 1}`
    const dice = Dice.make(`${scenario.seed}/${name}`)
    const machine: Timeline.Machine = Timeline.machine(timeline, name, dice.random, (line) =>
      tell(`${name} logs: ${line}`)
    )
    machine.onKill(() => tell(`${name} is dead`))
    const disk = new Disk(files, machine.alive)
    const over = FakeFiles.of(disk)

    const deaths: Array<{ readonly point: FailPoints.FailPoint; left: number }> = []
    const reached = (point: FailPoints.FailPoint) =>
      Effect.suspend(() => {
        if (!machine.alive()) return Effect.never
        const death = deaths.find((death) => death.point === point && --death.left === 0)
        if (death === undefined) return Effect.void
        tell(`${name} dies at "${point}"`)
        machine.kill()
        return Effect.never
      })

    const inTrouble = troubles(scenario, timeline, machine, dice, () => calm)
    const own: Parts = {
      repository: FailPoints.around(troubled(Store.repository(store, machine), inTrouble), reached),
      workerAdapter: pooled(scenario, fleet.adapter(machine)),
      outputCheck: check(over),
      workspace: FailPoints.aroundWorkspace(
        faultyDisk(
          Effect.runSync(FakeWorkspace.make().pipe(Effect.provideService(FakeFiles, over))),
          () => !calm && dice.chance(scenario.diskFails)
        ),
        reached
      ),
      stitcher: stitcher(disk, scenario.stitchMs, () => !calm && dice.chance(scenario.stitchFails))
    }
    const parts = changes.parts?.(own) ?? own
    const scope = Scope.makeUnsafe()
    const services = Context.make(JobRepository, parts.repository).pipe(
      Context.add(WorkerAdapter, parts.workerAdapter),
      Context.add(OutputCheck, parts.outputCheck),
      Context.add(Workspace, parts.workspace),
      Context.add(VideoStitcher, parts.stitcher)
    )
    const built = Effect.runSync(Layer.buildWithScope(JobManager.layer, scope).pipe(Effect.provideContext(services)))
    const jobs = Context.get(built, JobManager.JobManager)
    const orchestrator: Orchestrator = {
      machine,
      jobs: changes.jobs?.(jobs) ?? jobs,
      dieAt: (point, left) => void deaths.push({ point, left }),
      close: Scope.close(scope, Exit.void)
    }
    orchestrators.push(orchestrator)
    tell(`${name} is there`)
    return orchestrator
  }

  const calmDown = () => {
    calm = true
    tell("from here on nothing goes wrong any more")
  }
  return {
    scenario,
    spec,
    timeline,
    store,
    fleet,
    files,
    watch,
    story,
    tell,
    wasCreated: () => created,
    boot,
    orchestrators,
    calmDown
  }
}

/** What an event says, in short. */
const brief = (event: object): string =>
  JSON.stringify(event, (_key, value: unknown) =>
    value instanceof Error
      ? value.message
      : typeof value === "number" && !Number.isFinite(value)
        ? String(value)
        : value
  )

/** Does a call to the store with whatever happens to it on the way there and back. */
type Troubles = <A, E, R>(jobId: string, call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RepositoryError, R>

const troubles = (
  { store }: Scenario,
  timeline: Timeline.Timeline,
  machine: Timeline.Machine,
  dice: Dice.Dice,
  calm: () => boolean
): Troubles => {
  const wait = (millis: number) =>
    millis === 0
      ? Effect.void
      : Effect.callback<void>((resume) => {
          timeline.after(millis, () => machine.tell(() => resume(Effect.void)))
        })
  return (jobId, call) =>
    Effect.suspend(() => {
      if (calm()) return call
      const delay = dice.chance(store.slow) ? dice.int(1, store.slowMs) : 0
      const there = dice.int(0, delay)
      const broken = Effect.fail(
        new RepositoryError({ jobId, reason: new Unavailable({ cause: new Error("connection reset") }) })
      )
      if (dice.chance(store.failsBefore)) return Effect.andThen(wait(delay), broken)
      const answered = dice.chance(store.failsAfter) ? Effect.andThen(call, broken) : call
      return wait(there).pipe(
        Effect.andThen(answered),
        Effect.tap(() => wait(delay - there))
      )
    })
}

/** A store that is slow and fails. */
const troubled = (repository: JobRepository["Service"], on: Troubles): JobRepository["Service"] =>
  JobRepository.of({
    ...repository,
    create: (jobId, first) => on(jobId, repository.create(jobId, first)),
    openWriter: (jobId, options) =>
      Effect.map(on(jobId, repository.openWriter(jobId, options)), (writer) => ({
        ...writer,
        append: (events) => on(jobId, writer.append(events))
      })),
    read: (jobId, after) =>
      Stream.unwrap(
        on(
          jobId,
          Effect.sync(() => repository.read(jobId, after))
        )
      ),
    changes: (jobId, after) =>
      Stream.unwrap(
        on(
          jobId,
          Effect.sync(() => repository.changes(jobId, after))
        )
      ),
    list: (options) =>
      Stream.unwrap(
        on(
          "*",
          Effect.sync(() => repository.list(options))
        )
      ),
    request: (jobId, request) => on(jobId, repository.request(jobId, request)),
    requests: (jobId) =>
      Stream.unwrap(
        on(
          jobId,
          Effect.sync(() => repository.requests(jobId))
        )
      ),
    delete: (jobId) => on(jobId, repository.delete(jobId))
  })

/** The adapter, or a pool that reaches the same workers through several. */
const pooled = ({ pool }: Scenario, adapter: WorkerAdapter["Service"]): WorkerAdapter["Service"] => {
  if (pool === undefined) return adapter
  const through = (concurrency: number, index = 0) => ({
    ...adapter,
    info: { ...adapter.info, name: `fleet ${index + 1}`, concurrency }
  })
  const [first, ...others] = pool.slots
  return AdapterPool[pool.kind]([through(first), ...others.map((slots, index) => through(slots, index + 1))])
}

/** A check that also knows the picture's size. */
const check = (files: Map<string, FakeFile>): OutputCheck["Service"] => {
  const { check } = Effect.runSync(FakeOutputCheck.make().pipe(Effect.provideService(FakeFiles, files)))
  return OutputCheck.of({
    check: (job, result) =>
      Effect.map(check(job, result), (output) => {
        const [width, height] = (files.get(output.location)?.picture ?? "").split("x").map(Number)
        return width === undefined || height === undefined ? output : { ...output, format: { width, height } }
      })
  })
}

const faultyDisk = (workspace: Workspace["Service"], fails: () => boolean): Workspace["Service"] => {
  const or = <A, R>(
    path: string,
    reason: WorkspaceError["reason"],
    effect: Effect.Effect<A, WorkspaceError, R>
  ): Effect.Effect<A, WorkspaceError, R> =>
    Effect.suspend(() =>
      fails() ? Effect.fail(new WorkspaceError({ path, reason, cause: new Error("input/output error") })) : effect
    )
  return Workspace.of({
    ...workspace,
    place: (attempt) => or(attempt.outputFile, "NoSpace", workspace.place(attempt)),
    stat: (output) => or(output.location, "Unavailable", workspace.stat(output)),
    stage: (jobId, outputFile) =>
      Effect.map(or(outputFile, "ReadOnly", workspace.stage(jobId, outputFile)), (staged) => ({
        ...staged,
        publish: or(staged.finalPath, "NoSpace", staged.publish)
      })),
    remove: (jobId, keep) => or("/job", "Unavailable", workspace.remove(jobId, keep))
  })
}

/** Joins what there is while it comes; what it has written is half a file until it is done. */
const stitcher = (files: Map<string, FakeFile>, takesMs: number, fails: () => boolean): VideoStitcher["Service"] =>
  VideoStitcher.of({
    stitch: Effect.fnUntraced(function* (request) {
      const frames: Array<string> = []
      yield* Stream.runForEach(request.inputs, ({ chunkId, frameCount, location }) =>
        Effect.suspend(() => {
          const file = files.get(location)
          if (file === undefined || !isWhole(file) || file.frames.length !== frameCount) {
            const reason = new ChunkInvalid({
              expected: `${frameCount} frames at ${location}`,
              found: file === undefined ? "no file" : `${file.frames.length} frames, ${file.bytes} bytes`
            })
            return Effect.fail(new StitchError({ chunkId, reason }))
          }
          frames.push(...file.frames)
          files.set(request.output, { ...join(frames), bytes: 1 })
          return Effect.void
        })
      )
      yield* Effect.sleep(takesMs)
      if (fails()) return yield* new StitchError({ reason: new ToolFailed({ exitCode: 1, stderrTail: "no" }) })
      const joined = join(frames)
      files.set(request.output, joined)
      return { outputFile: request.output, bytes: joined.bytes, frames: frames.length, durationMs: takesMs }
    })
  })
