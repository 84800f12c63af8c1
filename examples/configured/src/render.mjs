import { readFileSync } from "node:fs"
import { loadConfig } from "@helios-infra/config/promise"

const { close, jobs } = await loadConfig()
const job = await jobs.createJob(JSON.parse(readFileSync("job.json", "utf8")))
const { outputFile } = await jobs.runJob(job.id, { outputFile: "film.mp4" })
await close()
console.log(outputFile)
