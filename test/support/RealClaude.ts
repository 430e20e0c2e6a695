import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll } from "@effect/vitest"
import { type StandInApi, startStandInApi } from "./StandInApi.ts"

/** The real `claude` of a test file: the stand-in of its provider, and its home. */
export interface RealClaude {
  readonly api: StandInApi
  readonly home: string
}

/**
 * For all tests of a file, has the environment of this process give `claude` a stand-in of its provider and a new home.
 * The getters can be read once the tests run.
 */
export const realClaude = (): RealClaude => {
  let api: StandInApi
  let home: string
  beforeAll(async () => {
    api = await startStandInApi()
    home = mkdtempSync(join(tmpdir(), "clawdforge-home-"))
    Object.assign(process.env, {
      HOME: home,
      ANTHROPIC_BASE_URL: api.url,
      ANTHROPIC_API_KEY: "sk-test-key-0123456789",
    })
  })
  afterAll(async () => {
    await api.close()
    rmSync(home, { recursive: true, force: true })
  })
  return {
    get api() {
      return api
    },
    get home() {
      return home
    },
  }
}
