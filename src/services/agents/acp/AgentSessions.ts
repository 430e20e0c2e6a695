import { type ClientContext, methods } from "@agentclientprotocol/sdk"
import { Duration, Effect, Schema } from "effect"
import { AgentUnavailable, InvalidRequest } from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AgentSession, LeftOff } from "../AcpxClient.ts"
import type { AgentProcess } from "./AgentProcess.ts"
import { canLoad, canResume, NewSession, SessionState } from "./Answers.ts"
import { attachedAs } from "./Routing.ts"
import { modelOption, sessionMeta } from "./ClaudeOptions.ts"

/** How long an agent may take to let go of a session. */
const CLOSE_PATIENCE = Duration.seconds(2)

/** The mode in which an agent asks before it changes anything, as Claude's adapter calls it. */
const ASKING = "default"

const GONE = "its process has ended, and it cannot take up a session again: open a new one"
const ANOTHERS = "it gave the session's name to another session: open a new one"

/** Makes the agent forget a session that it has; false when it does not say that it did. */
export const letGo = (agent: AgentProcess, ref: AgentSessionRef): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    agent.attached.delete(ref)
    if (agent.capabilities.sessionCapabilities?.close == null) return Effect.succeed(false)
    return agent
      .request(
        "it does not close",
        (to) => to.request(methods.agent.session.close, { sessionId: ref }),
        Schema.Unknown,
      )
      .pipe(Effect.timeout(CLOSE_PATIENCE), Effect.isSuccess)
  })

/** Sessions of an agent's process: each step of opening one may take `patience`. */
export const agentSessions = (patience: Duration.Duration) => {
  /** A step of opening a session, which may take only so long. */
  const step = <A, I>(
    agent: AgentProcess,
    what: string,
    ask: (to: ClientContext) => Promise<unknown>,
    answer: Schema.Schema<A, I>,
  ) =>
    Effect.timeoutFail(agent.request(what, ask, answer), {
      duration: patience,
      onTimeout: () =>
        new AgentUnavailable({
          reason: `${what}: it did not answer within ${Duration.toSeconds(patience)} s`,
        }),
    })

  const create = Effect.fn("AcpxClient.create")(function* (agent: AgentProcess, session: AgentSession) {
    let isLeft = false
    const created = yield* step(
      agent,
      "it does not open a session",
      async (to) => {
        const { cwd } = session
        const meta = sessionMeta(agent.capabilities, session)
        const created = await to.request(methods.agent.session.new, { cwd, mcpServers: [], ...meta })
        // Nobody waits for it any more, so nobody would close it.
        if (isLeft) await to.request(methods.agent.session.close, { sessionId: created.sessionId })
        return created
      },
      NewSession,
    ).pipe(
      Effect.onError(() =>
        Effect.sync(() => {
          isLeft = true
        }),
      ),
    )
    const ref = created.sessionId
    if (agent.attached.has(ref)) {
      return yield* new AgentUnavailable({ reason: "it gave a new session the name of one that it has" })
    }
    agent.attached.set(ref, { session, turn: undefined, isInDoubt: false })
    yield* settle(agent, session, ref, created).pipe(Effect.onError(() => letGo(agent, ref)))
    return ref
  })

  /** What a session is to be that is not said when it is made: its model, and a mode in which the agent asks. */
  const settle = (agent: AgentProcess, session: AgentSession, ref: AgentSessionRef, state: SessionState) =>
    Effect.gen(function* () {
      const option = modelOption(agent.capabilities, session, state)
      if (option === "not_offered") {
        return yield* new InvalidRequest({
          issues: [{ path: ["model"], message: "is not a model that this agent offers" }],
        })
      }
      if (option !== undefined) {
        yield* step(
          agent,
          "it does not take the model",
          (to) => to.request(methods.agent.session.setConfigOption, { sessionId: ref, ...option }),
          Schema.Unknown,
        )
      }
      const modes = state.modes
      if (
        modes != null &&
        modes.currentModeId !== ASKING &&
        modes.availableModes.some(({ id }) => id === ASKING)
      ) {
        yield* step(
          agent,
          "it does not take the mode",
          (to) => to.request(methods.agent.session.setMode, { sessionId: ref, modeId: ASKING }),
          Schema.Unknown,
        )
      }
    })

  const resume = Effect.fn("AcpxClient.resume")(function* (
    agent: AgentProcess,
    session: AgentSession,
    { ref, answered }: LeftOff,
  ) {
    const { capabilities } = agent
    const isAnothers = agent.attached.has(ref) && attachedAs(agent.attached, session, ref) === undefined
    const how = canResume(capabilities)
      ? methods.agent.session.resume
      : canLoad(capabilities)
        ? methods.agent.session.load
        : undefined
    if (how === undefined || isAnothers) {
      if (!answered) return yield* create(agent, session)
      return yield* new AgentUnavailable({ reason: isAnothers ? ANOTHERS : GONE })
    }
    const resumed = step(
      agent,
      "it does not take up the session again",
      (to) =>
        to.request(how, {
          sessionId: ref,
          cwd: session.cwd,
          mcpServers: [],
          ...sessionMeta(capabilities, session),
        }),
      Schema.NullishOr(SessionState),
    )
    return yield* resumed.pipe(
      Effect.tap(() =>
        Effect.sync(() => agent.attached.set(ref, { session, turn: undefined, isInDoubt: false })),
      ),
      Effect.flatMap((state) =>
        settle(agent, session, ref, state ?? {}).pipe(Effect.onError(() => letGo(agent, ref))),
      ),
      Effect.as(ref),
      // Where nobody was ever answered there is nothing to lose.
      Effect.catchTag("AgentUnavailable", (failure) =>
        answered || !agent.isAlive()
          ? Effect.fail(failure)
          : Effect.zipRight(
              agent.attached.has(ref) ? letGo(agent, ref) : Effect.void,
              create(agent, session),
            ),
      ),
    )
  })

  /** Deletes the agent's record of a session that it has not open, if the agent can do that, and wants to. */
  const erase = (agent: AgentProcess, ref: AgentSessionRef) =>
    agent.info.erasable && !agent.attached.has(ref)
      ? step(
          agent,
          "it does not delete the session",
          (to) => to.request(methods.agent.session.delete, { sessionId: ref }),
          Schema.Unknown,
        ).pipe(
          Effect.asVoid,
          // What an agent will not delete today, it will not delete tomorrow; one that is gone may.
          Effect.catchTag("AgentUnavailable", (failure) =>
            agent.isAlive() ? Effect.void : Effect.fail(failure),
          ),
        )
      : Effect.void

  return { create, resume, erase }
}
