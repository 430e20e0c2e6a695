import { Cause, Chunk, Clock, Deferred, Duration, Effect, Exit, Fiber, Option, Stream } from "effect"
import {
  AgentUnavailable,
  RunTimedOut,
  type StorageFailed,
  TurnFailed,
  type TurnFailure,
} from "../../../domain/Failure.ts"
import { type StoredFile, withAttachments } from "../../../domain/File.ts"
import type { RunId } from "../../../domain/Ids.ts"
import { charsOf } from "../../../domain/Json.ts"
import type { KeptReport } from "../../../domain/Outcome.ts"
import type { SessionRecord, TurnRequest } from "../../../domain/Session.ts"
import { answerCharsOf, isAnswer, stopReasonOf, usageOf } from "../../agents/acp/Messages.ts"
import { type AcpMessage, AcpxClient, type AgentSession } from "../../agents/AcpxClient.ts"
import { EventLog } from "../../journal/EventLog.ts"
import { Files } from "../../files/Files.ts"
import { Ledger } from "../../journal/Ledger.ts"
import { SessionDirs } from "../../sessions/SessionDirs.ts"

/** How long an agent may take to end a turn that is cancelled; then it is made to. */
const CANCEL_PATIENCE = Duration.seconds(4)

/** Far more than any agent needs, and far less than what overflows the stack of whoever writes it as JSON. */
const MESSAGE_MAX_LEVELS = 512
const TOO_DEEP = `it sent a message of more than ${MESSAGE_MAX_LEVELS} levels`

/** What a turn may amount to: escaped six times over, it still fits one string of V8's (2^29 characters). */
const TURN_MAX_CHARS = 80 * 1024 * 1024
const TOO_LONG = `it sent more than ${TURN_MAX_CHARS} characters in one turn`

/** What a turn was accepted with. */
export interface AcceptedTurn {
  readonly id: RunId
  readonly session: SessionRecord
  readonly index: number
  readonly request: TurnRequest
  readonly files: ReadonlyArray<StoredFile>
  /** Done when the turn is to end, as cancelled. */
  readonly cancelled: Deferred.Deferred<void>
}

/** A session as its agent needs to know it. */
export const agentSessionOf = (
  session: Pick<SessionRecord, "id" | "tokenId" | "agent" | "model" | "permissionMode">,
  cwd: string,
): AgentSession => ({
  id: session.id,
  owner: session.tokenId,
  agent: session.agent,
  model: session.model,
  permissionMode: session.permissionMode,
  cwd,
})

/**
 * What a turn does in its slot: the files in the session's directory, the session on its agent, the prompt, and all
 * that the agent sends until it stops, within `timeoutSecs`. When it ends, on whatever way, the agent works on it no
 * more.
 */
