import { type ClientContext, methods, PROTOCOL_VERSION, RequestError } from "@agentclientprotocol/sdk"
import { Deferred, Duration, Effect, Exit, Option, Schema, Scope } from "effect"
import {
  type AgentRefusal,
  AgentUnavailable,
  ExecutableMissing,
  TurnFailed,
} from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AgentInfo } from "../AcpxClient.ts"
import { EXIT_TIMEOUT } from "../Timeouts.ts"
import { Processes, type ProcessSpec } from "../Processes.ts"
import { diagnosisOf, requestFailureOf } from "./Failures.ts"
import { promptText } from "./PromptText.ts"
import { type Capabilities, canLoad, canResume, InitializeResponse } from "./Responses.ts"
import { connect } from "./Connection.ts"
import { LoadedSessions } from "./LoadedSession.ts"
import { makeMessageRouter } from "./MessageRouter.ts"
import type { UnpromptedMessages } from "./UnpromptedMessages.ts"

/** An agent's process that is connected and has answered the handshake. */
export interface AgentProcess {
  readonly info: AgentInfo
  readonly capabilities: Capabilities
  /** The sessions that the process has loaded. */
  readonly sessions: LoadedSessions
  /** The number of sessions that are being opened. */
  opening: number
  /**
   * Sends a request and decodes the answer. Fails when the agent answers with an error, when the answer does not fit the
   * schema, and when the process ends. The reason of the failure begins with `problem`.
   */
  readonly request: <A, I>(
    problem: string,
    ask: (agent: ClientContext) => Promise<unknown>,
    answer: Schema.Schema<A, I>,
  ) => Effect.Effect<A, AgentRefusal>
  /**
   * Sends a prompt, after what the agent has written so far is read, and does not wait for an answer. The agent's messages
   * from then on and its result go to the session's turn.
   */
  readonly sendPrompt: (ref: AgentSessionRef, prompt: string) => Effect.Effect<void>
  /** Asks the agent to end a session's turn. Does not wait for it. */
  readonly cancel: (ref: AgentSessionRef) => Effect.Effect<void>
  /** False once the process has exited, or the connection to it is closed. */
  readonly isAlive: () => boolean
  /** Ends the process and its descendants; its turns fail. Returns when none is left. May be called again. */
  readonly end: Effect.Effect<void>
}

export interface AgentProcessOptions {
  /** Takes what the agent sends about sessions while no turn is open. */
  readonly unprompted: UnpromptedMessages
  /** Texts that are removed from the reasons of failures. */
  readonly secrets: ReadonlyArray<string>
  /** How long the agent may take to answer the handshake. */
  readonly handshakeTimeout: Duration.Duration
}

/**
 * Starts an agent's process and does the handshake. The process and its descendants are gone when the scope closes.
 * Fails when the executable is missing, and when the agent does not complete the handshake in time.
 */
