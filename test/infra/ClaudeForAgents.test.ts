import { execFileSync } from "node:child_process"
import { expect, it } from "@effect/vitest"
import { claudeForAgents } from "../../src/infra/acp/ClaudeForAgents.ts"

/** What `claude` is called with when an adapter calls it so. */
const called = (...args: ReadonlyArray<string>): string => {
  const { CLAUDE_CODE_EXECUTABLE = "", ...env } = claudeForAgents("/bin/echo")
  return execFileSync(CLAUDE_CODE_EXECUTABLE, args, { env, encoding: "utf8" }).trim()
}

it.each([
  ["--input-format", "stream-json"],
  ["--input-format=stream-json"],
  ["--verbose", "-p"],
  ["--print", "--verbose"],
])("closes what an adapter leaves open, however it asks for a conversation: %s %s", (...args) => {
  const given = args.filter((arg) => arg !== undefined)
  expect(called(...given, "--dangerously-skip-permissions", "--setting-sources", "user")).toBe(
    [
      ...given,
      "--setting-sources user --setting-sources  --strict-mcp-config --disable-slash-commands --permission-mode default",
    ].join(" "),
  )
})

it("leaves other calls alone", () => {
  expect(called("auth", "status", "--json")).toBe("auth status --json")
})
