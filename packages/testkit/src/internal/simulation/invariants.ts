/**
 * What must hold of a whole world, looked at whenever something happens in it and whenever it rests.
 */
import type { JobRecord } from "@helios-infra/core/JobEvent"
import * as JobSpec from "@helios-infra/core/JobSpec"
import type { JobProgress } from "@helios-infra/core/Progress"
import { type FakeFile, isWhole, video } from "../../FakeFiles.ts"
import type { Attempt, Fleet } from "./fleet.ts"
import { type Broken, type Invariant, watchJournal } from "./journalInvariants.ts"
import { finalFile, jobId, type Scenario } from "./scenario.ts"
import type { StoredJob } from "./store.ts"
import type { Machine, Timeline } from "./timeline.ts"

/** What is watched. */
export interface Watched {
  readonly scenario: Scenario
  readonly spec: JobSpec.JobSpec
  readonly timeline: Timeline
  readonly files: Map<string, FakeFile>
  readonly fleet: () => Fleet
  readonly tell: (line: string) => void
}

/** Watches a world with one job. */
export interface Watch {
  readonly broken: ReadonlyArray<Broken>
  readonly broke: (invariant: Invariant, detail: string) => void
  readonly began: (attempt: Attempt) => void
  readonly opened: (job: StoredJob) => void
  readonly appended: (job: StoredJob, records: ReadonlyArray<JobRecord>) => void
  /** There is nothing left to do at this moment. */
  readonly rested: () => void
  /** Somebody took an accepted output away, or spoiled it. */
  readonly spoiled: (location: string) => void
  /** Somebody wants the job deleted: its files may go at any time. */
  readonly deleted: () => void
  /** They have begun to go. */
  readonly deleting: () => void
  /** Nothing of the runs of a machine may be left. */
  readonly returned: (machine: Machine, from: string) => void
  /** Follows what a watcher is told. */
  readonly watcher: (name: string) => (progress: JobProgress) => void
  /** Looks at what must hold in the end. */
  readonly completed: () => void
}

/** How long a run may take to stop its attempts before it says that they have not. */
const stopTimeoutMs = 60_000

