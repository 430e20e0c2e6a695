import { readdirSync } from "node:fs"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { expectWithin, pace } from "../support/Pace.ts"
import { claudeProcesses } from "../support/ProcessTable.ts"
import { type Answer, scriptedClaude, startServer } from "../support/TestServer.ts"

/** `POST /run` on an executable that misbehaves as it is told. */

beforeAll(() => {
  process.env["ANTHROPIC_API_KEY"] = "sk-test-key-0123456789"
})

const ask = (payload: object): Effect.Effect<Answer> =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const answer = yield* server.run(yield* server.mint("recipes"), payload)
      expect(claudeProcesses(server.config.runsDir)).toEqual([])
      expect(readdirSync(server.config.runsDir)).toEqual([])
      return answer
    }),
  )

describe.concurrent("an executable that", () => {
  it.live("prints half an emoji per write is understood", () =>
    Effect.map(ask({ prompt: "EMOJI" }), ({ json }) => expect(json.result).toBe("😀 naïve 漢字 👩‍👩‍👧")),
  )

  it.live.each([
    ["floods stdout", "FLOOD", "printed more than 67108864 bytes"],
    ["floods stdout with its own protocol", "FLOOD-LINES", "printed more than 67108864 bytes"],
    ["nests its values without end", "NEST", "printed a line of more than 10000 levels"],
    ["prints garbage", "GARBAGE", "what it printed is not its protocol"],
    ["exits 0 in silence", "SILENT", "it exited without printing an answer"],
    ["answers without a text", "NO-TEXT", "its result has no text"],
    ["exits with a code", "EXIT 3", "it exited with code 3"],
    ["is killed", "KILL", "was ended by SIGKILL"],
    ["leaves a child that holds its stdout", "HOLD-PIPE", "it exited without printing an answer"],
    ["leaves a child that talks on in its stdout", "TALK-ON", "what it printed is not its protocol"],
  ])("%s is 502 run_failed, in time", ([, prompt, sentence]) =>
    Effect.flatMap(ask({ prompt, timeout_secs: 150 }), ({ status, json }) => {
      expect([status, json.code]).toEqual([502, "run_failed"])
      expect(json.error).toContain(sentence)
      return Effect.promise(() => expectWithin(json.duration_ms, 25_000))
    }),
  )

  it.live("answers is heard, though a child of it holds its stdout", () =>
    Effect.flatMap(ask({ prompt: "SAY-AND-HOLD-PIPE done", timeout_secs: 150 }), ({ json }) => {
      expect(json.result).toBe("done")
      return Effect.promise(() => expectWithin(json.duration_ms, 25_000))
    }),
  )

  it.live("fails tells why: its exit code, and what it said on stderr", () =>
    Effect.map(ask({ prompt: "EXIT 3" }), ({ json }) =>
      expect(json).toMatchObject({ exit_code: 3, stderr: "scripted failure" }),
    ),
  )

  it.live("quotes the prompt and a secret in its error text is not quoted by us", () =>
    Effect.gen(function* () {
      const { json, text } = yield* ask({ prompt: "QUOTE the patient is Jane Roe, born 1980" })
      expect(json.stderr).toBe("[withheld: it quotes the prompt]")
      expect(text).not.toMatch(/Jane|Roe|sk-test-key/)
    }),
  )

  it.live.each(["DEAF", "DEAF-CHILD"])(
    "ignores SIGTERM (%s) is ended at timeout_secs and a grace of 4 s",
    (prompt) =>
      Effect.gen(function* () {
        // The process must be deaf before the time is over.
        const timeout_secs = Math.max(5, Math.ceil(yield* Effect.promise(pace)))
        const { status, json } = yield* ask({ prompt, timeout_secs })
        expect([status, json.code]).toEqual([504, "timeout"])
        const ending = json.duration_ms - timeout_secs * 1000
        expect(ending).toBeGreaterThanOrEqual(4000)
        yield* Effect.promise(() => expectWithin(ending, 7000))
      }),
  )
})
