import { methods } from "@agentclientprotocol/sdk"
import { Duration, Effect, Layer, Option, type Scope, Stream } from "effect"
import {
  type AgentRefusal,
  AgentUnavailable,
  ExecutableMissing,
  InvalidRequest,
  TurnFailed,
} from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import { type AgentName, AgentSessionRef } from "../../domain/Session.ts"
import { type AcpMessage, AcpxClient, type AgentSession, type LeftOff } from "../AcpxClient.ts"
import { environment, secretsIn } from "../claude/Command.ts"
import type { Executable } from "../ClaudeRunner.ts"
import { Ids } from "../Ids.ts"
import { Processes } from "../Processes.ts"
import { WorkDirs } from "../WorkDirs.ts"
import { type AgentProcess, canLoad, canResume, startAgent } from "./AgentProcess.ts"
import { makeTurn, type Turn } from "./Turn.ts"
import { makeKept } from "./Kept.ts"
import { modelOption, sessionMeta } from "./ClaudeOptions.ts"

/** How long an agent may take to end a turn that it is asked to end. */
const CANCEL_PATIENCE = Duration.seconds(4)
/** How long it may take to let go of a session. */
const CLOSE_PATIENCE = Duration.seconds(2)

export interface DirectOptions {
  /** The agents that may be asked for, and how each is started; none: it is not installed. */
  readonly agents: ReadonlyMap<AgentName, Option.Option<Executable>>
  /** The allow-listed part of our environment. */
  readonly env: Readonly<Record<string, string>>
  /** The `claude` that agents are to use, if it is not their own. */
  readonly claude?: string
  /** How long an agent's process is kept that nobody uses. */
  readonly agentIdleSecs: number
  /** How long an agent may take to answer the handshake, and to open a session; 60 and 60 by default. */
  readonly handshakeSecs?: number
  readonly openSecs?: number
}

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
      const openTimeout = Duration.seconds(options.openSecs ?? 60)

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

      const kept = yield* makeKept({ start, idle: Duration.seconds(options.agentIdleSecs) })

      /** A step of opening a session, which may take only so long. */
      const step = <A>(agent: AgentProcess, what: string, ask: Parameters<typeof agent.request<A>>[1]) =>
        Effect.timeoutFail(agent.request(what, ask), {
          duration: openTimeout,
          onTimeout: () =>
            new AgentUnavailable({
              reason: `${what}: it did not answer within ${Duration.toSeconds(openTimeout)} s`,
            }),
        })

      const create = Effect.fn("AcpxClient.create")(function* (agent: AgentProcess, session: AgentSession) {
        const created = yield* step(agent, "it does not open a session", (to) =>
          to.request(methods.agent.session.new, {
            cwd: session.cwd,
            mcpServers: [],
            ...sessionMeta(agent.capabilities, session),
          }),
        )
        const ref = AgentSessionRef.make(created.sessionId)
        const attached = { session, turn: undefined }
        agent.attached.set(ref, attached)
        yield* settle(agent, session, ref, created).pipe(Effect.onError(() => letGo(agent, ref)))
        return ref
      })

      /** What a session is to be that is not said when it is made: its model, and a mode in which the agent asks. */
      const settle = (
        agent: AgentProcess,
        session: AgentSession,
        ref: AgentSessionRef,
        state: Parameters<typeof modelOption>[2],
      ) =>
        Effect.gen(function* () {
          const option = modelOption(agent.capabilities, session, state)
          if (option === "not_offered") {
            return yield* new InvalidRequest({
              issues: [{ path: ["model"], message: "is not a model that this agent offers" }],
            })
          }
          if (option !== undefined) {
            yield* step(agent, "it does not take the model", (to) =>
              to.request(methods.agent.session.setConfigOption, { sessionId: ref, ...option }),
            )
          }
          const modes = state.modes
          if (
            modes != null &&
            modes.currentModeId !== ASKING &&
            modes.availableModes.some(({ id }) => id === ASKING)
          ) {
            yield* step(agent, "it does not take the mode", (to) =>
              to.request(methods.agent.session.setMode, { sessionId: ref, modeId: ASKING }),
            )
          }
        })

      const resume = Effect.fn("AcpxClient.resume")(function* (
        agent: AgentProcess,
        session: AgentSession,
        { ref, answered }: LeftOff,
      ) {
        const { capabilities } = agent
        const how = canResume(capabilities)
          ? methods.agent.session.resume
          : canLoad(capabilities)
            ? methods.agent.session.load
            : undefined
        if (how === undefined) {
          if (!answered) return yield* create(agent, session)
          return yield* new AgentUnavailable({
            reason: "its process has ended, and it cannot take up a session again: open a new one",
          })
        }
        const resumed = step(agent, "it does not take up the session again", (to) =>
          to.request(how, {
            sessionId: ref,
            cwd: session.cwd,
            mcpServers: [],
            ...sessionMeta(capabilities, session),
          }),
        )
        return yield* resumed.pipe(
          Effect.tap(() => Effect.sync(() => agent.attached.set(ref, { session, turn: undefined }))),
          Effect.flatMap((state) =>
            settle(agent, session, ref, state ?? {}).pipe(Effect.onError(() => letGo(agent, ref))),
          ),
          Effect.as(ref),
          // Where nobody was ever answered there is nothing to lose.
          Effect.catchTag("AgentUnavailable", (failure) =>
            answered || !agent.isAlive() ? Effect.fail(failure) : create(agent, session),
          ),
        )
      })

      /** Makes the agent forget a session that it has; false when it does not say that it did. */
      const letGo = (agent: AgentProcess, ref: AgentSessionRef): Effect.Effect<boolean> =>
        Effect.suspend(() => {
          agent.attached.delete(ref)
          if (agent.capabilities.sessionCapabilities?.close == null) return Effect.succeed(false)
          return agent
            .request("it does not close", (to) => to.request(methods.agent.session.close, { sessionId: ref }))
            .pipe(Effect.timeout(CLOSE_PATIENCE), Effect.isSuccess)
        })

      /** Ends a turn that its reader has left: by asking, by taking its session away, by ending the process. */
      const stop = (agent: AgentProcess, ref: AgentSessionRef, turn: Turn) =>
        Effect.gen(function* () {
          yield* agent.cancel(ref)
          const ended = yield* Effect.timeoutOption(turn.over, CANCEL_PATIENCE)
          if (Option.isSome(ended)) return
          if (!(yield* letGo(agent, ref))) yield* agent.end
        })

      const prompt = (
        session: AgentSession,
        ref: AgentSessionRef,
        text: string,
      ): Stream.Stream<AcpMessage, AgentRefusal | TurnFailed> =>
        Stream.unwrapScoped(
          Effect.gen(function* () {
            const agent = yield* kept.get(session)
            const attached = agent.attached.get(ref)
            if (attached === undefined) {
              return yield* new TurnFailed({ reason: "its process ended before the turn began" })
            }
            const turn = yield* makeTurn(text)
            yield* Effect.acquireRelease(
              Effect.sync(() => {
                attached.turn = turn
              }),
              () =>
                Effect.gen(function* () {
                  // What a finalizer forks, a second interruption would end, unless it is a daemon.
                  if (turn.isOver()) return
                  yield* Effect.flatMap(
                    Effect.forkDaemon(stop(agent, ref, turn)),
                    (stopping) => stopping.await,
                  )
                }).pipe(
                  Effect.ensuring(
                    Effect.sync(() => {
                      attached.turn = undefined
                    }),
                  ),
                ),
            )
            if (!agent.isAlive()) {
              return yield* new TurnFailed({ reason: "its process ended before the turn began" })
            }
            yield* agent.send(ref, turn)
            return turn.messages
          }),
        )

      return {
        open: (session, left) =>
          Effect.gen(function* () {
            const agent = yield* kept.get(session)
            if (Option.isNone(left)) return yield* create(agent, session)
            if (agent.attached.has(left.value.ref)) return left.value.ref
            return yield* resume(agent, session, left.value)
          }).pipe(Effect.scoped, Effect.withSpan("AcpxClient.open")),
        prompt,
        cancel: (session, ref) =>
          Effect.suspend(() => {
            const agent = kept.peek(session)
            return agent?.attached.get(ref)?.turn === undefined ? Effect.void : agent.cancel(ref)
          }),
        close: (session, ref) =>
          Effect.suspend(() => {
            const agent = kept.peek(session)
            return agent?.attached.has(ref) === true ? Effect.asVoid(letGo(agent, ref)) : Effect.void
          }),
        erase: (session, ref) =>
          Effect.gen(function* () {
            const agent = yield* kept.get(session)
            if (!agent.info.erasable) return
            yield* step(agent, "it does not delete the session", (to) =>
              to.request(methods.agent.session.delete, { sessionId: ref }),
            )
          }).pipe(Effect.scoped, Effect.withSpan("AcpxClient.erase")),
        endOf: (owner: TokenId) => kept.endOf(owner),
        inspect: (agent, owner) =>
          kept.get({ agent, owner }).pipe(
            Effect.map(({ info }) => info),
            Effect.scoped,
          ),
      }
    }),
  )

/** The mode in which an agent asks before it changes anything, as Claude's adapter calls it. */
const ASKING = "default"
