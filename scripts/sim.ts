/**
 * Simulates many jobs with everything going wrong around them, on every core: `pnpm sim` takes 20 000 seeds,
 * `pnpm sim --from 1000000 --count 500` others. Prints each seed that breaks what must always hold; the exit code is 1
 * then. `pnpm sim --seed 7` tells one seed's story.
 *
 * Children do the work, one for each core, so that packages are taken from their sources.
 */
import { Effect, Schema } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { availableParallelism } from "node:os"
import { performance } from "node:perf_hooks"
import process from "node:process"
import { parseArgs } from "node:util"
import type { Report } from "../packages/testkit/src/Simulation.ts"

/** What a child tells: how many seeds are done since, and what is broken in one of them. */
const News = Schema.Struct({
  done: Schema.Int,
  attempts: Schema.Int,
  runs: Schema.Int,
  deaths: Schema.Int,
  failed: Schema.Array(Schema.Struct({ seed: Schema.String, broken: Schema.Array(Schema.String) }))
})
type News = typeof News.Type

const { values: asked } = parseArgs({
  options: {
    seed: { type: "string" },
    from: { type: "string", default: "1" },
    count: { type: "string", default: "20000" },
    child: { type: "string" }
  }
})
const [from, count] = [Number(asked.from), Number(asked.count)]
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) {
  console.error("--from and --count are whole numbers; --seed takes one seed of any kind")
  process.exit(2)
}
const cores = Math.min(availableParallelism(), count)
/** After how many seeds a child tells of them. */
const batch = 50

const brokenOf = ({ broken }: Report): ReadonlyArray<string> =>
  broken.map(({ at, detail, invariant }) => `${invariant}, at ${at} ms: ${detail}`)

const tellStory = async (seed: string) => {
  const Simulation = await import("../packages/testkit/src/Simulation.ts")
  const report = Effect.runSync(Simulation.run(seed))
  const broken = brokenOf(report)
  console.log(`seed ${seed}\n\n${report.scenario.join("\n")}\n\n${report.story.join("\n")}\n`)
  console.log(broken.length === 0 ? "everything holds that must" : `BROKEN\n${broken.join("\n")}`)
  if (broken.length > 0) process.exitCode = 1
}

/** This child's share of the seeds. */
const simulate = async (first: number) => {
  const Simulation = await import("../packages/testkit/src/Simulation.ts")
  let news: News = { done: 0, attempts: 0, runs: 0, deaths: 0, failed: [] }
  const tell = () => {
    process.send?.(news)
    news = { done: 0, attempts: 0, runs: 0, deaths: 0, failed: [] }
  }
  for (let seed = from + first; seed < from + count; seed += cores) {
    const report = Effect.runSync(Simulation.run(seed))
    const broken = brokenOf(report)
    news = {
      done: news.done + 1,
      attempts: news.attempts + report.attempts,
      runs: news.runs + report.runs,
      deaths: news.deaths + report.deaths,
      failed: broken.length === 0 ? news.failed : [...news.failed, { seed: report.seed, broken }]
    }
    if (news.done === batch) tell()
  }
  tell()
}

const child = (...args: ReadonlyArray<string>): ChildProcess =>
  fork(import.meta.filename, [...process.argv.slice(2), ...args], {
    execArgv: ["--conditions=@helios-infra/source"]
  })

const ended = (one: ChildProcess): Promise<number> =>
  new Promise((resolve) => one.once("exit", (code) => resolve(code ?? 1)))

const simulateAll = async () => {
  const started = performance.now()
  const total = { done: 0, attempts: 0, runs: 0, deaths: 0, failed: 0 }
  const seconds = () => (performance.now() - started) / 1000
  let shown = 0
  const show = (news: News) => {
    total.done += news.done
    total.attempts += news.attempts
    total.runs += news.runs
    total.deaths += news.deaths
    total.failed += news.failed.length
    for (const { broken, seed } of news.failed) {
      console.log(`\nseed ${seed} breaks what must always hold (pnpm sim --seed ${seed} tells its story)`)
      for (const line of broken) console.log(`  ${line}`)
    }
    const line = `${total.done} of ${count} seeds, ${Math.round(total.done / seconds())} per second, ${total.failed} failed`
    if (process.stdout.isTTY) process.stdout.write(`\r${line}`)
    else if (total.done - shown >= count / 10) {
      shown = total.done
      console.log(line)
    }
  }
  const codes = await Promise.all(
    Array.from({ length: cores }, (_, first) => {
      const one = child("--child", String(first))
      one.on("message", (message) => show(Schema.decodeUnknownSync(News)(message)))
      return ended(one)
    })
  )
  const { attempts, deaths, done, failed, runs } = total
  console.log(
    `\n${done} seeds in ${seconds().toFixed(1)} s: ${runs} runs, ${attempts} attempts, ${deaths} orchestrators killed; ${failed} failed`
  )
  if (failed > 0 || done < count || codes.some((code) => code !== 0)) process.exitCode = 1
}

if (asked.child !== undefined) {
  if (asked.seed === undefined) await simulate(Number(asked.child))
  else await tellStory(asked.seed)
} else if (asked.seed === undefined) {
  await simulateAll()
} else {
  process.exitCode = await ended(child("--child", "0"))
}
