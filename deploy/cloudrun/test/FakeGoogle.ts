/**
 * A Google Cloud for `deploy.sh`: programs named `gcloud` and `docker`, and what they would have made.
 *
 * The programs ask this process, which takes commands, flags and values as `gcloud` 528 does and no others, and fails as
 * it would: on what is not there, is there already, is of an account that nobody knows yet, or of a service of Google
 * that was not enabled. What Google itself would say of a manifest or a condition, it does not know.
 */
import { Schema } from "effect"
import { execFile } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join, resolve } from "node:path"
import { parse } from "yaml"
import type { Binding } from "./Rights.ts"

export const project = "my-project"
const projectNumber = "123456789012"
const root = resolve(import.meta.dirname, "../../..")
export const script = join(root, "deploy/cloudrun/deploy.sh")

/** How a command is written: how many names it takes, its flags with a value, its flags without. */
interface Shape {
  readonly names: number | "some"
  readonly values?: ReadonlyArray<string>
  readonly switches?: ReadonlyArray<string>
  /** Those of its flags without which it asks, or takes something that nobody has said. */
  readonly required?: ReadonlyArray<string>
  /** What has to be enabled. */
  readonly service?: string
}

const binding = { values: ["condition", "condition-from-file", "member", "role"], required: ["member", "role"] }
const run = { names: 1, service: "run", required: ["region"] }

// Of gcloud 528.0.0, whose own table of commands and flags this was compared with.
const commands: Readonly<Record<string, Shape>> = {
  "services enable": { names: "some", switches: ["async"] },
  "projects describe": { names: 1 },
  "auth configure-docker": { names: 1 },
  "iam service-accounts create": { names: 1, values: ["description", "display-name"], service: "iam" },
  "iam service-accounts describe": { names: 1, service: "iam" },
  "storage buckets create": {
    names: 1,
    values: ["default-storage-class", "lifecycle-file", "location", "soft-delete-duration"],
    switches: ["public-access-prevention", "uniform-bucket-level-access"],
    required: ["location"],
    service: "storage"
  },
  "storage buckets describe": { names: 1, switches: ["raw"], service: "storage" },
  "storage buckets update": {
    names: 1,
    values: ["lifecycle-file", "soft-delete-duration", "update-labels"],
    switches: ["clear-soft-delete", "public-access-prevention", "uniform-bucket-level-access", "versioning"],
    service: "storage"
  },
  "storage buckets add-iam-policy-binding": { names: 1, ...binding, service: "storage" },
  "artifacts repositories create": {
    names: 1,
    values: ["description", "location", "repository-format"],
    switches: ["async", "immutable-tags"],
    required: ["location", "repository-format"],
    service: "artifactregistry"
  },
  "artifacts repositories describe": {
    names: 1,
    values: ["location"],
    required: ["location"],
    service: "artifactregistry"
  },
  "artifacts docker images describe": { names: 1, service: "artifactregistry" },
  "run services replace": { ...run, values: ["region"], switches: ["async", "dry-run"] },
  "run services describe": { ...run, values: ["region"] },
  "run services list": { ...run, names: 0, values: ["filter", "limit", "region"] },
  "run services get-iam-policy": { ...run, values: ["region"] },
  "run services add-iam-policy-binding": {
    ...run,
    values: [...binding.values, "region"],
    required: ["region", ...binding.required]
  }
}
const global = { values: ["format", "project"], switches: ["quiet"] }

/** A command as it was understood. */
interface Call {
  readonly command: string
  readonly names: ReadonlyArray<string>
  readonly flags: ReadonlyMap<string, string>
}

/** A program ends with a message and a code. */
class Failed extends Error {
  readonly code: number
  constructor(message: string, code = 1) {
    super(message)
    this.code = code
  }
}

