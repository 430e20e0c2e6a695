import { type ClientContext, methods, PROTOCOL_VERSION, RequestError } from "@agentclientprotocol/sdk"
import { Duration, Effect, Exit, Option, Schema, Scope } from "effect"
import {
  type AgentRefusal,
  AgentUnavailable,
  ExecutableMissing,
  TurnFailed,
} from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AgentInfo } from "../AcpxClient.ts"
import { Processes, type ProcessSpec } from "../Processes.ts"
import { endingOf, refusalOf } from "./Failures.ts"
import { promptText } from "./PromptText.ts"
import { type Capabilities, canLoad, canResume, Hello } from "./Answers.ts"
import { runOnce } from "./Once.ts"
import type { Turn } from "./Turn.ts"
import { connect } from "./Connection.ts"
import { type Attached, routesTo } from "./Routing.ts"

/** How long a process whose output has ended may take to exit, for its exit code. */
const EXIT_PATIENCE = Duration.seconds(1)

/** An agent's process, connected and past its handshake. */
export interface AgentProcess {
  readonly info: AgentInfo
  readonly capabilities: Capabilities
  /** The sessions that it has. */
  readonly attached: Map<AgentSessionRef, Attached>
  /** How many are being opened. */
  opening: number
  /** A request to the agent, and its answer in that shape; `what` says in a failure what it was for. */
  readonly request: <A, I>(
    what: string,
    ask: (agent: ClientContext) => Promise<unknown>,
    answer: Schema.Schema<A, I>,
  ) => Effect.Effect<A, AgentRefusal>
  /** Sends a turn's prompt, and does not wait: all that comes of it goes to the turn. */
  readonly send: (ref: AgentSessionRef, turn: Turn) => Effect.Effect<void>
  /** Asks the agent to end a session's turn. */
  readonly cancel: (ref: AgentSessionRef) => Effect.Effect<void>
  /** False once the process, or the connection to it, is known to be gone. */
  readonly isAlive: () => boolean
  /** Ends the process with all that it started; its turns fail. Returns when it is gone. */
  readonly end: Effect.Effect<void>
}

export interface AgentProcessOptions {
  readonly secrets: ReadonlyArray<string>
  /** How long it may take to answer the handshake. */
  readonly handshakeTimeout: Duration.Duration
}

/** Starts an agent and shakes hands. It is gone with the scope, with all that it started. */
export const startAgent = (
  spec: ProcessSpec,
  { secrets, handshakeTimeout }: AgentProcessOptions,
): Effect.Effect<AgentProcess, AgentRefusal, Processes | Scope.Scope> =>
  Effect.gen(function* () {
    const processes = yield* Processes
    // Its own scope: what is sick is ended while others still hold it.
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
    const attached = new Map<AgentSessionRef, Attached>()
    const connection = connect(process, routesTo(attached, secrets))
    yield* Scope.addFinalizer(
      own,
      Effect.sync(() => connection.close()),
    )

    const turns = () => [...attached.values()].flatMap(({ turn }) => turn ?? [])

    /** Why the process is gone; waits a little for its exit code. */
    const ending = Effect.suspend(() => {
      // What it wrote may be of any turn.
      const texts = turns().map(({ prompt }) => prompt)
      return Effect.gen(function* () {
        const exit = yield* Effect.timeoutOption(process.exit, EXIT_PATIENCE)
        const stderr = yield* process.errorTail
        return endingOf({ exit: Option.getOrUndefined(exit), stderr, confidential: { secrets, texts } })
      })
    })

    // However it goes, its turns learn of it, and what it started goes with it.
    yield* Effect.promise(() => connection.closed).pipe(
      Effect.zipRight(
        Effect.suspend(() =>
          Effect.forEach(
            turns(),
            (turn) => Effect.map(ending, (how) => turn.end(Exit.fail(new TurnFailed(how)))),
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

    const request: AgentProcess["request"] = (what, ask, answer) =>
      Effect.tryPromise({ try: () => ask(connection.agent), catch: (error) => error }).pipe(
        Effect.catchAll(
          (error): Effect.Effect<never, AgentRefusal> =>
            error instanceof RequestError
              ? Effect.fail(refusalOf(what, error, { secrets, texts: [] }))
              : Effect.flatMap(ending, (how) =>
                  Effect.fail(new AgentUnavailable({ ...how, reason: `${what}: ${how.reason}` })),
                ),
        ),
        Effect.map(Schema.decodeUnknownOption(answer)),
        Effect.flatMap(
          Effect.mapError(
            () => new AgentUnavailable({ reason: `${what}: its answer is not of the protocol's shape` }),
          ),
        ),
      )

    const hello = yield* request(
      "it refused the handshake",
      (agent) =>
        agent.request(methods.agent.initialize, {
          protocolVersion: PROTOCOL_VERSION,
          clientInfo: { name: "clawdforge", version: "0.3.0" },
          // Files, terminals and forms are not served, so not offered.
          clientCapabilities: {},
        }),
      Hello,
    ).pipe(
      Effect.timeoutFail({
        duration: handshakeTimeout,
        onTimeout: () =>
          new AgentUnavailable({
            reason: `it did not answer the handshake within ${Duration.toSeconds(handshakeTimeout)} s`,
          }),
      }),
    )
    if (hello.protocolVersion !== PROTOCOL_VERSION) {
      return yield* new AgentUnavailable({
        reason: `it speaks version ${hello.protocolVersion} of the protocol, not ${PROTOCOL_VERSION}`,
      })
    }
    const capabilities = hello.agentCapabilities ?? {}

    return {
      info: {
        name: hello.agentInfo?.name ?? null,
        version: hello.agentInfo?.version ?? null,
        resumable: canResume(capabilities) || canLoad(capabilities),
        erasable: capabilities.sessionCapabilities?.delete != null,
      },
      capabilities,
      attached,
      opening: 0,
      request,
      send: (ref, turn) =>
        Effect.sync(() => {
          // What comes of it is seen on the wire, in order with everything else.
          void connection.agent
            .request(methods.agent.session.prompt, {
              sessionId: ref,
              prompt: [{ type: "text", text: promptText(turn.prompt) }],
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
