/** The script, run by bash against a Google Cloud of the tests: no command of it reaches a real one. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { afterEach, beforeEach } from "vitest"
import { FakeGoogle, project, script } from "./FakeGoogle.ts"
import * as Rights from "./Rights.ts"

const bucket = "my-renders"
const told = { PROJECT: project, REGION: "europe-west1", BUCKET: bucket }
const worker = `render-worker@${project}.iam.gserviceaccount.com`
const orchestrator = `render-orchestrator@${project}.iam.gserviceaccount.com`
const digest = `sha256:${"ab".repeat(32)}`

let google: FakeGoogle
beforeEach(async () => {
  google = new FakeGoogle()
  await google.start()
})
afterEach(() => google.stop())

/** Runs the script, which has to get through. */
const deploy = async (more: Readonly<Record<string, string>> = {}): Promise<string> => {
  const { code, stderr, stdout } = await google.deploy({ ...told, ...more })
  assert.strictEqual(code, 0, stderr)
  return stdout
}

/** Runs the script, which has to refuse, and gives what it says. */
const refusal = async (variables: Readonly<Record<string, string>>, ...words: ReadonlyArray<string>) => {
  const { code, stderr } = await google.deploy(variables, ...words)
  assert.strictEqual(code, 1, stderr)
  return stderr
}

const asked = (what: string): ReadonlyArray<string> => google.asked.filter((words) => words.includes(what))

describe("the script", () => {
  it("is one that bash can read", () => {
    execFileSync("/bin/bash", ["-n", script])
  })

  it("makes two accounts, a bucket, a repository with the image, and the service, and says where they are", async () => {
    const image = `europe-west1-docker.pkg.dev/${project}/render-worker/worker`
    assert.deepStrictEqual((await deploy()).trimEnd().split("\n"), [
      "SERVICE_URL=https://render-worker-abc-ew.a.run.app",
      `BUCKET=${bucket}`,
      `ORCHESTRATOR=${orchestrator}`,
      `IMAGE=${image}@${digest}`
    ])
    assert.deepStrictEqual([...google.accounts], [worker, orchestrator])
    assert.deepStrictEqual([...google.buckets.keys()], [`gs://${bucket}`])
    assert.deepStrictEqual([...google.images], [`${image}:latest`])
    assert.deepStrictEqual([...google.services.keys()], ["render-worker"])
  })

  it("changes nothing, and makes nothing again, when it is run again", async () => {
    await deploy()
    const before = google.state()
    google.asked = []
    await deploy()
    assert.deepStrictEqual(google.state(), before)
    assert.deepStrictEqual(asked(" create "), [])
  })

  it("stops where something fails, wherever that is, and gets through when it is run again", async () => {
    await deploy()
    const [whole, questions] = [google.state(), google.asked]
    const interrupted = async (question: string, at: number) => {
      const other = new FakeGoogle()
      await other.start()
      other.failing = { at, message: "the network is gone" }
      const { code, stderr } = await other.deploy(told)
      // What is not found is made, and may be: here nothing was there.
      const looked = / (?:service-accounts|buckets|repositories) describe /.test(question)
      assert.strictEqual(code, looked ? 0 : 1, `${question}: ${stderr}`)
      if (!looked) {
        assert.include(stderr, "the network is gone")
        assert.strictEqual(other.asked.length, at + 1, `went on after ${question}`)
      }
      other.failing = undefined
      const again = await other.deploy(told)
      assert.strictEqual(again.code, 0, `${question}: ${again.stderr}`)
      assert.deepStrictEqual(other.state(), whole)
      other.stop()
    }
    assert.isAbove(questions.length, 20)
    await Promise.all(questions.map(interrupted))
  })

  it("waits for accounts that were just made to be known", async () => {
    google.lag = 3
    await deploy()
    assert.deepStrictEqual(asked("sleep"), ["sleep 5", "sleep 5", "sleep 5"])
  })

  it("does not wait for ever, and says what was asked and what came back", async () => {
    google.lag = 1000
    const said = await refusal(told)
    assert.match(
      said,
      /add-iam-policy-binding failed 6 times, at last with: .*Service account render-worker@.* does not exist/
    )
    assert.strictEqual(google.services.size, 0)
  })

  it("takes an image that is there, and needs no Docker for it", async () => {
    const image = `europe-west1-docker.pkg.dev/elsewhere/farm/worker@${digest}`
    assert.include(await deploy({ IMAGE: image }), `IMAGE=${image}\n`)
    assert.deepStrictEqual([...asked("docker build"), ...asked("docker push"), ...asked("artifacts")], [])
  })
})