const understand = (words: ReadonlyArray<string>): Call => {
  const command = Object.keys(commands).find((name) => `${words.join(" ")} `.startsWith(`${name} `))
  const shape = commands[command ?? ""]
  if (command === undefined || shape === undefined) throw new Failed(`no such command: gcloud ${words.join(" ")}`, 2)
  const rest = words.slice(command.split(" ").length)
  const names = rest.filter((word) => !word.startsWith("--"))
  const flags = new Map<string, string>()
  for (const word of rest.filter((word) => word.startsWith("--"))) {
    const [, name = "", value] = /^--([a-z-]+)(?:=(.*))?$/s.exec(word) ?? []
    const kind = value === undefined ? "switches" : "values"
    if (![...(shape[kind] ?? []), ...global[kind]].includes(name) || value === "" || flags.has(name)) {
      throw new Failed(`unrecognized arguments of gcloud ${command}: ${word}`, 2)
    }
    flags.set(name, value ?? "")
  }
  if (shape.names === "some" ? names.length === 0 : names.length !== shape.names) {
    throw new Failed(`gcloud ${command} takes ${shape.names} names, not ${names.join(" ")}`, 2)
  }
  const missing = [...(shape.required ?? []), "project", "quiet"].filter((name) => !flags.has(name))
  if (missing.length > 0) throw new Failed(`gcloud ${command} is not told --${missing.join(", --")}`, 2)
  return { command, names, flags }
}

const Lifecycle = Schema.fromJsonString(Schema.Struct({ rule: Schema.Array(Schema.Unknown) }))
const Condition = Schema.fromJsonString(
  Schema.Struct({ title: Schema.NonEmptyString, expression: Schema.NonEmptyString })
)
/** Of a manifest, what is looked at to deploy it. */
const Manifest = Schema.Struct({
  kind: Schema.Literal("Service"),
  metadata: Schema.Struct({ name: Schema.String }),
  spec: Schema.Struct({
    template: Schema.Struct({
      spec: Schema.Struct({
        serviceAccountName: Schema.String,
        containers: Schema.Tuple([Schema.Struct({ image: Schema.String })])
      })
    })
  })
})
const decodeManifest = Schema.decodeUnknownSync(Manifest)

/** A bucket. */
interface Bucket {
  readonly projectNumber: string
  readonly settings: Record<string, unknown>
}

/** What a run of the script came to. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** All that there is in one Google Cloud, and on the machine that deploys to it. */
export class FakeGoogle {
  readonly enabled = new Set<string>()
  readonly accounts = new Set<string>()
  readonly buckets = new Map<string, Bucket>()
  readonly repositories = new Set<string>()
  readonly services = new Map<string, unknown>()
  readonly images = new Set<string>()
  bindings: ReadonlyArray<Binding> = []
  /** What was asked since it was last emptied, `gcloud storage buckets create` for one. */
  asked: Array<string> = []
  /** How often an account is not known yet that was made. */
  lag = 0
  /** What one of the questions is answered with, by its number from 0 on, in place of what it would be. */
  failing: { readonly at: number; readonly message: string } | undefined

