import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect } from "@effect/vitest"
import { Effect, Exit, Option, Scope } from "effect"
import { sessionAgents } from "../../src/app.ts"
import { AgentName } from "../../src/domain/Session.ts"
import type { AppConfig } from "../../src/infra/Config.ts"
import { processesOf } from "./ProcessTable.ts"
import { said, scriptedAgent } from "./Scripted.ts"
import {
  type Answer,
  configFor,
  eventually,
  startServer,
  temporaryDirectory,
  type TestClient,
  type TestServer,
} from "./TestServer.ts"

export { said, scriptedAgent } from "./Scripted.ts"

/** Every way to drive agents; what holds of sessions holds on each. */
export const backends: ReadonlyArray<AppConfig["agentBackend"]> = ["direct"]

/** An app, as it uses sessions. */
export interface SessionApp {
  readonly token: string
  /** A new session's id. */
  readonly opened: (body?: object) => Effect.Effect<string>
  readonly open: (body?: object) => Effect.Effect<Answer>
  readonly turn: (session: string, prompt: string, more?: object) => Effect.Effect<Answer>
  /** What the agent says in a turn that goes well. */
  readonly say: (session: string, prompt: string, more?: object) => Effect.Effect<string>
  readonly read: (session: string) => Effect.Effect<Answer>
  readonly close: (session: string) => Effect.Effect<Answer>
}

export const appOf = (
  { request }: TestClient,
  token: string,
  agent: string | undefined = undefined,
): SessionApp => {
  const open: SessionApp["open"] = (body = {}) =>
    request("POST", "/sessions", { token, body: { ...(agent === undefined ? {} : { agent }), ...body } })
  const turn: SessionApp["turn"] = (session, prompt, more = {}) =>
    request("POST", `/sessions/${session}/turn`, { token, body: { prompt, ...more } })
  return {
    token,
    open,
    opened: (body) => Effect.map(open(body), ({ json }) => json.session_id as string),
    turn,
    say: (session, prompt, more) => Effect.map(turn(session, prompt, more), said),
    read: (session) => request("GET", `/sessions/${session}`, { token }),
    close: (session) => request("DELETE", `/sessions/${session}`, { token }),
  }
}

/** A server, and apps of it that use the scripted agent. */
export interface ScriptedServer extends TestServer {
  readonly dir: string
  readonly app: (name: string) => Effect.Effect<SessionApp>
  /** What the agent's processes have noted, a line each: a pid, a word, perhaps more. */
  readonly log: () => ReadonlyArray<string>
}

export interface ScriptedOptions extends Partial<AppConfig> {
  /** For the scripted agent's command line. */
  readonly flags?: string
  readonly openTimeout?: Parameters<typeof sessionAgents>[1]
}

/** A server whose agent does as it is told; once it has stopped, no process that it started is left. */
export const scriptedServer = ({
  flags,
  openTimeout,
  ...overrides
}: ScriptedOptions): Effect.Effect<ScriptedServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    const log = () => lines(join(dir, "log"))
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        expect(processesOf(dir)).toEqual([])
        expect(log().filter((line) => line.includes("OVERLAP"))).toEqual([])
      }),
    )
    const settings = {
      agents: new Map([[AgentName.make("scripted"), Option.some(scriptedAgent(dir, flags))]]),
      ...overrides,
    }
    const agents = sessionAgents(configFor(dir, settings), openTimeout)
    const server = yield* startServer(settings, dir, undefined, agents)
    return {
      ...server,
      dir,
      log,
      app: (name) => Effect.map(server.mint(name), (token) => appOf(server, token, "scripted")),
    }
  })

/** Something scoped that the tests of a file, or of a part of it, have in common. */
export const shared = <A>(acquire: Effect.Effect<A, never, Scope.Scope>): (() => A) => {
  const scope = Effect.runSync(Scope.make())
  let acquired: A | undefined
  beforeAll(async () => {
    acquired = await Effect.runPromise(Scope.extend(acquire, scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return () => acquired as A
}

const lines = (path: string): ReadonlyArray<string> => {
  try {
    return readFileSync(path, "utf8").trim().split("\n")
  } catch {
    return []
  }
}

/** Waits until a prompt has reached the agent. */
export const reached = (server: ScriptedServer, prompts: number): Effect.Effect<void> =>
  eventually(() =>
    expect(server.log().filter((line) => line.includes("session/prompt"))).toHaveLength(prompts),
  )
