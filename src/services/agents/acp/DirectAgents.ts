import { Duration, Effect, Layer, Option, type Scope, Stream } from "effect"
import { type AgentRefusal, AgentUnavailable, ExecutableMissing } from "../../../domain/Failure.ts"
import type { AgentName } from "../../../domain/Session.ts"
import { secretsIn } from "../../../domain/Redaction.ts"
import { AcpxClient } from "../AcpxClient.ts"
import { Ids } from "../../access/Ids.ts"
import { Processes } from "../Processes.ts"
import { WorkDirs } from "../WorkDirs.ts"
import { type AgentProcess, startAgent } from "./AgentProcess.ts"
import { canResume } from "./Responses.ts"
import type { AgentOptions } from "../AgentOptions.ts"
import { agentSessions, closeSession } from "./AgentSessions.ts"
import { requestCancel, startTurn } from "./PromptTurn.ts"
import { makeProcessPool } from "./ProcessPool.ts"
import { findLoaded } from "./LoadedSession.ts"
import { makeUnpromptedMessages } from "./UnpromptedMessages.ts"

/** The process is not in use between the opening of a session and its prompt, so it must stay at least this long. */
const IDLE_MIN = Duration.seconds(1)

/**
 * A client that starts agents itself and speaks ACP over their stdio. All sessions of an app with the same agent share
 * one process. A process that has ended is started again when it is needed.
 */
export const layer = (options: AgentOptions): Layer.Layer<AcpxClient, never, Ids | Processes | WorkDirs> =>
  Layer.scoped(
    AcpxClient,
    Effect.gen(function* () {
      const ids = yield* Ids
      const workDirs = yield* WorkDirs
      const processes = yield* Processes
      const secrets = secretsIn(options.env)
      const unprompted = makeUnpromptedMessages()
      const start = (agent: AgentName): Effect.Effect<AgentProcess, AgentRefusal, Scope.Scope> =>
        Effect.gen(function* () {
          const executable = yield* Effect.mapError(
            Effect.fromNullable(options.agents.get(agent)),
            () => new ExecutableMissing({ program: agent }),
          )
          // A directory of its own, so that its files stay out of the sessions' directories and are removed with it.
          const dir = yield* Effect.flatMap(ids.run, workDirs.make).pipe(
            Effect.mapError(() => new AgentUnavailable({ reason: "there is no directory for it" })),
          )
          const spec = {
            ...executable,
            cwd: dir.cwd,
            // Claude leaves files in its temporary directory. They are removed with the directory of the process.
            env: { ...options.env, CLAUDE_CODE_TMPDIR: dir.tmp },
          }
          return yield* startAgent(spec, {
            unprompted,
            secrets,
            handshakeTimeout: options.openTimeout,
          })
        }).pipe(Effect.provideService(Processes, processes))

      const idle = Duration.max(Duration.seconds(options.idleSecs), IDLE_MIN)
      const pool = yield* makeProcessPool({ start, idle })

      const sessions = agentSessions(options.openTimeout)

      return {
        unprompted: unprompted.stream,
        open: (session, left) =>
          Effect.gen(function* () {
            const agent = yield* pool.get(session)
            const previous = Option.getOrUndefined(left)
            const loaded = previous && findLoaded(agent.sessions, session, previous.ref)
            // A session that the agent may have lost is resumed, if the agent supports that. If it is not lost, resuming
            // it changes nothing.
            if (loaded && !(loaded.isDoubtful && canResume(agent.capabilities))) return previous.ref
            return yield* Effect.acquireUseRelease(
              Effect.sync(() => (agent.opening += 1)),
              () =>
                previous === undefined
                  ? sessions.create(agent, session)
                  : sessions.resume(agent, session, previous),
              () =>
                Effect.suspend(() => {
                  agent.opening -= 1
                  // A process without a session is of no use to keep.
                  return agent.sessions.size + agent.opening === 0 ? pool.drop(agent) : Effect.void
                }),
            )
          }).pipe(Effect.scoped, Effect.withSpan("AcpxClient.open")),
        prompt: (session, ref, prompt) =>
          Stream.unwrapScoped(
            Effect.flatMap(pool.get(session), (agent) => startTurn(agent, session, ref, prompt)),
          ),
        cancel: (session, ref) =>
          Effect.suspend(() => {
            const agent = pool.peek(session)
            const turn = agent && findLoaded(agent.sessions, session, ref)?.turn
            return agent === undefined || turn === undefined
              ? Effect.void
              : Effect.asVoid(requestCancel(agent, ref, turn))
          }),
        close: (session, ref) =>
          Effect.suspend(() => {
            const agent = pool.peek(session)
            return agent && findLoaded(agent.sessions, session, ref)
              ? Effect.asVoid(closeSession(agent, ref))
              : Effect.void
          }),
        erase: (session, ref) =>
          pool.get(session).pipe(
            Effect.flatMap((agent) => sessions.erase(agent, ref)),
            Effect.scoped,
            Effect.withSpan("AcpxClient.erase"),
          ),
        endOf: pool.endOf,
        endAll: pool.endAll,
        inspect: (agent, owner) =>
          pool.get({ agent, owner }).pipe(
            Effect.map(({ info }) => info),
            Effect.scoped,
          ),
      }
    }),
  )
