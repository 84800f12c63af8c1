/** The service as it is deployed: `service.yaml`, with what `deploy.sh` puts into it. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll } from "vitest"
import { parse } from "yaml"
import { FakeGoogle, project } from "./FakeGoogle.ts"
import * as Manifest from "./Manifest.ts"

const file = readFileSync(join(import.meta.dirname, "../service.yaml"), "utf8")
const image = `europe-west1-docker.pkg.dev/elsewhere/farm/worker@sha256:${"0".repeat(64)}`
const told = { PROJECT: project, REGION: "europe-west1", BUCKET: "my-renders", IMAGE: image }

const google = new FakeGoogle()
let deployed: ReturnType<typeof deployedWith>
beforeAll(async () => {
  await google.start()
  deployed = deployedWith({})
  await deployed
})
afterAll(() => google.stop())

/** The service that is there after it was deployed so. */
const deployedWith = async (more: Readonly<Record<string, string>>) => {
  const { code, stderr } = await google.deploy({ ...told, ...more })
  assert.strictEqual(code, 0, stderr)
  return Manifest.decode(google.services.get(more["SERVICE"] ?? "render-worker"))
}

describe("the service", () => {
  it("renders one chunk per instance, for as long as Cloud Run lets it", async () => {
    const { spec } = (await deployed).spec.template
    assert.strictEqual(spec.containerConcurrency, 1)
    assert.strictEqual(spec.timeoutSeconds, 3600)
  })

  it("tells the server all that it has to know, and the time that it really has", async () => {
    const { spec } = (await deployed).spec.template
    const [{ env }] = spec.containers
    assert.deepStrictEqual(Object.fromEntries(env.map(({ name, value }) => [name, value])), {
      HELIOS_INFRA_AUTH: "platform",
      HELIOS_INFRA_BUCKET: "my-renders",
      HELIOS_INFRA_TIMEOUT: String(spec.timeoutSeconds),
      GOOGLE_CLOUD_PROJECT: project
    })
  })

  it("is called by nobody whom IAM does not let in, since the server trusts in that", async () => {
    const { metadata } = await deployed
    assert.strictEqual(metadata.annotations["run.googleapis.com/invoker-iam-disabled"], "false")
    assert.notMatch(file, /allUsers|allow-unauthenticated/)
  })

  it("runs as an account of its own, not as the one that may change the project", async () => {
    const { spec } = (await deployed).spec.template
    assert.strictEqual(spec.serviceAccountName, `render-worker@${project}.iam.gserviceaccount.com`)
  })

  it("runs the image that was named, in the environment that Chromium needs", async () => {
    const { template } = (await deployed).spec
    assert.strictEqual(template.spec.containers[0].image, image)
    assert.strictEqual(template.metadata.annotations["run.googleapis.com/execution-environment"], "gen2")
  })

  it("costs nothing while nothing renders", async () => {
    const { annotations } = (await deployed).spec.template.metadata
    assert.strictEqual(annotations["autoscaling.knative.dev/minScale"], "0")
    assert.strictEqual(annotations["run.googleapis.com/cpu-throttling"], "true")
  })

  it("writes to a part of its memory that has an end", async () => {
    const { containers, volumes } = (await deployedWith({ MEMORY: "8Gi", SCRATCH: "3Gi" })).spec.template.spec
    const [{ resources, volumeMounts }] = containers
    assert.deepStrictEqual(volumeMounts, [{ name: "scratch", mountPath: "/tmp" }])
    assert.deepStrictEqual(volumes, [{ name: "scratch", emptyDir: { medium: "Memory", sizeLimit: "3Gi" } }])
    assert.deepStrictEqual(resources.limits, { cpu: "2", memory: "8Gi" })
  })

  it("is as large, as many and as hidden as one says, under the name that one says", async () => {
    const { metadata, spec } = await deployedWith({
      SERVICE: "farm",
      CPU: "8",
      MEMORY: "16Gi",
      MAX_INSTANCES: "250",
      INGRESS: "internal"
    })
    assert.strictEqual(metadata.name, "farm")
    assert.strictEqual(metadata.annotations["run.googleapis.com/ingress"], "internal")
    assert.strictEqual(spec.template.metadata.annotations["autoscaling.knative.dev/maxScale"], "250")
    assert.deepStrictEqual(spec.template.spec.containers[0].resources.limits, { cpu: "8", memory: "16Gi" })
  })
})

describe("the probes", () => {
  it("ask for no path that Cloud Run may keep to itself, at the port that requests go to", async () => {
    const [{ livenessProbe, ports, startupProbe }] = (await deployed).spec.template.spec.containers
    for (const { httpGet } of [startupProbe, livenessProbe]) {
      assert.notMatch(httpGet.path, /z$|^\/_ah\/|^\/eventlog$/)
      assert.strictEqual(httpGet.port, ports[0].containerPort)
    }
  })

  it("keep to Cloud Run's limits, and leave a busy instance alone for minutes", async () => {
    const [{ livenessProbe, startupProbe }] = (await deployed).spec.template.spec.containers
    for (const { periodSeconds, timeoutSeconds } of [startupProbe, livenessProbe]) {
      assert.isAtMost(timeoutSeconds, periodSeconds)
    }
    assert.isAtMost(startupProbe.periodSeconds * startupProbe.failureThreshold, 240)
    assert.isAtLeast(livenessProbe.periodSeconds * livenessProbe.failureThreshold, 120)
  })
})

describe("service.yaml", () => {
  it("is YAML before anything is put into it", () => {
    assert.isObject(parse(file))
  })

  it("would not pass with a key or an annotation that is not one, or a value that is no text", async () => {
    await deployed
    const text = JSON.stringify(google.services.get("render-worker"))
    for (const [right, wrong] of [
      ['"containerConcurrency"', '"concurrency"'],
      ['"run.googleapis.com/ingress"', '"run.googleapis.com/ingres"'],
      ['"timeoutSeconds":3600', '"timeoutSeconds":3601'],
      ['"run.googleapis.com/cpu-throttling":"true"', '"run.googleapis.com/cpu-throttling":true']
    ] as const) {
      assert.include(text, right)
      assert.throws(() => Manifest.decode(JSON.parse(text.replace(right, wrong))), undefined, undefined, wrong)
    }
  })
})
