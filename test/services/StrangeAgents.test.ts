import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Option, type Scope } from "effect"
import { AGENT, type Agents, BACKENDS, makeAgents } from "../support/AgentClient.ts"

const LITERAL_AGENT = join(import.meta.dirname, "../support/literal-agent.mjs")

/** An agent that answers these methods so. */
const answering = (answers: object) =>
  new Map([
    [AGENT, { command: process.execPath, args: [LITERAL_AGENT, "--answers", JSON.stringify(answers)] }],
  ])

/** A prompt to it: the messages that it is to write. */
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

describe("an agent that does not keep to the protocol", () => {
  const hello = { protocolVersion: 1 }
  const strange: ReadonlyArray<readonly [string, object]> = [
    ["shakes hands with nothing", { initialize: { result: null } }],
    ["has capabilities of no shape", { initialize: { result: { ...hello, agentCapabilities: 7 } } }],
    ["has a name of no shape", { initialize: { result: { ...hello, agentInfo: { name: {}, version: 1 } } } }],
    ["opens nothing", { "session/new": { result: null } }],
    ["opens a session with an object for a name", { "session/new": { result: { sessionId: { a: 1 } } } }],
    ["opens a session without a name", { "session/new": { result: {} } }],
    [
      "has modes of no shape",
      { "session/new": { result: { sessionId: "s-1", modes: { availableModes: "all" } } } },
    ],
    ["refuses with an error of no shape", { "session/new": { error: "no" } }],
  ]
  for (const [how, answers] of strange) {
    check(`is not available when it ${how}`, (agents) =>
      Effect.gen(function* () {
        const { acp, session } = yield* agents.client({ agents: answering(answers) })
        const opened = yield* Effect.exit(acp.open(session(), Option.none()))
        expect(opened).toEqual(unavailable)
      }),
    )
  }
})

describe("an agent that gives out a name of a session again", () => {
  check("in the same process: the second is refused, and the first goes on", (agents) =>
    Effect.gen(function* () {
      const { acp, opened, session } = yield* agents.client({ agents: answering({}) })
      const first = yield* opened()
      expect(yield* Effect.exit(acp.open(session(), Option.none()))).toEqual(unavailable)
      expect(yield* first.ask(writing(END))).toMatchObject([{ result: { stopReason: "end_turn" } }])
    }),
  )

  check("in another process: neither is taken for the other", (agents) =>
    Effect.gen(function* () {
      const first = yield* Effect.scoped(
        Effect.flatMap(agents.client({ agents: answering({}) }), ({ opened }) => opened()),
      )
      const { acp, opened } = yield* agents.client({ agents: answering({}) })
      const second = yield* opened()
      expect(second.ref).toBe(first.ref)
      const again = acp.open(first.session, Option.some({ ref: first.ref, answered: true }))
      expect(yield* Effect.exit(again)).toEqual(unavailable)
      yield* acp.close(first.session, first.ref)
      expect(yield* second.ask(writing(END))).toHaveLength(1)
    }),
  )
})

describe("an agent whose turn ends with an error of no shape", () => {
  check("(null, beside its result) has ended it well", (agents) =>
    Effect.gen(function* () {
      const { opened } = yield* agents.client({ agents: answering({}) })
      const { ask } = yield* opened()
      expect(yield* ask(writing({ ...END, error: null }))).toHaveLength(1)
    }),
  )

  const errors: ReadonlyArray<readonly [string, unknown]> = [
    ["a text", "no"],
    ["with a number for a message", { code: -32603, message: 7 }],
    ["without a message", { code: -32603 }],
    ["with an object for a code", { code: {}, message: null, data: { details: {} } }],
  ]
  for (const [how, error] of errors) {
    check(`(${how}) fails that turn, and no other one`, (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client({ agents: answering({}) })
        const { ask } = yield* opened()
        const before = agents.processes()
        const failed = yield* Effect.exit(ask(writing({ id: "$ID", error })))
        expect(failed).toEqual(Exit.fail(expect.objectContaining({ _tag: "TurnFailed" })))
        expect(agents.processes()).toEqual(before)
        expect(yield* ask(writing(END))).toHaveLength(1)
      }),
    )
  }
})
