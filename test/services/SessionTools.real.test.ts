import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { TokenId } from "../../src/domain/Ids.ts"
import type { UnpromptedMessage } from "../../src/services/agents/AcpxClient.ts"
import { type Backend, BACKENDS, makeAgents, type OpenSession } from "../support/AgentClient.ts"
import { makeRealAgents, type RealAgents, realClient } from "../support/RealAgents.ts"
import { eventually } from "../support/TestServer.ts"

/** Everything that a session's `claude` may be offered: it ends with the turn, and reaches no other session. */
const SESSION_TOOLS = [
  "Agent",
  "Bash",
  "Edit",
  "Glob",
  "Grep",
  "NotebookEdit",
  "Read",
  "WebFetch",
  "WebSearch",
  "Write",
]

/** Calls that a model may make although the tools were not offered. Each would reach beyond the turn or the session. */
const FORBIDDEN_CALLS = [
  "ListAgents {}",
  'CronCreate {"cron":"* * * * *","prompt":"SAY again","recurring":true}',
  'ScheduleWakeup {"delaySeconds":60,"reason":"to go on","prompt":"SAY again","noop":false}',
  'Monitor {"command":"echo seen","description":"a thing to watch"}',
  "Workflow {\"script\":\"export const meta = { name: 'x', description: 'x', phases: [] }\"}",
  'ToolSearch {"query":"select:SendMessage","max_results":1}',
  'Bash {"command":"echo late","description":"later","run_in_background":true}',
]

const OTHER_APP = "01J00000000000000000000001" as TokenId

/** A session of another app, a call that sends it a message, and whether its model has been given one. */
const victimOf = (
  agents: RealAgents,
  opened: (more: { owner: TokenId }) => Effect.Effect<OpenSession, unknown>,
) =>
  Effect.gen(function* () {
    const victim = yield* opened({ owner: OTHER_APP })
    yield* victim.hear("SAY ready")
    const socket = yield* Effect.sync(() => socketOf(agents, victim))
    const message = { to: `uds:${socket}`, summary: "a few words", message: "SAY yes" }
    return {
      call: `SendMessage ${JSON.stringify(message)}`,
      isReached: () => agents.api.requests.some(({ prompt }) => prompt.includes("<cross-session-message")),
    }
  })

/** Where the `claude` of a session takes messages of others, as it announces it in its home. */
const socketOf = ({ dir }: RealAgents, { session }: OpenSession): string => {
  const announced = join(dir, "home/.claude/sessions")
  const all = readdirSync(announced)
    .filter((name) => name.endsWith(".json"))
    .map((name) => JSON.parse(readFileSync(join(announced, name), "utf8")))
  const own = all.find(({ cwd }) => cwd === session.cwd)
  expect(own?.messagingSocketPath).toMatch(/\.sock$/)
  return own.messagingSocketPath
}

const check = (backend: Backend) =>
  it.live(
    "is offered the tools on the list and no others, also by name, is heard, and leaves no temporary files",
    () =>
      Effect.gen(function* () {
        const agents = yield* makeRealAgents(backend)
        const temporary = join(agents.dir, "tmp")
        mkdirSync(temporary)
        yield* Effect.gen(function* () {
          const claudeEnv = { ...agents.claudeEnv, TMPDIR: temporary }
          const { acp, opened } = yield* realClient({ ...agents, claudeEnv })
          const heard: Array<UnpromptedMessage> = []
          yield* Effect.forkScoped(
            Stream.runForEach(acp.unprompted, (one) => Effect.sync(() => heard.push(one))),
          )
          yield* Effect.yieldNow()
          const session = yield* opened({ permissionMode: "deny-all" })
          yield* eventually(() => expect(JSON.stringify(heard)).toContain("available_commands_update"))
          // The list holds for the agents of the session, too.
          const byAgent = { description: "a few words", prompt: "SAY done", subagent_type: "general-purpose" }
          const calls = [`Agent ${JSON.stringify(byAgent)}`, ...FORBIDDEN_CALLS]
          const said = yield* session.hear(calls.map((call) => `CALL ${call}`).join(" THEN "))
          const offered = agents.api.requests.flatMap(({ tools }) => tools)
          expect(SESSION_TOOLS.filter((tool) => !offered.includes(tool))).toEqual([])
          expect(offered.filter((tool) => !SESSION_TOOLS.includes(tool))).toEqual([])

          const [agent, ...failed] = said.match(/^tool (failed|said)/gm) ?? []
          expect(agent).toBe("tool said")
          // It has waited for the agent.
          expect(said).toMatch(/^ *done$/m)
          expect(failed).toEqual(FORBIDDEN_CALLS.map(() => "tool failed"))
          expect(said).toContain("No such tool available: ListAgents")
        }).pipe(Effect.scoped)
        expect(agents.processes()).toEqual([])
        for (const dir of [temporary, join(agents.dir, "runs")]) expect(readdirSync(dir)).toEqual([])
      }).pipe(Effect.scoped),
  )

describe("claude in a session", { concurrent: true }, () => {
  describe("direct", () => check(BACKENDS.direct))
  describe("acpx", () => check(BACKENDS.acpx))

  it.live("cannot be prompted by a session of another app, nor by a claude that has all its tools", () =>
    Effect.gen(function* () {
      const agents = yield* makeRealAgents(BACKENDS.direct)
      // All of them have their sockets there, or the sender would not hear of the refusal.
      const env = { ...agents.claudeEnv, XDG_RUNTIME_DIR: agents.dir }
      const { opened } = yield* realClient({ ...agents, claudeEnv: env })
      const victim = yield* victimOf(agents, opened)
      const session = yield* opened({ permissionMode: "deny-all" })
      const said = yield* session.hear(`CALL ${victim.call}`)
      expect(said).toContain("No such tool available: SendMessage")

      const elsewhere = yield* makeAgents(BACKENDS.direct)
      const unwrapped = yield* realClient({ ...agents, claudeEnv: env, client: elsewhere.client }, {})
      const stranger = yield* unwrapped.opened()
      expect(yield* stranger.hear(`CALL ${victim.call}`)).toMatch(/^tool said: .*"success":true/)
      // The refusal comes as a prompt for the sender, and the message would come as one for the session.
      const isRefused = () => agents.api.requests.some(({ prompt }) => prompt.includes("was refused"))
      yield* eventually(() => expect(isRefused() || victim.isReached()).toBe(true))
      expect(victim.isReached()).toBe(false)
    }).pipe(Effect.scoped),
  )
})
