import { Duration, Effect, Layer, Option, Schema, Stream } from "effect"
import {
  type AgentRefusal,
  AgentUnavailable,
  ExecutableMissing,
  type ModelNotFound,
} from "../../../domain/Failure.ts"
import { AgentSessionRef, type AgentName } from "../../../domain/Session.ts"
import { secretsIn } from "../../../domain/Redaction.ts"
import { AcpxClient, type AcpMessage, type AgentSession } from "../AcpxClient.ts"
import { Ids } from "../../access/Ids.ts"
import { type Executable, Processes, programName } from "../Processes.ts"
import { WorkDirs } from "../WorkDirs.ts"
import { AcpxRecords, fromRecords } from "./AcpxRecords.ts"
import { AgentRelays } from "./AgentRelays.ts"
import type { CancelDependencies } from "./Cancel.ts"
import { acpxArguments } from "./Command.ts"
import { AcpxError, openingFailure } from "./Failures.ts"
import { acpxPrompt } from "./Prompt.ts"
import { makeRunningSessions } from "./RunningSessions.ts"
import type { AgentOptions } from "../AgentOptions.ts"
import { startAgent } from "../acp/AgentProcess.ts"
import { agentSessions } from "../acp/AgentSessions.ts"
import { makeUnpromptedMessages } from "../acp/UnpromptedMessages.ts"

/** acpx itself ends a queue owner this much later than we do. It matters only if this service is gone by then. */
const TTL_RESERVE_SECS = 60
const OUTPUT_MAX_CHUNKS = 64

export interface AcpxOptions extends AgentOptions {
  readonly acpx: Executable
}

/**
 * A client that reaches agents through the `acpx` executable, one call for each turn. acpx's queue owner keeps the agent
 * between turns; it belongs to the session and is ended with it. A session's `ref` is the name of acpx's record.
 *
 * acpx resumes a session only when it is prompted, just before the agent gets the prompt. So `open` cannot tell whether
 * the agent can resume the session; `prompt` fails if it cannot.
 */
