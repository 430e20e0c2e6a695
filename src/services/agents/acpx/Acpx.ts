import { Duration, Effect, Layer, Option, Schema, Stream } from "effect"
import {
  type AgentRefusal,
  AgentUnavailable,
  ExecutableMissing,
  type InvalidRequest,
} from "../../../domain/Failure.ts"
import { AgentSessionRef, type AgentName } from "../../../domain/Session.ts"
import { AcpxClient, type AgentSession } from "../AcpxClient.ts"
import { secretsIn } from "../claude/Command.ts"
import type { Executable } from "../ClaudeRunner.ts"
import { Processes } from "../Processes.ts"
import { AcpxRecords, fromRecords } from "./Records.ts"
import { acpxArguments, programOf } from "./Command.ts"
import { AcpxError, openingFailure } from "./Failure.ts"
import { acpxPrompt } from "./Prompt.ts"
import { makeAttachments } from "./Attachments.ts"
import type { AgentOptions } from "../acp/Options.ts"
import { startAgent } from "../acp/AgentProcess.ts"
import { agentSessions } from "../acp/AgentSessions.ts"

/** acpx's queue owners outlive what we allow them by this much at most, should we not be there to end them. */
const TTL_RESERVE_SECS = 60
const OUTPUT_MAX_CHUNKS = 64

export interface AcpxOptions extends AgentOptions {
  readonly acpx: Executable
}

/**
 * Agents by way of the `acpx` executable: one call of it a turn. Its queue owner, which keeps the agent between turns,
 * belongs to the session and is ended with it. A session's `ref` is acpx's name for its record.
 *
 * Whether an agent can take a session up again shows when it is prompted: acpx asks it then, before it gets the prompt.
 */
export const layer = (options: AcpxOptions): Layer.Layer<AcpxClient, never, Processes | AcpxRecords> =>
  Layer.scoped(
    AcpxClient,
    Effect.gen(function* () {
      const processes = yield* Processes
      const records = yield* AcpxRecords
      const attachments = yield* makeAttachments
      const secrets = secretsIn(options.env)
      const sessions = agentSessions(options.openPatience)

      const agentOf = (name: AgentName) =>
        Effect.fromNullable(options.agents.get(name)).pipe(
          Effect.mapError(() => new ExecutableMissing({ program: name })),
        )

      /** A call of acpx about a session; it is not in the session's directory, which may be gone. */
      const call = (session: AgentSession, agent: Executable, subcommand: ReadonlyArray<string>) =>
        Effect.zipRight(
          fromRecords(records.dropSettings(session.cwd)),
          processes
            .spawn({
              command: options.acpx.command,
              args: [
                ...options.acpx.args,
                ...acpxArguments(session, agent, options.idleSecs + TTL_RESERVE_SECS, subcommand),
              ],
              cwd: "/",
              env: options.env,
            })
            .pipe(
              Effect.catchTag("ProcessFailed", ({ reason }) => Effect.fail(new AgentUnavailable({ reason }))),
            ),
        )

      const ensure = (session: AgentSession): Effect.Effect<AgentSessionRef, AgentRefusal | InvalidRequest> =>
        Effect.gen(function* () {
          const agent = yield* agentOf(session.agent)
          const model = session.model === null ? [] : ["--model", session.model]
          const process = yield* call(session, agent, [...model, "sessions", "ensure", "--name", session.id])
          yield* process.endInput
          const output = yield* Stream.mkString(
            Stream.decodeText(Stream.take(process.output, OUTPUT_MAX_CHUNKS)),
          )
          const said = Option.getOrUndefined(decodeEnsured(output.trim().split("\n").at(-1) ?? ""))
          if (said?.acpxRecordId !== undefined) return AgentSessionRef.make(said.acpxRecordId)
          const error = said?.error ?? { code: 0, message: "acpx did not say what became of the session" }
          return yield* Effect.fail(openingFailure(error, programOf(agent), { secrets, texts: [] }))
        }).pipe(Effect.scoped, withPatience(options.openPatience))

      const open = Effect.fn("AcpxClient.open")(function* (
        ...[session, left]: Parameters<typeof AcpxClient.Service.open>
      ) {
        const answered = Option.exists(left, (was) => was.answered)
        if (Option.isSome(left)) {
          const known = yield* fromRecords(records.agentSession(left.value.ref))
          if (Option.isSome(known)) {
            if (answered) attachments.answered.add(session.id)
            return left.value.ref
          }
          if (answered) return yield* new AgentUnavailable({ reason: "acpx has no record of the session" })
        }
        return yield* ensure(session)
      })

      const prompting = { call, agentOf, records, attachments, secrets, ...options }
      const { prompt, cancel } = acpxPrompt(prompting)

      const close = Effect.fn("AcpxClient.close")(function* (session: AgentSession) {
        const attachment = attachments.find(session.id)
        if (attachment !== undefined) yield* attachments.end(attachment)
        attachments.answered.delete(session.id)
      })

      /** An agent of its own, for what needs no session; gone with the scope. */
      const visit = (name: AgentName) =>
        Effect.flatMap(agentOf(name), (agent) =>
          startAgent(
            { ...agent, cwd: "/", env: options.env },
            { secrets, handshakeTimeout: options.openPatience },
          ),
        ).pipe(Effect.provideService(Processes, processes))

      const erase = Effect.fn("AcpxClient.erase")(function* (session: AgentSession, ref: AgentSessionRef) {
        yield* close(session)
        const known = yield* fromRecords(records.agentSession(ref))
        if (Option.isSome(known)) {
          const agent = yield* visit(session.agent)
          yield* sessions.erase(agent, known.value)
        }
        yield* fromRecords(records.remove(ref))
      }, Effect.scoped)

      return {
        open,
        prompt,
        cancel,
        close,
        erase,
        endAll: attachments.endAll(() => true),
        endOf: (owner) => attachments.endAll(({ session }) => session.owner === owner),
        inspect: (name) =>
          visit(name).pipe(
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

const withPatience =
  (patience: Duration.Duration) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | AgentUnavailable, R> =>
    Effect.timeoutFail(effect, {
      duration: patience,
      onTimeout: () =>
        new AgentUnavailable({ reason: `it did not answer within ${Duration.toSeconds(patience)} s` }),
    })
