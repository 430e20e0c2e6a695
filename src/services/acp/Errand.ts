import { Effect, Option, Schema, Stream } from "effect"
import { type AgentRefusal, AgentUnavailable } from "../../domain/Failure.ts"
import type { Confidential } from "../../domain/Redaction.ts"
import type { AgentInfo } from "../AcpxClient.ts"
import { Processes, type ProcessSpec } from "../Processes.ts"
import { programOf } from "./AcpxCommand.ts"
import { AcpxError, refusal } from "./AcpxFailure.ts"

const Answer = Schema.Struct({
  id: Schema.Number,
  result: Schema.optional(Schema.Unknown),
  error: Schema.optional(AcpxError),
})
const decodeAnswer = Schema.decodeOption(Schema.parseJson(Answer))

const Initialized = Schema.Struct({
  agentInfo: Schema.optional(
    Schema.NullOr(
      Schema.Struct({
        name: Schema.optional(Schema.NullOr(Schema.String)),
        version: Schema.optional(Schema.NullOr(Schema.String)),
      }),
    ),
  ),
  agentCapabilities: Schema.optional(
    Schema.Struct({
      loadSession: Schema.optional(Schema.Boolean),
      sessionCapabilities: Schema.optional(
        Schema.Struct({
          resume: Schema.optional(Schema.NullOr(Schema.Unknown)),
          delete: Schema.optional(Schema.NullOr(Schema.Unknown)),
        }),
      ),
    }),
  ),
})
const decodeInitialized = Schema.decodeUnknownOption(Initialized)

/** Asks an agent things that need no session, in a process that is gone afterwards. */
export interface Errand {
  readonly info: AgentInfo
  readonly ask: (method: string, params: object) => Effect.Effect<unknown, AgentRefusal>
}

/** Starts an agent, shakes hands with it, and does what is to be done. */
export const errand = <A>(
  spec: ProcessSpec,
  confidential: Confidential,
  act: (errand: Errand) => Effect.Effect<A, AgentRefusal>,
): Effect.Effect<A, AgentRefusal, Processes> =>
  Effect.gen(function* () {
    const processes = yield* Processes
    const process = yield* processes
      .spawn(spec)
      .pipe(Effect.catchTag("ProcessFailed", ({ reason }) => Effect.fail(new AgentUnavailable({ reason }))))
    const answers = yield* process.output.pipe(
      Stream.decodeText("utf-8"),
      Stream.splitLines,
      Stream.filterMap(decodeAnswer),
      Stream.toPull,
    )
    let lastId = -1
    const answerTo = (id: number): Effect.Effect<typeof Answer.Type, AgentUnavailable> =>
      answers.pipe(
        Effect.mapError(() => new AgentUnavailable({ reason: "it ended without an answer" })),
        Effect.map((some) => [...some].find((answer) => answer.id === id)),
        Effect.repeat({ until: (found) => found !== undefined }),
        Effect.map((found) => found as typeof Answer.Type),
      )
    const ask: Errand["ask"] = (method, params) =>
      Effect.gen(function* () {
        const id = ++lastId
        yield* process.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`)
        const { result, error } = yield* answerTo(id)
        if (error !== undefined) return yield* refusal(error, programOf(spec), confidential)
        return result
      })
    const initialized = yield* ask("initialize", {
      protocolVersion: 1,
      clientInfo: { name: "clawdforge", version: "1" },
      clientCapabilities: {},
    })
    return yield* act({ info: infoOf(initialized), ask })
  }).pipe(Effect.scoped)

const infoOf = (initialized: unknown): AgentInfo => {
  const { agentInfo, agentCapabilities } = Option.getOrElse(
    decodeInitialized(initialized),
    (): typeof Initialized.Type => ({}),
  )
  const can = agentCapabilities?.sessionCapabilities
  return {
    name: agentInfo?.name ?? null,
    version: agentInfo?.version ?? null,
    resumable: agentCapabilities?.loadSession === true || can?.resume != null,
    erasable: can?.delete != null,
  }
}