export const layer = (
  options: AcpxOptions,
): Layer.Layer<AcpxClient, never, AcpxRecords | AgentRelays | Ids | Processes | WorkDirs> =>
  Layer.scoped(
    AcpxClient,
    Effect.gen(function* () {
      const ids = yield* Ids
      const workDirs = yield* WorkDirs
      const processes = yield* Processes
      const records = yield* AcpxRecords
      const relays = yield* AgentRelays
      const runningSessions = yield* makeRunningSessions
      const secrets = secretsIn(options.env)
      const unprompted = makeUnpromptedMessages()
      const sessions = agentSessions(options.openTimeout)

      const agentOf = (name: AgentName) =>
        Effect.fromNullable(options.agents.get(name)).pipe(
          Effect.mapError(() => new ExecutableMissing({ program: name })),
        )

      /**
       * Prepares how acpx starts a session's agent: by a relay, which has its socket in a new directory, and with another
       * directory for what Claude leaves in its temporary one. Both are removed when the scope closes.
       */
      const prepareLaunch = (session: AgentSession) =>
        Effect.gen(function* () {
          const agent = yield* agentOf(session.agent)
          const { cwd: place, tmp } = yield* Effect.flatMap(ids.run, workDirs.make)
          const hear = (message: AcpMessage) => unprompted.offer(session.id, message)
          const { executable, env } = yield* relays.prepare(agent, place, hear)
          return { executable, env: { ...env, CLAUDE_CODE_TMPDIR: tmp } }
        }).pipe(
          Effect.catchTag("StorageFailed", ({ during, cause }) =>
            Effect.zipRight(
              Effect.logWarning(during, cause),
              new AgentUnavailable({ reason: "there is no directory for it" }),
            ),
          ),
        )

      /** Starts a call of acpx about a session. Its working directory is `/`, as the session's own may be gone. */
      const call: CancelDependencies["call"] = (session, { executable, env }, subcommand) =>
        Effect.zipRight(
          fromRecords(records.dropSettings(session.cwd)),
          processes
            .spawn({
              command: options.acpx.command,
              args: [
                ...options.acpx.args,
                ...acpxArguments(session, executable, options.idleSecs + TTL_RESERVE_SECS, subcommand),
              ],
              cwd: "/",
              env: { ...options.env, ...env },
            })
            .pipe(
              Effect.catchTag("ProcessFailed", ({ reason }) => Effect.fail(new AgentUnavailable({ reason }))),
            ),
        )

      const ensure = (session: AgentSession): Effect.Effect<AgentSessionRef, AgentRefusal | ModelNotFound> =>
        Effect.gen(function* () {
          const agent = yield* agentOf(session.agent)
          const model = session.model === null ? [] : ["--model", session.model]
          const launch = yield* prepareLaunch(session)
          const subcommand = [...model, "sessions", "ensure", "--name", session.id]
          const process = yield* call(session, launch, subcommand)
          yield* process.endInput
          const output = yield* Stream.mkString(
            Stream.decodeText(Stream.take(process.output, OUTPUT_MAX_CHUNKS)),
          )
          const reply = Option.getOrUndefined(decodeEnsured(output.trim().split("\n").at(-1) ?? ""))
          if (reply?.acpxRecordId !== undefined) return AgentSessionRef.make(reply.acpxRecordId)
          const error = reply?.error ?? { code: 0, message: "acpx did not say what became of the session" }
          return yield* Effect.fail(openingFailure(error, programName(agent.command), { secrets, texts: [] }))
        }).pipe(Effect.scoped, withTimeout(options.openTimeout))

      const open = Effect.fn("AcpxClient.open")(function* (
        ...[session, left]: Parameters<typeof AcpxClient.Service.open>
      ) {
        const answered = Option.exists(left, (was) => was.answered)
        if (Option.isSome(left)) {
          const known = yield* fromRecords(records.agentRef(left.value.ref))
          if (Option.isSome(known)) {
            if (answered) runningSessions.answered.add(session.id)
            return left.value.ref
          }
          if (answered) return yield* new AgentUnavailable({ reason: "acpx has no record of the session" })
        }
        return yield* ensure(session)
      })

      const prompting = {
        call,
        agentOf,
        prepareLaunch,
        records,
        runningSessions,
        secrets,
        ...options,
      }
      const { prompt, cancel } = acpxPrompt(prompting)

      const close = Effect.fn("AcpxClient.close")(function* (session: AgentSession) {
        const running = runningSessions.find(session.id)
        if (running !== undefined) yield* runningSessions.end(running)
        runningSessions.answered.delete(session.id)
      })

      /** Starts an agent for a request that needs no session. Its process ends with the scope. */
      const startTemporaryAgent = (name: AgentName) =>
        Effect.flatMap(agentOf(name), (agent) =>
          startAgent(
            { ...agent, cwd: "/", env: options.env },
            { unprompted, secrets, handshakeTimeout: options.openTimeout },
          ),
        ).pipe(Effect.provideService(Processes, processes))

      const erase = Effect.fn("AcpxClient.erase")(function* (session: AgentSession, ref: AgentSessionRef) {
        yield* close(session)
        const known = yield* fromRecords(records.agentRef(ref))
        if (Option.isSome(known)) {
          const agent = yield* startTemporaryAgent(session.agent)
          yield* sessions.erase(agent, known.value)
        }
        yield* fromRecords(records.remove(ref))
      }, Effect.scoped)

      return {
        unprompted: unprompted.stream,
        open,
        prompt,
        cancel,
        close,
        erase,
        endAll: runningSessions.endAll(() => true),
        endOf: (owner) => runningSessions.endAll(({ session }) => session.owner === owner),
        inspect: (name) =>
          startTemporaryAgent(name).pipe(
            Effect.map(({ info }) => info),
            Effect.scoped,
          ),
      }
    }),
  )

const decodeEnsured = Schema.decodeOption(
  Schema.parseJson(
    Schema.Struct({
      acpxRecordId: Schema.optional(Schema.String),
      error: Schema.optional(AcpxError),
    }),
  ),
)

const withTimeout =
  (timeout: Duration.Duration) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | AgentUnavailable, R> =>
    Effect.timeoutFail(effect, {
      duration: timeout,
      onTimeout: () =>
        new AgentUnavailable({ reason: `it did not answer within ${Duration.toSeconds(timeout)} s` }),
    })