  readonly #built = new Set<string>()
  readonly #registries = new Set<string>()
  readonly #folder = mkdtempSync(join(tmpdir(), "helios-infra-gcloud-"))
  readonly #server = createServer((socket) => {
    let received = ""
    socket.on("data", (piece) => {
      received += piece.toString()
      const [program = "", count = "", ...words] = received.split("\0").slice(0, -1)
      if (count === "" || words.length < Number(count)) return
      const { code, stderr, stdout } = this.#answer(program, words)
      const lines = (text: string) => (text === "" ? [] : text.split("\n"))
      const [out, err] = [lines(stdout), lines(stderr)]
      socket.end([`${code} ${out.length} ${err.length}`, ...out, ...err, ""].join("\n"))
    })
  })

  /** Waits until the programs can ask. */
  async start(): Promise<void> {
    this.#server.listen(0, "127.0.0.1")
    await once(this.#server, "listening")
    const address = this.#server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const bin = join(this.#folder, "bin")
    mkdirSync(bin)
    for (const name of ["gcloud", "docker", "sleep"]) {
      const program = `#!/bin/bash
exec 3<> /dev/tcp/127.0.0.1/${port}
printf '%s\\0' ${name} "$#" "$@" >&3
read -r code out err <&3
for ((; out > 0; out--)); do IFS= read -r line <&3; printf '%s\\n' "$line"; done
for ((; err > 0; err--)); do IFS= read -r line <&3; printf '%s\\n' "$line" >&2; done
exit "$code"
`
      writeFileSync(join(bin, name), program, { mode: 0o755 })
    }
    // And nothing else: no gcloud of this machine, with an account of somebody's, is found.
    for (const name of ["bash", "cat", "dirname", "grep", "mktemp", "rm"]) {
      const program = (process.env["PATH"] ?? "").split(delimiter).find((dir) => existsSync(join(dir, name)))
      symlinkSync(join(program ?? "/bin", name), join(bin, name))
    }
  }

  stop(): void {
    this.#server.close()
    rmSync(this.#folder, { recursive: true })
  }

  /** Runs the script with these variables and no others. */
  deploy(variables: Readonly<Record<string, string>>, ...words: ReadonlyArray<string>): Promise<Outcome> {
    const env = { PATH: join(this.#folder, "bin"), TMPDIR: this.#folder, HOME: this.#folder, ...variables }
    return new Promise((done) => {
      execFile("/bin/bash", [script, ...words], { cwd: this.#folder, env }, (error, stdout, stderr) => {
        done({ code: error === null ? 0 : Number(error.code ?? 128), stdout, stderr })
      })
    })
  }

  /** What `gcloud` answers. */
  ask(words: ReadonlyArray<string>): Outcome {
    return this.#answer("gcloud", words)
  }

  /** What there is, to compare. */
  state() {
    const { accounts, bindings, buckets, enabled, images, repositories, services } = this
    return structuredClone({ accounts, bindings, buckets, enabled, images, repositories, services })
  }

  #answer(program: string, words: ReadonlyArray<string>): Outcome {
    const { failing } = this
    const number = this.asked.length
    this.asked.push(`${program} ${words.join(" ")}`)
    try {
      if (failing?.at === number) throw new Failed(failing.message)
      if (program === "sleep") return { code: 0, stdout: "", stderr: "" }
      const stdout = program === "docker" ? this.#docker(words) : this.#gcloud(understand(words))
      return { code: 0, stdout, stderr: "" }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      return { code: error instanceof Failed ? error.code : 1, stdout: "", stderr: `ERROR: ${message}` }
    }
  }

  #gcloud({ command, flags, names }: Call): string {
    const [name = ""] = names
    const service = commands[command]?.service
    if (service !== undefined && !this.enabled.has(`${service}.googleapis.com`)) {
      throw new Failed(`${service}.googleapis.com is not enabled`)
    }
    if (flags.get("project") !== project) throw new Failed(`there is no project ${flags.get("project")}`)
    switch (command) {
      case "services enable":
        for (const enabled of names) this.enabled.add(enabled)
        return ""
      case "projects describe":
        return projectNumber
      case "auth configure-docker":
        this.#registries.add(name)
        return ""
      case "iam service-accounts create":
        return this.#create(this.accounts, `${name}@${project}.iam.gserviceaccount.com`)
      case "iam service-accounts describe":
        return this.#find(this.accounts, name)
      case "storage buckets create":
        if (this.buckets.has(name)) throw new Failed("HTTPError 409: The requested bucket name is not available.")
        this.buckets.set(name, { projectNumber, settings: this.#settings(flags) })
        return ""
      case "storage buckets describe":
        return this.#bucket(name).projectNumber
      case "storage buckets update":
        Object.assign(this.#bucket(name).settings, this.#settings(flags))
        return ""
      case "storage buckets add-iam-policy-binding":
        this.#bucket(name)
        return this.#bind(name, flags)
      case "artifacts repositories create":
        return this.#create(this.repositories, name)
      case "artifacts repositories describe":
        return this.#find(this.repositories, name)
      case "artifacts docker images describe":
        this.#find(this.images, name)
        return `sha256:${"ab".repeat(32)}`
      case "run services replace":
        return this.#replace(name)
      case "run services describe":
        if (!this.services.has(name)) throw new Failed(`Cannot find service [${name}]`)
        return `https://${name}-abc-ew.a.run.app`
      case "run services list":
        return [...this.services.keys()].filter((there) => flags.get("filter") === `metadata.name=${there}`).join("\n")
      case "run services get-iam-policy":
        return JSON.stringify(this.bindings.filter(({ on }) => on === name))
      default:
        if (!this.services.has(name)) throw new Failed(`Cannot find service [${name}]`)
        return this.#bind(name, flags)
    }
  }

  #docker([verb = "", ...words]: ReadonlyArray<string>): string {
    const last = words.at(-1) ?? ""
    if (verb === "build") {
      const [platform, file, tag, ...more] = ["--platform", "--file", "--tag"].map(
        (flag) => words[words.indexOf(flag) + 1]
      )
      if (platform !== "linux/amd64" || words.length !== 7 || more.length > 0)
        throw new Failed(`docker build ${words.join(" ")}`)
      if (resolve(last) !== root || !existsSync(file ?? "")) throw new Failed(`nothing to build in ${last}`)
      this.#built.add(tag ?? "")
      return ""
    }
    const [registry = "", , repository = ""] = last.split("/")
    if (verb !== "push" || !this.#built.has(last)) throw new Failed(`no such image: docker ${verb} ${last}`)
    if (!this.#registries.has(registry) || !this.repositories.has(repository)) throw new Failed("denied: push")
    this.images.add(last)
    return ""
  }

  #create(all: Set<string>, name: string): string {
    if (all.has(name)) throw new Failed(`${name} is there already`)
    all.add(name)
    return ""
  }

  #find(all: ReadonlySet<string>, name: string): string {
    if (!all.has(name)) throw new Failed(`NOT_FOUND: ${name}`)
    return name
  }

  #bucket(name: string): Bucket {
    const bucket = this.buckets.get(name)
    if (bucket === undefined) throw new Failed(`${name} not found: 404.`)
    return bucket
  }

  #settings(flags: Call["flags"]): Record<string, unknown> {
    const lifecycle = flags.get("lifecycle-file")
    const told = [...flags].filter(([name]) => ![...global.values, ...global.switches, "lifecycle-file"].includes(name))
    return {
      ...Object.fromEntries(told.map(([name, value]) => [name, value === "" ? true : value])),
      ...(lifecycle === undefined
        ? undefined
        : { lifecycle: Schema.decodeUnknownSync(Lifecycle)(readFileSync(lifecycle, "utf8")).rule })
    }
  }

  #bind(on: string, flags: Call["flags"]): string {
    const [member = "", role = "", file, none] = ["member", "role", "condition-from-file", "condition"].map((name) =>
      flags.get(name)
    )
    // Without either, gcloud asks where there are conditions already.
    if ((file === undefined) === (none === undefined) || (none ?? "None") !== "None") {
      throw new Failed(`gcloud has to be told --condition=None or --condition-from-file for ${role}`, 2)
    }
    const email = member.replace(/^serviceAccount:/, "")
    if (!this.accounts.has(email) || this.lag-- > 0) throw new Failed(`Service account ${email} does not exist.`)
    const condition = file === undefined ? undefined : Schema.decodeUnknownSync(Condition)(readFileSync(file, "utf8"))
    const binding = { on, role, member, ...(condition === undefined ? undefined : { condition: condition.expression }) }
    const isSame = (other: Binding) => JSON.stringify(other) === JSON.stringify(binding)
    if (!this.bindings.some(isSame)) this.bindings = [...this.bindings, binding]
    return ""
  }

  #replace(file: string): string {
    const manifest: unknown = parse(readFileSync(file, "utf8"))
    const { metadata, spec } = decodeManifest(manifest)
    const [{ image }] = spec.template.spec.containers
    const { serviceAccountName } = spec.template.spec
    if (!this.accounts.has(serviceAccountName))
      throw new Failed(`Service account ${serviceAccountName} does not exist.`)
    const [name = ""] = image.split("@")
    if (image.includes(project) && !this.images.has(`${name}:latest`)) throw new Failed(`Image '${image}' not found.`)
    this.services.set(metadata.name, manifest)
    return ""
  }
}
