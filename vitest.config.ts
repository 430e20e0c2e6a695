import { join } from "node:path"
import { defineConfig } from "vitest/config"

// What V8 has compiled once is read from there by every process that the tests start, of the suite and of the service:
// a start of the service takes 1.5 s of processor in place of 1.9 s.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules/.cache/compiled")

/** They need a browser, nginx or a registry, which are not everywhere: a command each. */
const ELSEWHERE = ["test/browser/**", "test/proxy/**", "test/package/**"]

/** They start processes, change the environment of their own, or measure it: each file has a process to itself. */
const ISOLATED = [
  "test/*.test.ts",
  "test/cli/{cli,doctor}.test.ts",
  "test/clients/**/*.test.ts",
  "test/**/*.{real,scripted,soak}.test.ts",
  "test/client/streams.test.ts",
  "test/http/{openapi.breaking,run.escape}.test.ts",
  "test/infra/{ProcessGroups,StatementCount}.test.ts",
  "test/services/{Clis,StrangeAgents}.test.ts",
  "test/testing/standIns.test.ts",
]

/** Their tests have a size (see `test/support/Scale.ts`). */
const SIZED = [
  "test/**/*.soak.test.ts",
  "test/http/sessions.mocked.test.ts",
  "test/services/Unprompted.scripted.test.ts",
  "test/sessions.restart.test.ts",
]

export default defineConfig({
  // The package by its own name is the source, which is always what is to be tested.
  ssr: { resolve: { conditions: ["clawdforge-source"] } },
  test: {
    projects: [
      // They share a thread's modules: to load them takes a file 1.4 s, more than most of these files take to run.
      {
        extends: true,
        test: {
          name: "fast",
          pool: "threads",
          include: ["test/**/*.test.ts"],
          exclude: [...ELSEWHERE, ...ISOLATED],
        },
      },
      { extends: true, test: { name: "service", include: ISOLATED } },
      // At full size.
      {
        extends: true,
        test: { name: "soak", include: SIZED, env: { SOAK: "1" } },
      },
      { extends: true, test: { name: "browser", include: ["test/browser/**/*.test.ts"] } },
      { extends: true, test: { name: "package", include: ["test/package/**/*.test.ts"] } },
      { extends: true, test: { name: "proxy", include: ["test/proxy/**/*.test.ts"] } },
    ],
    // More than the two processors of a small machine: much of the time a worker waits for a process that ends.
    poolOptions: {
      forks: { minForks: 1, maxForks: 3 },
      threads: { minThreads: 1, maxThreads: 2, isolate: false },
    },
    // Of tests that say that they can run beside each other: most of their time they wait for a process.
    maxConcurrency: 4,
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
})