describe("the bucket", () => {
  it("is nobody's but who is granted something, and forgets jobs after a week and assets after a month", async () => {
    await deploy()
    assert.deepStrictEqual(google.buckets.get(`gs://${bucket}`)?.settings, {
      location: "europe-west1",
      "uniform-bucket-level-access": true,
      "public-access-prevention": true,
      "clear-soft-delete": true,
      lifecycle: [
        { action: { type: "Delete" }, condition: { age: 7, matchesPrefix: ["jobs/"] } },
        { action: { type: "Delete" }, condition: { age: 30, matchesPrefix: ["assets/"] } }
      ]
    })
  })

  it("gets what is changed later", async () => {
    await deploy()
    await deploy({ JOB_DAYS: "1" })
    const rule = { action: { type: "Delete" }, condition: { age: 1, matchesPrefix: ["jobs/"] } }
    assert.deepInclude(google.buckets.get(`gs://${bucket}`)?.settings["lifecycle"], rule)
  })

  it("is not that of somebody else, whose name was taken first", async () => {
    google.buckets.set(`gs://${bucket}`, { projectNumber: "666", settings: {} })
    assert.include(await refusal(told), `bucket ${bucket} is that of another project (666)`)
    assert.deepStrictEqual(google.buckets.get(`gs://${bucket}`)?.settings, {})
    assert.deepStrictEqual(google.bindings, [])
  })
})

describe("who may do what", () => {
  it("lets workers read jobs and assets, and write outputs, but change no job", async () => {
    await deploy()
    const may = Rights.ofAccount(google.bindings, worker, bucket)
    const outputs = ["jobs/film/chunks/0/1.1/output.mov", "jobs/a%2Fb/chunks/12/3.2/log.txt"]
    const jobs = ["jobs/film/job.json", "jobs/film/assets.json", "jobs/chunks/job.json", "jobs/chunks"]
    const assets = [`assets/${"0".repeat(64)}`, "assets/jobs/film/chunks/0"]
    for (const key of [...outputs, ...jobs, ...assets]) assert.isTrue(may.get(key), key)
    for (const key of outputs) assert.isTrue(may.create(key) && may.delete(key), key)
    for (const key of [...jobs, ...assets, "other/jobs/film/chunks/0", "jobs//chunks/0"]) {
      assert.isFalse(may.create(key) || may.delete(key), key)
    }
    assert.isFalse(may.get("other/file") || may.get("jobs") || may.list())
  })

  it("lets who runs jobs keep files in the bucket, and call the service", async () => {
    await deploy()
    const may = Rights.ofAccount(google.bindings, orchestrator, bucket)
    const keys = ["assets/0", "jobs/film/job.json", "jobs/film/chunks/0/1.1/output.mov"]
    for (const key of keys) assert.isTrue(may.get(key) && may.create(key) && may.delete(key), key)
    assert.isTrue(may.list())
    assert.deepStrictEqual(
      google.bindings.filter(({ on }) => on === "render-worker"),
      [{ on: "render-worker", role: "roles/run.invoker", member: `serviceAccount:${orchestrator}` }]
    )
  })

  it("grants nothing else to anybody", async () => {
    await deploy()
    assert.deepStrictEqual(
      google.bindings.map(({ member, on, role }) => [on, member, role]),
      [
        [`gs://${bucket}`, `serviceAccount:${worker}`, "roles/storage.objectViewer"],
        [`gs://${bucket}`, `serviceAccount:${worker}`, "roles/storage.objectUser"],
        [`gs://${bucket}`, `serviceAccount:${orchestrator}`, "roles/storage.objectUser"],
        ["render-worker", `serviceAccount:${orchestrator}`, "roles/run.invoker"]
      ]
    )
  })

  it.each(["allUsers", "allAuthenticatedUsers"])("does not deploy where %s may call the service", async (member) => {
    await deploy()
    google.bindings = [...google.bindings, { on: "render-worker", role: "roles/run.invoker", member }]
    google.asked = []
    assert.include(await refusal(told), "lets everybody in")
    assert.deepStrictEqual(asked("replace"), [])
  })

  it.each(["services list", "get-iam-policy"])("does not deploy where nobody answers %s", async (question) => {
    await deploy()
    google.asked = []
    await deploy()
    const at = google.asked.findIndex((words) => words.includes(question))
    google.asked = []
    google.failing = { at, message: "PERMISSION_DENIED" }
    assert.include(await refusal(told), "PERMISSION_DENIED")
    assert.strictEqual(google.asked.length, at + 1)
  })
})