export const makeTurnWork = Effect.gen(function* () {
  const client = yield* AcpxClient
  const log = yield* EventLog
  const dirs = yield* SessionDirs
  const files = yield* Files
  const ledger = (yield* Ledger).sessions

  /** The prompt with its files, which are copied first. */
  const promptOf = Effect.fn("SessionPool.attach")(function* ({
    session,
    index,
    request,
    files: held,
  }: AcceptedTurn) {
    if (held.length === 0) return request.prompt
    const dir = yield* dirs.forFiles(session.id, index)
    return withAttachments(request.prompt, yield* files.attach(held, dir))
  })

  /** The session on its agent, where it was left. */
  const opened = Effect.fn("SessionPool.resume")(function* (session: SessionRecord) {
    // Read again: the turn before this one may have changed it. And an agent may have removed its own directory.
    const now = Option.getOrElse(yield* ledger.find(session.id), () => session)
    yield* dirs.make(session.id)
    const agentSession = agentSessionOf(session, dirs.of(session.id))
    const left = Option.map(Option.fromNullable(now.ref), (ref) => ({ ref, answered: now.answered }))
    const ref = yield* client
      .open(agentSession, left)
      .pipe(
        Effect.catchTag(
          "InvalidRequest",
          () => new AgentUnavailable({ reason: "it no longer offers the session's model" }),
        ),
      )
    if (ref !== now.ref) yield* ledger.refer(session.id, ref)
    return { agentSession, ref, answered: now.answered }
  })

  /** Keeps what the agent sends until it stops, or until it is cancelled; before the prompt, it is asked nothing. */
  const converse = (accepted: AcceptedTurn, said: Said) =>
    Effect.gen(function* () {
      const cancelled = Deferred.await(accepted.cancelled)
      const ready = yield* Effect.raceFirst(
        Effect.asSome(Effect.all([promptOf(accepted), opened(accepted.session)])),
        Effect.as(cancelled, Option.none()),
      )
      if (Option.isNone(ready)) return
      const [prompt, { agentSession, ref, ...left }] = ready.value
      let { answered } = left
      const keeping = Stream.runForEachChunk(client.prompt(agentSession, ref, prompt), (chunk) =>
        Effect.suspend((): Effect.Effect<void, TurnFailed | StorageFailed> => {
          const messages = Chunk.toReadonlyArray(chunk)
          const tooMuch = said.hear(messages)
          if (tooMuch !== undefined) return new TurnFailed({ reason: tooMuch })
          const isFirstAnswer = !answered && messages.some(isAnswer)
          answered ||= isFirstAnswer
          return Effect.zipRight(
            // Before the turn has its end, which it may never have.
            isFirstAnswer ? ledger.answered(accepted.session.id) : Effect.void,
            log.append(
              accepted.id,
              messages.map((message) => JSON.stringify(message)),
            ),
          )
        }),
      )
      const asking = Effect.zipRight(client.cancel(agentSession, ref), Effect.never)
      const cancelling = Effect.zipRight(cancelled, Effect.timeoutOption(asking, CANCEL_PATIENCE))
      yield* untilCancelled(keeping, cancelling)
    })

  return Effect.fn("SessionPool.work")(function* (accepted: AcceptedTurn, startedAt: number) {
    const { timeoutSecs } = accepted.request
    const said = new Said()
    const isCancelled = Deferred.isDone(accepted.cancelled)
    const conversing = (yield* isCancelled) ? Effect.void : converse(accepted, said)
    yield* Effect.timeoutFail(conversing, {
      duration: Duration.seconds(timeoutSecs),
      onTimeout: () => new RunTimedOut({ timeoutSecs }),
    }).pipe(
      // However a cancelled turn ends, it was cancelled.
      Effect.catchAll((failure) =>
        Effect.flatMap(isCancelled, (cancelled) => (cancelled ? Effect.void : Effect.fail(failure))),
      ),
    )
    const stopReason = said.last === undefined ? undefined : stopReasonOf(said.last)
    if (stopReason === undefined && !(yield* isCancelled)) {
      return yield* new TurnFailed({ reason: "it ended without a stop reason" })
    }
    return {
      durationMs: (yield* Clock.currentTimeMillis) - startedAt,
      stopReason: stopReason ?? "cancelled",
      responseChars: said.answerChars,
      usage: said.last === undefined ? null : usageOf(said.last),
      costUsd: null,
    } satisfies KeptReport
  }) satisfies (accepted: AcceptedTurn, startedAt: number) => Effect.Effect<KeptReport, TurnFailure>
})

/** What is remembered of what an agent sends in a turn: it is in the log, and may be too much to be held here. */
class Said {
  #chars = 0
  answerChars = 0
  last: AcpMessage | undefined

  /** Takes in the next messages; tells why, when they are more than a turn may amount to. */
  readonly hear = (messages: ReadonlyArray<AcpMessage>): string | undefined => {
    for (const message of messages) {
      this.#chars += charsOf(message, MESSAGE_MAX_LEVELS)
      if (this.#chars > TURN_MAX_CHARS) return Number.isFinite(this.#chars) ? TOO_LONG : TOO_DEEP
      this.answerChars += answerCharsOf(message)
      this.last = message
    }
    return undefined
  }
}

/**
 * Runs the first to its end, unless the second is done before: then the first is interrupted. Both have cleaned up when
 * it returns: what cancels one turn must not reach the next.
 */
const untilCancelled = <E>(running: Effect.Effect<void, E>, cancelling: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const collecting = yield* Effect.forkScoped(running)
    yield* Effect.forkScoped(Effect.zipRight(cancelling, Fiber.interrupt(collecting)))
    const exit = yield* Fiber.await(collecting)
    if (Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)) return
    yield* exit
  }).pipe(Effect.scoped)
