import { defineConfig } from "vitest/config"

export default defineConfig({
  // The package by its own name is the source, which is always what is to be tested.
  ssr: { resolve: { conditions: ["clawdforge-source"] } },
  test: {
    // A browser, nginx and a registry are not everywhere: `npm test` runs the first, `npm run test:browser`,
    // `test:package` and `test:proxy` the others.
    projects: [
      {
        extends: true,
        test: {
          name: "service",
          include: ["test/**/*.test.ts"],
          exclude: ["test/browser/**", "test/proxy/**", "test/package/**"],
        },
      },
      { extends: true, test: { name: "browser", include: ["test/browser/**/*.test.ts"] } },
      { extends: true, test: { name: "package", include: ["test/package/**/*.test.ts"] } },
      { extends: true, test: { name: "proxy", include: ["test/proxy/**/*.test.ts"] } },
    ],
    // Their real processes want the rest of a small machine.
    poolOptions: { forks: { minForks: 1, maxForks: 2 } },
    // Of tests that say that they can run beside each other.
    maxConcurrency: 2,
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
})
