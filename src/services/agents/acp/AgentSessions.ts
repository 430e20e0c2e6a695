import { type ClientContext, methods } from "@agentclientprotocol/sdk"
import { Duration, Effect, Schema } from "effect"
import { AgentUnavailable, ModelNotFound } from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AgentSession, LeftOff } from "../AcpxClient.ts"
import { CLOSE_TIMEOUT } from "../Timeouts.ts"
import type { AgentProcess } from "./AgentProcess.ts"
import { NOT_OFFERED } from "./Failures.ts"
import { canLoad, canResume, NewSessionResponse, SessionState } from "./Responses.ts"
import { findLoaded } from "./LoadedSession.ts"
import { sessionMeta } from "./ClaudeOptions.ts"
import { modelRequest } from "./SessionModel.ts"

/** The name that Claude's adapter gives to the mode in which it asks for permission before it changes anything. */
const DEFAULT_MODE = "default"

const CANNOT_RESUME = "its process has ended, and it cannot take up a session again: open a new one"
const REF_TAKEN = "it gave the session's name to another session: open a new one"

/** Closes a session in the agent's process. Returns false when the agent does not confirm it within `CLOSE_TIMEOUT`. */
export const closeSession = (agent: AgentProcess, ref: AgentSessionRef): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    agent.sessions.delete(ref)
    if (agent.capabilities.sessionCapabilities?.close == null) return Effect.succeed(false)
    return agent
      .request(
        "it does not close",
        (to) => to.request(methods.agent.session.close, { sessionId: ref }),
        Schema.Unknown,
      )
      .pipe(Effect.timeout(CLOSE_TIMEOUT), Effect.isSuccess)
  })

/** Creates, resumes and erases sessions in an agent's process. Each request to the agent may take `timeout`. */
export const agentSessions = (timeout: Duration.Duration) => {
  const requestInTime = <A, I>(
    agent: AgentProcess,
    problem: string,
    ask: (to: ClientContext) => Promise<unknown>,
    answer: Schema.Schema<A, I>,
  ) =>
    Effect.timeoutFail(agent.request(problem, ask, answer), {
      duration: timeout,
      onTimeout: () =>
        new AgentUnavailable({
          reason: `${problem}: it did not answer within ${Duration.toSeconds(timeout)} s`,
        }),
    })

  const create = Effect.fn("AcpxClient.create")(function* (agent: AgentProcess, session: AgentSession) {
    let isAbandoned = false
    const created = yield* requestInTime(
      agent,
      "it does not open a session",
      async (to) => {
        const { cwd } = session
        const meta = sessionMeta(agent.capabilities, session)
        const created = await to.request(methods.agent.session.new, { cwd, mcpServers: [], ...meta })
        // Its opening was given up meanwhile, so nobody else closes it.
        if (isAbandoned) agent.sessions.forget(created.sessionId)
        if (isAbandoned) await to.request(methods.agent.session.close, { sessionId: created.sessionId })
        return created
      },
      NewSessionResponse,
    ).pipe(
      Effect.onError(() =>
        Effect.sync(() => {
          isAbandoned = true
        }),
      ),
    )
    const ref = created.sessionId
    if (agent.sessions.has(ref)) {
      return yield* new AgentUnavailable({ reason: "it gave a new session the name of one that it has" })
    }
    agent.sessions.add(ref, session)
    yield* configure(agent, session, ref, created).pipe(Effect.onError(() => closeSession(agent, ref)))
    return ref
  })

  /**
   * Sets what cannot be set when a session is created: its model, and the mode in which the agent asks for permission.
   * `ModelNotFound` when the agent does not offer the model.
   */
  const configure = (agent: AgentProcess, session: AgentSession, ref: AgentSessionRef, state: SessionState) =>
    Effect.gen(function* () {
      const setModel = modelRequest(agent.capabilities, session, ref, state)
      if (setModel === "not_offered") {
        return yield* new ModelNotFound({ reason: NOT_OFFERED })
      }
      if (setModel !== undefined) {
        yield* requestInTime(
          agent,
          "it does not take the model",
          (to) => to.request(setModel.method, setModel.params),
          Schema.Unknown,
        )
      }
      const modes = state.modes
      if (
        modes != null &&
        modes.currentModeId !== DEFAULT_MODE &&
        modes.availableModes.some(({ id }) => id === DEFAULT_MODE)
      ) {
        yield* requestInTime(
          agent,
          "it does not take the mode",
          (to) => to.request(methods.agent.session.setMode, { sessionId: ref, modeId: DEFAULT_MODE }),
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
    const isRefTaken = agent.sessions.has(ref) && findLoaded(agent.sessions, session, ref) === undefined
    const method = canResume(capabilities)
      ? methods.agent.session.resume
      : canLoad(capabilities)
        ? methods.agent.session.load
        : undefined
    if (method === undefined || isRefTaken) {
      if (!answered) return yield* create(agent, session)
      return yield* new AgentUnavailable({ reason: isRefTaken ? REF_TAKEN : CANNOT_RESUME })
    }
    const resumed = requestInTime(
      agent,
      "it does not take up the session again",
      (to) =>
        to.request(method, {
          sessionId: ref,
          cwd: session.cwd,
          mcpServers: [],
          ...sessionMeta(capabilities, session),
        }),
      Schema.NullishOr(SessionState),
    )
    return yield* resumed.pipe(
      Effect.tap(() => Effect.sync(() => agent.sessions.add(ref, session))),
      Effect.flatMap((state) =>
        configure(agent, session, ref, state ?? {}).pipe(Effect.onError(() => closeSession(agent, ref))),
      ),
      Effect.as(ref),
      // A session without an answer has no context that could be lost: a new one replaces it.
      Effect.catchTag("AgentUnavailable", (failure) =>
        answered || !agent.isAlive()
          ? Effect.fail(failure)
          : Effect.zipRight(
              agent.sessions.has(ref) ? closeSession(agent, ref) : Effect.void,
              create(agent, session),
            ),
      ),
    )
  })

  /**
   * Deletes the agent's record of a session that is not loaded. Does nothing when the agent cannot delete sessions, or
   * refuses to. Fails only when the agent's process ends.
   */
  const erase = (agent: AgentProcess, ref: AgentSessionRef) =>
    agent.info.erasable && !agent.sessions.has(ref)
      ? requestInTime(
          agent,
          "it does not delete the session",
          (to) => to.request(methods.agent.session.delete, { sessionId: ref }),
          Schema.Unknown,
        ).pipe(
          Effect.asVoid,
          // An agent that refuses once refuses again. One whose process has ended may do it at the next attempt.
          Effect.catchTag("AgentUnavailable", (failure) =>
            agent.isAlive() ? Effect.void : Effect.fail(failure),
          ),
        )
      : Effect.void

  return { create, resume, erase }
}
