import { Duration, Effect, Layer, Option, type Scope, Stream } from "effect"
import { type AgentRefusal, AgentUnavailable, ExecutableMissing } from "../../domain/Failure.ts"
import type { AgentName } from "../../domain/Session.ts"
import { AcpxClient } from "../AcpxClient.ts"
import { environment, secretsIn } from "../claude/Command.ts"
import type { Executable } from "../ClaudeRunner.ts"
import { Ids } from "../Ids.ts"
import { Processes } from "../Processes.ts"
import { WorkDirs } from "../WorkDirs.ts"
import { type AgentProcess, startAgent } from "./AgentProcess.ts"
import { agentSessions, letGo } from "./AgentSessions.ts"
import { askToEnd, converse } from "./Conversation.ts"
import { makeKept } from "./Kept.ts"

/** How long an agent may take to answer the handshake, and to open a session; 60 and 60 by default. */
export interface Deadlines {
  readonly handshakeSecs?: number
  readonly openSecs?: number
}

export interface DirectOptions extends Deadlines {
  /** The agents that may be asked for, and how each is started; none: it is not installed. */
  readonly agents: ReadonlyMap<AgentName, Option.Option<Executable>>
  /** The allow-listed part of our environment. */
  readonly env: Readonly<Record<string, string>>
  /** The `claude` that agents are to use, if it is not their own. */
  readonly claude?: string
  /** How long an agent's process is kept that nobody uses. */
  readonly agentIdleSecs: number
}

/** Nobody holds the process between a session's opening and its prompt. */
const IDLE_MIN = Duration.seconds(1)

/**
 * Agents over their own stdio: one process for all sessions of an app with an agent, kept while it is used, and
 * started anew after it has ended, by itself or not.
 */
export const layer = (options: DirectOptions): Layer.Layer<AcpxClient, never, Ids | Processes | WorkDirs> =>
  Layer.scoped(
    AcpxClient,
    Effect.gen(function* () {
      const ids = yield* Ids
      const workDirs = yield* WorkDirs
      const processes = yield* Processes
      const secrets = secretsIn(options.env)
      const start = (agent: AgentName): Effect.Effect<AgentProcess, AgentRefusal, Scope.Scope> =>
        Effect.gen(function* () {
          const executable = yield* Option.flatten(Option.fromNullable(options.agents.get(agent))).pipe(
            Effect.mapError(() => new ExecutableMissing({ program: agent })),
          )
          // A directory of its own: for what it leaves lying about, and so that it starts in nobody else's.
          const dir = yield* Effect.flatMap(ids.run, workDirs.make).pipe(
            Effect.mapError(() => new AgentUnavailable({ reason: "there is no directory for it" })),
          )
          const spec = {
            ...executable,
            cwd: dir.cwd,
            env: {
              ...environment(options.env),
              CLAUDE_CODE_TMPDIR: dir.tmp,
              ...(options.claude === undefined ? {} : { CLAUDE_CODE_EXECUTABLE: options.claude }),
            },
          }
          return yield* startAgent(spec, {
            secrets,
            handshakeTimeout: Duration.seconds(options.handshakeSecs ?? 60),
          })
        }).pipe(Effect.provideService(Processes, processes))

      const idle = Duration.max(Duration.seconds(options.agentIdleSecs), IDLE_MIN)
      const kept = yield* makeKept({ start, idle })

      const sessions = agentSessions(Duration.seconds(options.openSecs ?? 60))

      return {
        open: (session, left) =>
          Effect.gen(function* () {
            const agent = yield* kept.get(session)
            if (Option.isNone(left)) return yield* sessions.create(agent, session)
            if (agent.attached.has(left.value.ref)) return left.value.ref
            return yield* sessions.resume(agent, session, left.value)
          }).pipe(Effect.scoped, Effect.withSpan("AcpxClient.open")),
        prompt: (session, ref, prompt) =>
          Stream.unwrapScoped(Effect.flatMap(kept.get(session), (agent) => converse(agent, ref, prompt))),
        cancel: (session, ref) =>
          Effect.suspend(() => {
            const agent = kept.peek(session)
            const turn = agent?.attached.get(ref)?.turn
            return agent === undefined || turn === undefined
              ? Effect.void
              : Effect.asVoid(askToEnd(agent, ref, turn))
          }),
        close: (session, ref) =>
          Effect.suspend(() => {
            const agent = kept.peek(session)
            return agent?.attached.has(ref) === true ? Effect.asVoid(letGo(agent, ref)) : Effect.void
          }),
        erase: (session, ref) =>
          kept.get(session).pipe(
            Effect.flatMap((agent) => sessions.erase(agent, ref)),
            Effect.scoped,
            Effect.withSpan("AcpxClient.erase"),
          ),
        endOf: kept.endOf,
        endAll: kept.endAll,
        inspect: (agent, owner) =>
          kept.get({ agent, owner }).pipe(
            Effect.map(({ info }) => info),
            Effect.scoped,
          ),
      }
    }),
  )
