import { Duration, Effect, Layer, Option, type Scope, Stream } from "effect"
import { type AgentRefusal, AgentUnavailable, ExecutableMissing } from "../../../domain/Failure.ts"
import type { AgentName } from "../../../domain/Session.ts"
import { AcpxClient } from "../AcpxClient.ts"
import { secretsIn } from "../claude/Command.ts"
import { Ids } from "../../access/Ids.ts"
import { Processes } from "../Processes.ts"
import { WorkDirs } from "../WorkDirs.ts"
import { type AgentProcess, startAgent } from "./AgentProcess.ts"
import { canResume } from "./Answers.ts"
import type { AgentOptions } from "./Options.ts"
import { agentSessions, letGo } from "./AgentSessions.ts"
import { askToEnd, converse } from "./Conversation.ts"
import { makeProcessPool } from "./ProcessPool.ts"
import { attachedAs } from "./Routing.ts"

/** Nobody holds the process between a session's opening and its prompt. */
const IDLE_MIN = Duration.seconds(1)

/**
 * Agents over their own stdio: one process for all sessions of an app with an agent, pool while it is used, and
 * started anew after it has ended, by itself or not.
 */
export const layer = (options: AgentOptions): Layer.Layer<AcpxClient, never, Ids | Processes | WorkDirs> =>
  Layer.scoped(
    AcpxClient,
    Effect.gen(function* () {
      const ids = yield* Ids
      const workDirs = yield* WorkDirs
      const processes = yield* Processes
      const secrets = secretsIn(options.env)
      const start = (agent: AgentName): Effect.Effect<AgentProcess, AgentRefusal, Scope.Scope> =>
        Effect.gen(function* () {
          const executable = yield* Effect.mapError(
            Effect.fromNullable(options.agents.get(agent)),
            () => new ExecutableMissing({ program: agent }),
          )
          // A directory of its own: for what it leaves lying about, and so that it starts in nobody else's.
          const dir = yield* Effect.flatMap(ids.run, workDirs.make).pipe(
            Effect.mapError(() => new AgentUnavailable({ reason: "there is no directory for it" })),
          )
          const spec = {
            ...executable,
            cwd: dir.cwd,
            // Claude leaves litter in its temporary directory; it goes with the process's.
            env: { ...options.env, CLAUDE_CODE_TMPDIR: dir.tmp },
          }
          return yield* startAgent(spec, {
            secrets,
            handshakeTimeout: options.openPatience,
          })
        }).pipe(Effect.provideService(Processes, processes))

      const idle = Duration.max(Duration.seconds(options.idleSecs), IDLE_MIN)
      const pool = yield* makeProcessPool({ start, idle })

      const sessions = agentSessions(options.openPatience)

      return {
        open: (session, left) =>
          Effect.gen(function* () {
            const agent = yield* pool.get(session)
            const known = Option.getOrUndefined(left)
            const has = known && attachedAs(agent.attached, session, known.ref)
            // One that can, is asked to take up again what it may have lost; one that still has it, keeps it.
            if (has && !(has.isInDoubt && canResume(agent.capabilities))) return known.ref
            return yield* Effect.acquireUseRelease(
              Effect.sync(() => (agent.opening += 1)),
              () =>
                known === undefined
                  ? sessions.create(agent, session)
                  : sessions.resume(agent, session, known),
              () =>
                Effect.suspend(() => {
                  agent.opening -= 1
                  // One that opened no session, and has none, is not worth keeping.
                  return agent.attached.size + agent.opening === 0 ? pool.drop(agent) : Effect.void
                }),
            )
          }).pipe(Effect.scoped, Effect.withSpan("AcpxClient.open")),
        prompt: (session, ref, prompt) =>
          Stream.unwrapScoped(
            Effect.flatMap(pool.get(session), (agent) => converse(agent, session, ref, prompt)),
          ),
        cancel: (session, ref) =>
          Effect.suspend(() => {
            const agent = pool.peek(session)
            const turn = agent && attachedAs(agent.attached, session, ref)?.turn
            return agent === undefined || turn === undefined
              ? Effect.void
              : Effect.asVoid(askToEnd(agent, ref, turn))
          }),
        close: (session, ref) =>
          Effect.suspend(() => {
            const agent = pool.peek(session)
            return agent && attachedAs(agent.attached, session, ref)
              ? Effect.asVoid(letGo(agent, ref))
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
