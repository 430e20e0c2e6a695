import { join } from "node:path"
import { describe, expect, it, vi } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, type Scope, Stream } from "effect"
import { AGENT, type Agents, BACKENDS, makeAgents } from "../support/AgentClient.ts"

const LITERAL_AGENT = join(import.meta.dirname, "../support/literal-agent.mjs")

/** An agent with fixed answers to these methods. */
const answering = (answers: object) =>
  new Map([
    [AGENT, { command: process.execPath, args: [LITERAL_AGENT, "--answers", JSON.stringify(answers)] }],
  ])

/** A prompt that makes it write these messages. */
const writing = (...messages: ReadonlyArray<object>) =>
  JSON.stringify(
    messages.map((message) => JSON.stringify({ jsonrpc: "2.0", ...message }).replaceAll('"$ID"', "$ID")),
  )
const END = { id: "$ID", result: { stopReason: "end_turn" } }

const check = (name: string, body: (agents: Agents) => Effect.Effect<unknown, unknown, Scope.Scope>): void =>
  it.live(name, () =>
    Effect.scoped(
      Effect.gen(function* () {
        const agents = yield* makeAgents(BACKENDS.direct)
        yield* Effect.scoped(body(agents))
        expect(agents.processes()).toEqual([])
      }),
    ),
  )

const unavailable = Exit.fail(expect.objectContaining({ _tag: "AgentUnavailable" }))

describe("an agent that breaks the protocol", () => {
  const hello = { protocolVersion: 1 }
  const strange: ReadonlyArray<readonly [string, object]> = [
    ["answers the handshake with null", { initialize: { result: null } }],
    ["has malformed capabilities", { initialize: { result: { ...hello, agentCapabilities: 7 } } }],
    ["has a malformed name", { initialize: { result: { ...hello, agentInfo: { name: {}, version: 1 } } } }],
    ["opens a session with null", { "session/new": { result: null } }],
    ["opens a session with an object for a name", { "session/new": { result: { sessionId: { a: 1 } } } }],
    ["opens a session without a name", { "session/new": { result: {} } }],
    [
      "has malformed modes",
      { "session/new": { result: { sessionId: "s-1", modes: { availableModes: "all" } } } },
    ],
    ["refuses with a malformed error", { "session/new": { error: "no" } }],
  ]
  for (const [how, answers] of strange) {
    check(`is unavailable when it ${how}`, (agents) =>
      Effect.gen(function* () {
        const { acp, session } = yield* agents.client({ agents: answering(answers) })
        const opened = yield* Effect.exit(acp.open(session(), Option.none()))
        expect(opened).toEqual(unavailable)
      }),
    )
  }
})

const forgetful = answering({ "session/new": { result: { sessionId: "s-1" } } })

describe("an agent that gives the same name to two sessions", () => {
  check("in one process: the second is refused, and the first can still be used", (agents) =>
    Effect.gen(function* () {
      const { acp, opened, session } = yield* agents.client({ agents: forgetful })
      const first = yield* opened()
      expect(yield* Effect.exit(acp.open(session(), Option.none()))).toEqual(unavailable)
      expect(yield* first.ask(writing(END))).toMatchObject([{ result: { stopReason: "end_turn" } }])
    }),
  )

  check("in two processes: neither is mistaken for the other", (agents) =>
    Effect.gen(function* () {
      const first = yield* Effect.scoped(
        Effect.flatMap(agents.client({ agents: forgetful }), ({ opened }) => opened()),
      )
      const { acp, opened } = yield* agents.client({ agents: forgetful })
      const second = yield* opened()
      expect(second.ref).toBe(first.ref)
      const again = acp.open(first.session, Option.some({ ref: first.ref, answered: true }))
      expect(yield* Effect.exit(again)).toEqual(unavailable)
      yield* acp.close(first.session, first.ref)
      expect(yield* second.ask(writing(END))).toHaveLength(1)
    }),
  )
})