/** Watches. */
export const make = ({ fleet, files, scenario, spec, tell, timeline }: Watched): Watch => {
  const broken: Array<Broken> = []
  const broke = (invariant: Invariant, detail: string): void => {
    tell(`BROKEN ${invariant}: ${detail}`)
    broken.push({ invariant, detail, at: timeline.now() })
  }
  const journal = watchJournal(jobId, { retries: scenario.retries }, (one) => {
    tell(`BROKEN ${one.invariant}: ${one.detail}`)
    broken.push(one)
  })
  const frames = JobSpec.chunksInOrder(spec).flatMap(framesOf)
  /** The accepted outputs as they were when they were accepted, by chunk. */
  const outputs = new Map<number, { readonly location: string; readonly file: FakeFile | undefined }>()
  const spoiled = new Set<string>()
  let currentRun = 0
  let over = false
  let seenFinal: FakeFile | undefined

  const began = (one: Attempt): void => {
    const { attempt, chunkId, machine, run } = one
    const name = `chunk ${chunkId}, attempt ${attempt} of run ${run} on ${machine.name}`
    const atOnce = fleet().waitedFor(machine, run).length
    if (atOnce > scenario.concurrency) {
      broke("concurrency", `${name} begins while ${atOnce - 1} others run; ${scenario.concurrency} may at once`)
    }
    // Who was taken over learns of it at its next append; its attempts are fenced by their places.
    if (run !== currentRun) return
    const state = journal.state()
    if (state?.chunks.find(({ id }) => id === chunkId)?.status === "accepted") {
      broke("paid", `${name} begins, and the chunk is accepted`)
    }
    if (state?.status === "completed") broke("outcome", `${name} begins, and the job is completed`)
    const made = fleet().attempts.filter(
      (other) => other.run === run && other.chunkId === chunkId && other.machine === machine
    )
    const counted = made.filter(({ throttled }) => !throttled).length
    if (counted > scenario.retries + 1) {
      broke("retries", `${name} begins: the chunk was tried ${counted} times, with ${scenario.retries} retries`)
    }
  }

  /** Whether an attempt was told to stop long ago, and its run says that it has not. */
  const isIgnored = (one: Attempt, end: { readonly leftover: ReadonlyArray<string> } | undefined): boolean =>
    one.stoppedAt !== undefined &&
    timeline.now() - one.stoppedAt >= stopTimeoutMs &&
    // A run that could not write its end had nowhere to say so.
    (end === undefined || end.leftover.some((text) => text.includes("had not stopped")))

  const appended = (_job: StoredJob, records: ReadonlyArray<JobRecord>): void => {
    for (const record of records) {
      const { event, run } = record
      journal.apply(record)
      if (event._tag === "OutputLost") {
        const output = outputs.get(event.chunk)
        if (output !== undefined && !spoiled.has(output.location)) {
          broke("paid", `chunk ${event.chunk} is taken for lost, and nobody touched ${output.location}`)
        }
        outputs.delete(event.chunk)
      }
      if (event._tag === "ChunkAccepted") {
        const { location } = event.output
        const file = files.get(location)
        const by = fleet().attempts.find(
          (one) => one.run === run && one.chunkId === event.chunk && one.attempt === event.attempt
        )
        if (by?.place !== location) broke("accepted", `${location} is no place of chunk ${event.chunk}'s attempt`)
        const chunk = spec.chunks.find(({ id }) => id === event.chunk)
        if (
          !spoiled.has(location) &&
          (file === undefined || !isWhole(file) || chunk === undefined || !hasFrames(file, framesOf(chunk)))
        ) {
          broke("accepted", `${location} is accepted for chunk ${event.chunk}, and is ${inWords(file)}`)
        }
        outputs.set(event.chunk, { location, file })
      }
      if (event._tag === "RunEnded") {
        if (event.how === "completed") over = true
        for (const one of fleet().attempts) {
          if (one.run !== run) continue
          if (!one.settled && one.machine.alive() && !isIgnored(one, event)) {
            broke("left", `run ${run} says that it has ended, and chunk ${one.chunkId}, attempt ${one.attempt} runs on`)
          }
          if (!one.notStopped) continue
          if (!event.leftover.some((text) => text.includes(`chunk ${one.chunkId}, attempt ${one.attempt}`))) {
            broke("left", `${one.handle} goes on, and is not among what run ${run} left: ${event.leftover.join()}`)
          }
        }
      }
    }
  }

  const rested = (): void => {
    const final = files.get(finalFile)
    if (final !== seenFinal) {
      seenFinal = final
      if (final === undefined) broke("whole", "the final file is gone")
      else if (!isWhole(final)) broke("whole", `the final file is ${inWords(final)}`)
      else if (!hasFrames(final, frames)) {
        broke("frames", `the final file has the frames ${final.frames.join(" ")}, and should have ${frames.join(" ")}`)
      }
    }
    if (over) return
    for (const [chunk, { file, location }] of outputs) {
      if (files.get(location) === file || spoiled.has(location)) continue
      broke("accepted", `${location}, accepted for chunk ${chunk}, is ${inWords(files.get(location))}`)
      spoiled.add(location)
    }
  }

  const returned = (machine: Machine, from: string): void => {
    for (const one of fleet().attempts) {
      if (one.machine !== machine || one.settled || !machine.alive()) continue
      if (isIgnored(one, journal.endOf(one.run))) continue
      broke("left", `${from} is over, and chunk ${one.chunkId}, attempt ${one.attempt} of run ${one.run} runs on`)
    }
  }

  const watcher = (name: string) => {
    let last = 0
    return ({ fraction, status }: JobProgress): void => {
      if (!(fraction >= last)) broke("progress", `${name} was told ${last}, then ${fraction}`)
      last = fraction
      const inPlace = files.get(finalFile) !== undefined
      if (fraction > 1 || (fraction === 1 && (status !== "completed" || !inPlace))) {
        broke(
          "progress",
          `${name} was told ${fraction} while the job is ${status}, its file ${inPlace ? "" : "not "}there`
        )
      }
    }
  }

  const completed = (): void => {
    const state = journal.state()
    const final = files.get(finalFile)
    if (final === undefined) broke("frames", "the job is completed, and its file is not there")
    if (state?.status !== "completed" || state.progress !== 1) {
      broke("live", `the journal says ${state?.status}, ${state?.progress}`)
    }
    for (const path of files.keys()) {
      if (path.startsWith("/job/.helios/")) broke("left", `the job is completed, and ${path} is still there`)
    }
  }

  return {
    broken,
    broke,
    began,
    opened: ({ run }) => {
      currentRun = run
    },
    appended,
    rested,
    spoiled: (location) => void spoiled.add(location),
    deleted: () => {
      over = true
    },
    deleting: () => {
      for (const { location } of outputs.values()) spoiled.add(location)
    },
    returned,
    watcher,
    completed
  }
}

const framesOf = ({ frameCount, startFrame }: JobSpec.Chunk): ReadonlyArray<string> =>
  video(startFrame, frameCount).frames

const hasFrames = ({ frames }: FakeFile, expected: ReadonlyArray<string>): boolean =>
  frames.length === expected.length && frames.every((frame, index) => frame === expected[index])

const inWords = (file: FakeFile | undefined): string =>
  file === undefined
    ? "not there"
    : `${file.frames.length} frames from ${file.frames[0] ?? "none"} on, in ${file.bytes} bytes`
