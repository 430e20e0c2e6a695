import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, type Scope, Stream } from "effect"
import type { AcpMessage, UnpromptedMessage } from "../../src/services/agents/AcpxClient.ts"
import {
  AGENT,
  type Agents,
  type Backend,
  BACKENDS,
  type Client,
  makeAgents,
  saidIn,
} from "../support/AgentClient.ts"
import { isSoak } from "../support/Scale.ts"
import { shared } from "../support/Sessions.ts"
import { eventually } from "../support/TestServer.ts"

/** What agents say while no turn is open: it is lost nowhere, and is part of no turn. */

/** Collects what the client's agents say while no turn is open, as long as the scope is open. */
const listening = ({ acp }: Client): Effect.Effect<ReadonlyArray<UnpromptedMessage>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const heard: Array<UnpromptedMessage> = []
    yield* Effect.forkScoped(Stream.runForEach(acp.unprompted, (one) => Effect.sync(() => heard.push(one))))
    yield* Effect.yieldNow()
    return heard
  })

const wordsIn = (heard: ReadonlyArray<UnpromptedMessage>) => saidIn(heard.map(({ message }) => message))
const methodsIn = (heard: ReadonlyArray<{ readonly message: AcpMessage }>) =>
  heard.map(({ message }) => message["method"])

describe.each(Object.entries(BACKENDS))("an agent by way of %s", (_, backend: Backend) => {
  const common = shared(
    Effect.gen(function* () {
      const agents = yield* makeAgents(backend)
      yield* Effect.addFinalizer(() => Effect.sync(() => expect(agents.processes()).toEqual([])))
      return { agents, client: yield* agents.client() }
    }),
  )
  const check = (
    name: string,
    body: (client: Client, agents: Agents) => Effect.Effect<unknown, unknown, Scope.Scope>,
  ) => it.live(name, () => Effect.scoped(Effect.suspend(() => body(common().client, common().agents))))

  check("that says something 150 ms after its result is heard, and not in an answer", (client) =>
    Effect.gen(function* () {
      const heard = yield* listening(client)
      const { session, ask, hear } = yield* client.opened()
      const turn = yield* ask("LATE 150 SAY hello")
      expect(saidIn(turn)).toBe("hello")
      yield* eventually(() => expect(wordsIn(heard)).toBe("too late"))
      expect(heard.map((one) => one.session)).toEqual([session.id])
      expect(yield* hear("SAY again")).toBe("again")
      expect(wordsIn(heard)).toBe("too late")
    }),
  )

  check(
    "that prompts itself seconds after its result is heard, and what it asks for is answered",
    (client, agents) =>
      Effect.gen(function* () {
        const heard = yield* listening(client)
        const { session, hear } = yield* client.opened({ permissionMode: "approve-all" })
        expect(yield* hear("SELF 2500 SAY hello")).toBe("hello")
        yield* eventually(() => expect(agents.log()).toContain(" self "))
        yield* eventually(() => expect(wordsIn(heard)).toBe("by myselfpermission no"))
        expect(methodsIn(heard)).toEqual([
          "session/update",
          "session/update",
          "session/request_permission",
          "session/update",
        ])
        expect(new Set(heard.map((one) => one.session))).toEqual(new Set([session.id]))
        expect(yield* hear("SAY again")).toBe("again")
      }),
  )
})

const LITERAL_AGENT = join(import.meta.dirname, "../support/literal-agent.mjs")
const update = (sessionId: string, text: string) =>
  JSON.stringify({
    jsonrpc: "2.0",
    method: "session/update",
    params: { sessionId, update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text } } },
  })
const END = '{"jsonrpc":"2.0","id":$ID,"result":{"stopReason":"end_turn"}}'

const literal = (...flags: ReadonlyArray<string>) =>
  new Map([[AGENT, { command: process.execPath, args: [LITERAL_AGENT, ...flags] }]])

/** By way of acpx a turn costs seconds. */
const quick = isSoak ? BACKENDS : { direct: BACKENDS.direct }

describe.each(Object.entries(quick))("what an agent writes in one piece, by way of %s,", (_, backend) => {
  const check = (name: string, body: (agents: Agents) => Effect.Effect<unknown, unknown, Scope.Scope>) =>
    it.live(name, () => Effect.scoped(Effect.flatMap(makeAgents(backend), body)))

  check("with the result of a turn is part of the turn before the result, and of none after it", (agents) =>
    Effect.gen(function* () {
      const client = yield* agents.client({ agents: literal() })
      const heard = yield* listening(client)
      const { ask } = yield* client.opened()
      const one = [update("s-1", "before"), END, update("s-1", "after")].join("\n")
      expect(saidIn(yield* ask(JSON.stringify([one])))).toBe("before")
      yield* eventually(() => expect(wordsIn(heard)).toBe("after"))
      expect(saidIn(yield* ask(JSON.stringify([END])))).toBe("")
    }),
  )

  check("with the opening of a session is heard, and what it repeats on loading one is not", (agents) =>
    Effect.gen(function* () {
      const words = [update("s-1", "welcome"), update("s-9", "nobody")].join("\n")
      const client = yield* agents.client({
        agents: literal("--with", JSON.stringify({ "session/new": words })),
      })
      const heard = yield* listening(client)
      const { session } = yield* client.opened()
      yield* eventually(() => expect(wordsIn(heard)).toBe("welcome"))
      expect(heard.map((one) => one.session)).toEqual([session.id])
    }),
  )

  check("without end holds the agent up while nobody can store it, and costs no memory", (agents) =>
    Effect.gen(function* () {
      const client = yield* agents.client({ agents: literal() })
      let taken = 0
      const slow = yield* Effect.forkScoped(
        Stream.runForEach(client.acp.unprompted, () => {
          taken += 1
          return Effect.never
        }),
      )
      yield* Effect.yieldNow()
      const { ask } = yield* client.opened()
      const flood = Array.from({ length: 40 }, () => update("s-1", "x".repeat(100_000)))
      expect(saidIn(yield* ask(JSON.stringify([END, ...flood])))).toBe("")
      yield* eventually(() => expect(taken).toBe(1))
      yield* Fiber.interrupt(slow)
      // Nobody reads: it is dropped, and the next turn is answered.
      expect(saidIn(yield* ask(JSON.stringify([update("s-1", "next"), END])))).toBe("next")
    }),
  )
})