describe("an agent's answer to a prompt", () => {
  check("may have an error that is null", (agents) =>
    Effect.gen(function* () {
      const { opened } = yield* agents.client({ agents: answering({}) })
      const { ask } = yield* opened()
      expect(yield* ask(writing({ ...END, error: null }))).toHaveLength(1)
    }),
  )

  check("may be an error of any shape, which ends only this turn", (agents) =>
    Effect.gen(function* () {
      const { opened } = yield* agents.client({ agents: answering({}) })
      const { ask } = yield* opened()
      for (const error of ["no", 7, true, {}, { code: "x", message: { deep: 1 } }, [[]]]) {
        const reason = "it does not say why"
        expect(yield* Effect.flip(ask(writing({ id: "$ID", error })))).toMatchObject({ reason })
      }
      expect(yield* ask(writing(END))).toHaveLength(1)
    }),
  )

  check("is used once, and answers to unknown requests are dropped silently", (agents) =>
    Effect.gen(function* () {
      const printed = vi.spyOn(console, "error").mockReturnValue()
      yield* Effect.addFinalizer(() => Effect.sync(() => printed.mockRestore()))
      const { opened } = yield* agents.client({ agents: answering({}) })
      const { ask } = yield* opened()
      const stray = [{ result: {} }, { id: "a secret", result: {} }, { id: { a: 1 }, error: null }]
      const first = yield* ask(writing(...stray, END, { ...END, result: { stopReason: "refusal" } }))
      expect(first).toMatchObject([END.result].map((result) => ({ result })))
      expect(yield* ask(writing(END))).toHaveLength(1)
      expect(printed).not.toHaveBeenCalled()
    }),
  )
})

describe("a line of an agent that would take long to parse", () => {
  const nested = `${"[".repeat(20_000)}${"]".repeat(20_000)}`
  const long = `[${"1,".repeat(1_000_001)}1]`
  for (const [how, line] of [
    ["of twenty thousand levels", nested],
    ["of a million values", long],
  ] as const) {
    check(`ends the agent: ${how}`, (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client({ agents: answering({}) })
        const { ask } = yield* opened()
        expect(yield* Effect.flip(ask(JSON.stringify([line])))).toMatchObject({ _tag: "TurnFailed" })
      }),
    )
  }
})

describe("an agent that refuses to delete a session", () => {
  check("does not make the erasing fail", (agents) =>
    Effect.gen(function* () {
      const capabilities = { sessionCapabilities: { close: {}, delete: {} } }
      const stubborn = answering({
        initialize: { result: { protocolVersion: 1, agentCapabilities: capabilities } },
        "session/delete": { error: { code: -32603, message: "never" } },
      })
      const { acp, opened } = yield* agents.client({ agents: stubborn })
      const { session, ref } = yield* opened()
      yield* acp.close(session, ref)
      yield* acp.erase(session, ref)
    }),
  )
})

describe("an agent that ends and explains it on stderr", () => {
  check("is not quoted where it quotes another session's prompt", (agents) =>
    Effect.gen(function* () {
      const { acp, opened } = yield* agents.client({ agents: answering({}) })
      const [left, right] = [yield* opened(), yield* opened()]
      const told = yield* Deferred.make<void>()
      const params = { sessionId: left.ref, update: {} }
      const update = JSON.stringify({ jsonrpc: "2.0", method: "session/update", params })
      const prompt = JSON.stringify(["stderr: the plan of the other", update])
      const waiting = yield* acp.prompt(left.session, left.ref, prompt).pipe(
        Stream.runForEach(() => Deferred.succeed(told, undefined)),
        Effect.flip,
        Effect.fork,
      )
      // The agent has written to stderr before.
      yield* Deferred.await(told)
      const failures = [yield* Effect.flip(right.ask(JSON.stringify(["exit"]))), yield* Fiber.join(waiting)]
      for (const failure of failures) {
        expect(failure).toMatchObject({ _tag: "TurnFailed", stderr: expect.stringContaining("withheld") })
      }
    }),
  )
})
