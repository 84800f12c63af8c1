import { assert, describe, it } from "@effect/vitest"
import { App, Aspects } from "aws-cdk-lib"
import { CfnFunction } from "aws-cdk-lib/aws-lambda"
import type { IConstruct } from "constructs"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import { makeStack, templateText } from "../src/template.ts"

const outdir = mkdtempSync(join(tmpdir(), "helios-infra-cdk-"))
afterAll(() => rmSync(outdir, { recursive: true }))

describe("template.json", () => {
  it("is what the construct gives; if not, run `pnpm --filter @helios-infra/deploy-aws template`", () => {
    assert.strictEqual(readFileSync(join(import.meta.dirname, "../template.json"), "utf8"), templateText(outdir))
  })

  it("is fit for an account that the CDK never saw: no assets, no bootstrap", () => {
    assert.notMatch(templateText(outdir), /cdk-bootstrap|BootstrapVersion|AssetParameters|cdk-hnb659fds/)
  })

  it("passes AWS's own check of templates, which would notice a property that is not one", { timeout: 120_000 }, () => {
    const synthesise = (change: (app: App) => void): void => {
      // Without the flag, it only warns.
      const context = { "@aws-cdk/core:validateAgainstDefaultRules": true }
      const app = new App({ analyticsReporting: false, context, outdir })
      makeStack(app)
      change(app)
      app.synth()
    }
    const misspell = (node: IConstruct): void => {
      if (node instanceof CfnFunction) node.addPropertyOverride("MemorySyze", 1)
    }
    synthesise(() => {})
    assert.throws(() => synthesise((app) => Aspects.of(app).add({ visit: misspell })), /MemorySyze/)
  })
})
