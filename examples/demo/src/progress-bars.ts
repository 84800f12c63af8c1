/**
 * Shows how far a job is: a live bar for every running chunk and one for all of it; a few plain lines where there is no
 * terminal.
 *
 * `log-update` does the drawing: it rewrites lines in place, whatever the terminal's width, and it is kept (cli-progress,
 * which draws bars as well, has seen no release since 2023). What is drawn is one pure function of the progress.
 */
import type { WriteStream } from "node:tty"
import { stripVTControlCharacters, styleText } from "node:util"
import type { JobProgress } from "@helios-infra/core/Progress"
import { createLogUpdate } from "log-update"

/** Shows a job's progress until `done`. */
export interface ProgressDisplay {
  readonly update: (progress: JobProgress) => void
  /** Shows this last, and leaves it there. */
  readonly done: (progress: JobProgress) => void
}

const seconds = (ms: number): string => (ms < 1000 ? "under 1 s" : `${Math.round(ms / 1000)} s`)

const bar = (fraction: number, width: number): string => {
  const filled = Math.max(0, Math.min(width, Math.round(fraction * width)))
  return `${"█".repeat(filled)}${styleText("dim", "░".repeat(width - filled))}`
}

const label = (text: string): string => `  ${text.padEnd(10)} `

/** The bars as text, for a terminal that is `columns` wide. */
export const drawBars = (progress: JobProgress, columns: number): string => {
  const { chunks, etaMs, fraction, frames } = progress
  const width = Math.max(10, Math.min(40, columns - 48))
  const running = progress.running
    .toSorted((a, b) => a.chunkId - b.chunkId)
    .map(({ attempt, chunkId, frames: { done, total } }) => {
      const again = attempt > 1 ? `, attempt ${attempt}` : ""
      const drawn = bar(total === 0 ? 0 : done / total, width)
      return `${label(`chunk ${chunkId}`)}${styleText("yellow", drawn)} ${done} of ${total} frames${again}`
    })
  const state =
    progress.status === "running" ? (etaMs === undefined ? "" : `, ${seconds(etaMs)} left`) : `, ${progress.status}`
  const all = `${frames.done} of ${frames.total} frames, ${chunks.done} of ${chunks.total} chunks${state}`
  return [...running, `${label("all")}${styleText("green", bar(fraction, width))} ${all}`].join("\n")
}

const drawLine = (progress: JobProgress): string => {
  const { chunks, etaMs, fraction, frames, status } = progress
  const state = status === "running" ? (etaMs === undefined ? "" : `, ${seconds(etaMs)} left`) : `, ${status}`
  const percent = `${Math.floor(fraction * 100)} %`.padStart(7)
  return `${percent}  ${frames.done} of ${frames.total} frames, ${chunks.done} of ${chunks.total} chunks${state}`
}

const onTerminal = (stream: WriteStream): ProgressDisplay => {
  const log = createLogUpdate(stream)
  const color = stream.hasColors()
  let drawnAt = -Infinity
  const draw = (progress: JobProgress): void => {
    const text = drawBars(progress, stream.columns)
    log(color ? text : stripVTControlCharacters(text))
    drawnAt = performance.now()
  }
  return {
    update: (progress) => {
      // Twenty times a second is as good as always.
      if (performance.now() - drawnAt >= 50) draw(progress)
    },
    done: (progress) => {
      draw(progress)
      log.done()
    }
  }
}

/** At most a line for every tenth of the job, and one for how it ended. */
const asLines = (write: (line: string) => void): ProgressDisplay => {
  let tenths = -1
  const update = (progress: JobProgress): void => {
    const now = Math.floor(progress.fraction * 10)
    if (now <= tenths) return
    tenths = now
    write(drawLine(progress))
  }
  return { update, done: (progress) => write(drawLine(progress)) }
}

/** Shows progress on a stream: bars where it is a terminal, lines where it is not. */
export const makeProgressDisplay = (stream: WriteStream | NodeJS.WritableStream): ProgressDisplay =>
  // A terminal that does not say how wide it is cannot be drawn on.
  "isTTY" in stream && stream.isTTY && stream.columns > 0
    ? onTerminal(stream)
    : asLines((line) => stream.write(`${line}\n`))
