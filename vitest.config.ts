import { existsSync, globSync } from "node:fs"
import { basename, delimiter, dirname, join } from "node:path"
import { env } from "node:process"
import { defineConfig } from "vitest/config"

// Packages are tested from their sources, without a build; see the conditions in their `exports`. Not "module": what that
// names is for bundlers, and Node, which loads what is not ours, cannot read the AWS SDK's.
const conditions = ["@helios-infra/source", "node", "development|production"]

/** Every package and example that has tests; `vitest run --project <folder name>` runs one of them. */
const folders = globSync(
  "{packages/*,examples/*,deploy/*,integration,integration/local-lambda,integration/published,site}/test",
  {
    cwd: import.meta.dirname
  }
)
  .map(dirname)
  .toSorted()

/**
 * The ffmpeg of this machine, with which those tests of the stitcher run once more that depend on what ffmpeg does: that of
 * the registry is of 2018.
 */
const ffmpeg = (env["PATH"] ?? "")
  .split(delimiter)
  .map((dir) => join(dir, "ffmpeg"))
  .find((file) => existsSync(file))

/** Tests of types, `*.test-d.ts`, are read by the compiler and never run. */
const typeTests = "packages/*/test/**/*.test-d.ts"

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    // Many tests wait for real processes: two files at a time suit two cores, and a test may wait long for its turn.
    maxWorkers: 2,
    // What a test logs is of interest when it fails.
    silent: "passed-only",
    testTimeout: 30_000,
    hookTimeout: 30_000,
    projects: [
      ...folders.map((root) => ({
        extends: true as const,
        test: { name: basename(root), root, include: ["test/**/*.test.ts"] }
      })),
      ...(ffmpeg === undefined
        ? []
        : [
            {
              extends: true as const,
              test: {
                name: "stitcher-ffmpeg-installed",
                root: "packages/stitcher-ffmpeg",
                include: [
                  "test/{FfmpegStitcherFormats,FfmpegStitcherSound,MatroskaIndex,MediaProbe,MovIndex,Reencode}.test.ts"
                ],
                env: { HELIOS_TEST_FFMPEG: ffmpeg }
              }
            }
          ]),
      ...(globSync(typeTests, { cwd: import.meta.dirname }).length === 0
        ? []
        : [
            {
              extends: true as const,
              test: {
                name: "types",
                include: [],
                typecheck: {
                  enabled: true,
                  only: true,
                  checker: "tsc" as const,
                  include: [typeTests],
                  tsconfig: "tsconfig.json",
                  ignoreSourceErrors: true // `pnpm check types` is about those
                }
              }
            }
          ])
    ]
  }
})