export const startAgent = (
  spec: ProcessSpec,
  { unprompted, secrets, handshakeTimeout }: AgentProcessOptions,
): Effect.Effect<AgentProcess, AgentRefusal, Processes | Scope.Scope> =>
  Effect.gen(function* () {
    const processes = yield* Processes
    // A scope of its own: a broken process is ended although other users still have it in their scopes.
    const own = yield* Scope.make()
    const end = yield* runOnce(Scope.close(own, Exit.void))
    yield* Effect.addFinalizer(() => end)
    const process = yield* processes.spawn(spec).pipe(
      Scope.extend(own),
      Effect.mapError((failure) =>
        failure._tag === "ExecutableMissing"
          ? new ExecutableMissing({ program: failure.program })
          : new AgentUnavailable({ reason: failure.reason }),
      ),
    )
    const sessions = new LoadedSessions(unprompted)
    const connection = connect(process, makeMessageRouter(sessions, secrets))
    yield* Scope.addFinalizer(
      own,
      Effect.sync(() => connection.close()),
    )

    const turns = () => [...sessions.values()].flatMap(({ turn }) => turn ?? [])

    /** Why the process has ended. Waits up to `EXIT_TIMEOUT` for its exit code. */
    const diagnosis = Effect.suspend(() => {
      // Its stderr may quote the prompt of any turn.
      const texts = turns().map(({ prompt }) => prompt)
      return Effect.gen(function* () {
        const exit = yield* Effect.timeoutOption(process.exit, EXIT_TIMEOUT)
        const stderr = yield* process.errorTail
        const confidential = { secrets, texts }
        return diagnosisOf({
          exit: Option.getOrUndefined(exit),
          fault: connection.fault(),
          stderr,
          confidential,
        })
      })
    })

    // Whichever way the connection ends, the turns fail and the process is ended with its descendants.
    yield* Effect.promise(() => connection.closed).pipe(
      Effect.zipRight(
        Effect.suspend(() =>
          Effect.forEach(
            turns(),
            ({ messages }) =>
              Effect.map(diagnosis, (details) => messages.end(Exit.fail(new TurnFailed(details)))),
            { discard: true, concurrency: "unbounded" },
          ),
        ),
      ),
      Effect.zipRight(end),
      Effect.forkDaemon,
    )

    let exited = false
    yield* process.exit.pipe(
      Effect.zipRight(
        Effect.sync(() => {
          exited = true
        }),
      ),
      Effect.forkIn(own),
    )
    const isAlive = () => !exited && !connection.signal.aborted

    const request: AgentProcess["request"] = (problem, ask, answer) =>
      Effect.tryPromise({ try: () => ask(connection.agent), catch: (error) => error }).pipe(
        Effect.catchAll(
          (error): Effect.Effect<never, AgentRefusal> =>
            error instanceof RequestError
              ? Effect.fail(requestFailureOf(problem, error, { secrets, texts: [] }))
              : Effect.flatMap(diagnosis, (details) =>
                  Effect.fail(new AgentUnavailable({ ...details, reason: `${problem}: ${details.reason}` })),
                ),
        ),
        Effect.map(Schema.decodeUnknownOption(answer)),
        Effect.flatMap(
          Effect.mapError(
            () => new AgentUnavailable({ reason: `${problem}: its answer is not of the protocol's shape` }),
          ),
        ),
      )

    const initialized = yield* request(
      "it refused the handshake",
      (agent) =>
        agent.request(methods.agent.initialize, {
          protocolVersion: PROTOCOL_VERSION,
          clientInfo: { name: "clawdforge", version: "0.3.0" },
          // Empty: this client serves no files, terminals or forms.
          clientCapabilities: {},
        }),
      InitializeResponse,
    ).pipe(
      Effect.timeoutFail({
        duration: handshakeTimeout,
        onTimeout: () =>
          new AgentUnavailable({
            reason: `it did not answer the handshake within ${Duration.toSeconds(handshakeTimeout)} s`,
          }),
      }),
    )
    if (initialized.protocolVersion !== PROTOCOL_VERSION) {
      return yield* new AgentUnavailable({
        reason: `it speaks version ${initialized.protocolVersion} of the protocol, not ${PROTOCOL_VERSION}`,
      })
    }
    const capabilities = initialized.agentCapabilities ?? {}

    return {
      info: {
        name: initialized.agentInfo?.name ?? null,
        version: initialized.agentInfo?.version ?? null,
        resumable: canResume(capabilities) || canLoad(capabilities),
        erasable: capabilities.sessionCapabilities?.delete != null,
      },
      capabilities,
      sessions,
      opening: 0,
      request,
      sendPrompt: (ref, prompt) =>
        Effect.map(connection.read, () => {
          // The result is read by the connection's listener, which sees it in order with all other messages.
          void connection.agent
            .request(methods.agent.session.prompt, {
              sessionId: ref,
              prompt: [{ type: "text", text: promptText(prompt) }],
            })
            .catch(() => {})
        }),
      cancel: (ref) =>
        Effect.ignore(
          Effect.tryPromise(() => connection.agent.notify(methods.agent.session.cancel, { sessionId: ref })),
        ),
      isAlive,
      end,
    }
  })

/**
 * An effect that runs `act` once, uninterruptibly. The first caller starts it; all callers return when it is done.
 *
 * `Scope.close` returns at once while another fiber closes the scope. `Effect.once` does the same for its later callers.
 * `Effect.cached` waits, but gives the interruption of its first caller to all later ones, even if `act` has finished.
 */
const runOnce = (act: Effect.Effect<void>): Effect.Effect<Effect.Effect<void>> =>
  Effect.map(Deferred.make<void>(), (done) => {
    let isStarted = false
    return Effect.suspend(() => {
      if (isStarted) return Deferred.await(done)
      isStarted = true
      return Effect.uninterruptible(Effect.ensuring(act, Deferred.succeed(done, undefined)))
    })
  })
