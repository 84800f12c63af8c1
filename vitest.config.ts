import { defineConfig } from "vitest/config"

const conditions = ["@helios-infra/source", "module", "node", "development|production"]
const packages = ["core", "process", "adapter-local", "stitcher-ffmpeg"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    projects: packages.map((name) => ({
      extends: true as const,
      test: { name, root: `packages/${name}`, include: ["test/**/*.test.ts"] }
    }))
  }
})
