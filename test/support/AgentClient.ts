import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { expect } from "@effect/vitest"
import { Chunk, Context, Duration, Effect, Layer, Logger, Option, type Scope, Stream } from "effect"
import type { SessionId, TokenId } from "../../src/domain/Ids.ts"
import { AgentName, type AgentSessionRef } from "../../src/domain/Session.ts"
import * as AcpxRecordFiles from "../../src/infra/acp/AcpxRecordFiles.ts"
import * as AgentRelaySockets from "../../src/infra/acp/AgentRelaySockets.ts"
import { childEnvironment } from "../../src/infra/ChildEnvironment.ts"
import { acpxExecutable } from "../../src/infra/Executables.ts"
import { idsLayer } from "../../src/infra/Identifiers.ts"
import * as ProcessGroups from "../../src/infra/processes/ProcessGroups.ts"
import * as WorkDirectories from "../../src/infra/WorkDirectories.ts"
import * as Direct from "../../src/services/agents/acp/DirectAgents.ts"
import * as Acpx from "../../src/services/agents/acpx/AcpxAgents.ts"
import { type AcpMessage, AcpxClient, type AgentSession } from "../../src/services/agents/AcpxClient.ts"
import type { Executable } from "../../src/services/agents/Processes.ts"
import { turnsOfLoop } from "./Pace.ts"
import { processesGiven } from "./ProcessTable.ts"
import { eventually, temporaryDirectory } from "./TestServer.ts"

/** What a backend is made of. */
export interface BackendOptions {
  readonly agents: ReadonlyMap<AgentName, Executable>
  readonly env: Readonly<Record<string, string>>
  readonly idleSecs: number
  readonly openTimeout: Duration.Duration
}

/** The ways to speak to agents; every one has to do the same. */
export const BACKENDS = {
  direct: (options: BackendOptions, dir: string) =>
    Direct.layer(options).pipe(Layer.provide([idsLayer, WorkDirectories.layer(join(dir, "runs"))])),
  acpx: (options: BackendOptions, dir: string) =>
    Acpx.layer({ ...options, acpx: acpxExecutable(Option.none()) }).pipe(
      Layer.provide([
        AcpxRecordFiles.layer(options.env),
        AgentRelaySockets.layer(options.env),
        idsLayer,
        WorkDirectories.layer(join(dir, "runs")),
      ]),
    ),
}
export type Backend = (typeof BACKENDS)[keyof typeof BACKENDS]

export const AGENT = AgentName.make("scripted")
const scriptedAgent = join(import.meta.dirname, "scripted-agent.mjs")

export const OWNER = "01J00000000000000000000000" as TokenId

export interface Client {
  readonly acp: typeof AcpxClient.Service
  /** A session with a directory of its own, which the agent does not know yet. */
  readonly session: (more?: Partial<AgentSession>) => AgentSession
  /** That session, opened. */
  readonly opened: (more?: Partial<AgentSession>) => Effect.Effect<OpenSession, unknown>
}

export interface OpenSession {
  readonly session: AgentSession
  readonly ref: AgentSessionRef
  /** A turn: all its events. */
  readonly ask: (prompt: string) => Effect.Effect<ReadonlyArray<AcpMessage>, unknown>
  /** What the agent said in a turn. */
  readonly hear: (prompt: string) => Effect.Effect<string, unknown>
}

export interface Agents {
  readonly dir: string
  /** A client on the backend, as long as the scope is open. The next one finds what it left, as after a restart. */
  readonly client: (more?: Partial<BackendOptions>) => Effect.Effect<Client, never, Scope.Scope>
  /** The scripted agent with these flags. */
  readonly scripted: (...flags: ReadonlyArray<string>) => ReadonlyMap<AgentName, Executable>
  /** What the scripted agent has noted so far. */
  readonly log: () => string
  /** Every process that is there because of these clients. */
  readonly processes: () => ReadonlyArray<number>
}

/** A place for agents, with a home of its own; gone with the scope. */
export const makeAgents = (backend: Backend): Effect.Effect<Agents, never, Scope.Scope> =>
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    const home = join(dir, "home")
    mkdirSync(home)
    const log = join(dir, "agent.log")
    const { dev, ino } = statSync(dir, { bigint: true })
    const scripted: Agents["scripted"] = (...flags) =>
      new Map([
        [
          AGENT,
          {
            command: process.execPath,
            args: [scriptedAgent, "--state", join(dir, "state"), "--log", log, ...flags],
          },
        ],
      ])
    return {
      dir,
      scripted,
      log: () => (existsSync(log) ? readFileSync(log, "utf8") : ""),
      processes: () => processesGiven(`CLAWDFORGE_PROCESS=${dev}-${ino}.`),
      client: (more = {}) =>
        Effect.gen(function* () {
          const layer = backend(
            {
              agents: scripted(),
              env: { ...childEnvironment(), HOME: home },
              idleSecs: 60,
              openTimeout: Duration.minutes(1),
              ...more,
            },
            dir,
          ).pipe(Layer.provide(ProcessGroups.layer(dir)), Layer.provide(Logger.remove(Logger.defaultLogger)))
          return clientOf(Context.get(yield* Effect.orDie(Layer.build(layer)), AcpxClient), dir)
        }),
    }
  })

const clientOf = (acp: typeof AcpxClient.Service, dir: string): Client => {
  const session: Client["session"] = (more) => {
    const id = randomUUID() as SessionId
    const cwd = join(dir, "cwds", id)
    mkdirSync(cwd, { recursive: true })
    return { id, owner: OWNER, agent: AGENT, model: null, permissionMode: "approve-all", cwd, ...more }
  }
  return {
    acp,
    session,
    opened: (more) => {
      const fresh = session(more)
      return Effect.map(acp.open(fresh, Option.none()), (ref) => openSession(acp, fresh, ref))
    },
  }
}

export const openSession = (
  acp: typeof AcpxClient.Service,
  session: AgentSession,
  ref: AgentSessionRef,
): OpenSession => {
  const ask: OpenSession["ask"] = (prompt) =>
    Effect.map(Stream.runCollect(acp.prompt(session, ref, prompt)), Chunk.toReadonlyArray)
  return { session, ref, ask, hear: (prompt) => Effect.map(ask(prompt), saidIn) }
}

/** The session, opened again as one that the agent answered in. */
export const reopened = (acp: typeof AcpxClient.Service, { session, ref }: OpenSession) =>
  Effect.map(acp.open(session, Option.some({ ref, answered: true })), (next) =>
    openSession(acp, session, next),
  )

/** The text of the agent's message in these events. */
export const saidIn = (events: ReadonlyArray<AcpMessage>): string =>
  events
    .map(({ params }) => (params as any)?.update)
    .filter((update) => update?.sessionUpdate === "agent_message_chunk")
    .map((update) => update.content.text)
    .join("")

/** Whether a process is there, and no zombie. */
export const alive = (pid: number): boolean => existsSync(`/proc/${pid}/exe`)

/** Kills processes, and waits until they are dead and the event loop has heard of it. */
export const killed = (...pids: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    for (const pid of pids) process.kill(pid, "SIGKILL")
    yield* eventually(() => expect(pids.filter(alive)).toEqual([]))
    yield* Effect.promise(() => turnsOfLoop(100))
  })
