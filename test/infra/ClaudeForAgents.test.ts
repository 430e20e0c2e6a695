import { execFileSync } from "node:child_process"
import { expect, it } from "@effect/vitest"
import { claudeForAgents } from "../../src/infra/acp/ClaudeForAgents.ts"

/** The arguments that `claude` gets when an adapter calls the wrapper with these. */
const called = (...args: ReadonlyArray<string>): string => {
  const { CLAUDE_CODE_EXECUTABLE = "", ...env } = claudeForAgents("/bin/echo")
  return execFileSync(CLAUDE_CODE_EXECUTABLE, args, { env, encoding: "utf8" }).trim()
}

it.each([
  ["--input-format", "stream-json"],
  ["--input-format=stream-json"],
  ["--verbose", "-p"],
  ["--print", "--verbose"],
])("adds the restrictions however an adapter starts a conversation: %s %s", (...args) => {
  const given = args.filter((arg) => arg !== undefined)
  expect(called(...given, "--dangerously-skip-permissions", "--setting-sources", "user")).toBe(
    [
      ...given,
      "--setting-sources user --setting-sources  --strict-mcp-config --disable-slash-commands --permission-mode default",
      '--settings {"crossSessionInbound":"refuse"}',
      "--tools Bash,Read,Edit,Write,Glob,Grep,NotebookEdit,WebFetch,WebSearch,Agent",
    ].join(" "),
  )
})

it("does not change other calls", () => {
  expect(called("auth", "status", "--json")).toBe("auth status --json")
})