describe("the parameters", () => {
  it.each([
    ["PROJECT", "", "PROJECT is not set"],
    ["REGION", "", "REGION is not set"],
    ["BUCKET", "", "BUCKET is not set"],
    ["PROJECT", "my project", "PROJECT cannot be"],
    ["BUCKET", "gs://my-renders", "BUCKET cannot be"],
    ["BUCKET", "my-renders/objects/' || true || '", "BUCKET cannot be"],
    ["SERVICE", "a\n  annotations: {}", "SERVICE cannot be"],
    ["SERVICE", "--allow-unauthenticated", "SERVICE cannot be"],
    ["IMAGE", "europe-west1-docker.pkg.dev/p/r/worker:latest", "by its digest"],
    ["CPU", "3", "CPU cannot be"],
    ["MEMORY", "4G", "MEMORY cannot be"],
    ["MAX_INSTANCES", "0", "MAX_INSTANCES cannot be"],
    ["INGRESS", "everybody", "INGRESS cannot be"],
    ["JOB_DAYS", "-1", "JOB_DAYS cannot be"],
    ["SCRATCH", "4096Mi", "has to be smaller"],
    ["ORCHESTRATOR_ACCOUNT", "render-worker", "are the same"]
  ])("are looked at before anything is done: %s=%j", async (name, value, said) => {
    assert.include(await refusal({ ...told, [name]: value }), said)
    assert.deepStrictEqual(google.asked, [])
  })

  it("are no arguments", async () => {
    assert.include(await refusal(told, "--allow-unauthenticated"), "not arguments")
    assert.deepStrictEqual(google.asked, [])
  })
})

describe("the Google Cloud of these tests", () => {
  it.each([
    "run services replace service.yaml",
    "run services replace service.yaml --region=r --project=my-project",
    "run deploy worker --allow-unauthenticated --project=my-project --quiet",
    "run services replace service.yaml --region=r --allow-unauthenticated --project=my-project --quiet",
    "run services replace service.yaml --region --project=my-project --quiet",
    "projects add-iam-policy-binding my-project --member=a --role=roles/owner --project=my-project --quiet"
  ])("does not know gcloud %s", (words) => {
    assert.strictEqual(google.ask(words.split(" ")).code, 2)
  })

  it("does not know conditions that it cannot judge", () => {
    const object = { type: "storage.googleapis.com/Object", name: "projects/_/buckets/b/objects/jobs/j" }
    assert.throws(() => Rights.holds("resource.name.matches('.*')", object), "what is resource.name.matches?")
    assert.throws(() => Rights.holds("resource.name.startsWith('p') true", object), "more than a condition")
  })
})
