import { describe, expect, it } from "@effect/vitest"
import { childEnvironment } from "../../src/infra/ChildEnvironment.ts"

describe("the environment of agents and CLIs", () => {
  it("has the variables on the contract's list", () => {
    const passed = {
      PATH: "/bin",
      HOME: "/root",
      LANG: "C",
      LC_ALL: "C",
      TZ: "UTC",
      TMPDIR: "/tmp",
      NODE_EXTRA_CA_CERTS: "/ca.pem",
      HTTPS_PROXY: "http://proxy",
      no_proxy: "localhost",
      ANTHROPIC_API_KEY: "key",
      CLAUDE_CODE_OAUTH_TOKEN: "token",
      CLAUDE_CONFIG_DIR: "/claude",
      AWS_REGION: "eu",
      GOOGLE_APPLICATION_CREDENTIALS: "/g.json",
      CLOUD_ML_REGION: "eu",
      IS_SANDBOX: "1",
    }
    expect(childEnvironment(passed)).toEqual(passed)
  })

  it("has none of the service's own variables, and none of a session that the service was started from", () => {
    expect(
      childEnvironment({
        ADMIN_BOOTSTRAP_TOKEN: "secret",
        CLAUDE_BIN: "/bin/claude",
        ACPX_BIN: "/bin/acpx",
        CLAWDFORGE_MAX_CONCURRENT_RUNS: "1",
        TRUSTED_PROXIES: "10.0.0.1/32",
        DB_PATH: "/data/db",
        DATABASE_URL: "postgres://",
        CLAUDECODE: "1",
        NODE_OPTIONS: "--inspect",
        LD_PRELOAD: "evil.so",
        GITHUB_TOKEN: "t",
      }),
    ).toEqual({})
  })

  it("drops an IS_SANDBOX that would make the CLI refuse to start", () => {
    expect(childEnvironment({ IS_SANDBOX: "yes" })).toEqual({})
  })
})
