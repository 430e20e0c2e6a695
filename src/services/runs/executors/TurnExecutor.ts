import { Cause, Chunk, Duration, Effect, Exit, Fiber, Option, Stream } from "effect"
import { addAcpMessage, NO_TEXT } from "../../../domain/AnswerText.ts"
import { type StorageFailed, TurnFailed } from "../../../domain/Failure.ts"
import { withAttachments } from "../../../domain/File.ts"
import { estimateJsonChars } from "../../../domain/Json.ts"
import type { TurnSpec } from "../../../domain/Run.ts"
import { CLAUDE, type SessionRecord } from "../../../domain/Session.ts"
import { AnswerRestarts } from "../../agents/acp/AnswerRestarts.ts"
import {
  claudeMessageOf,
  isAnswer,
  modelOf,
  sessionCostOf,
  stopReasonOf,
  usageOf,
} from "../../agents/acp/MessageFields.ts"
import { type AcpMessage, AcpxClient } from "../../agents/AcpxClient.ts"
import { isRefusalText } from "../../agents/ProviderFailures.ts"
import { ProviderSigns } from "../../agents/ProviderSigns.ts"
import { CANCEL_TIMEOUT } from "../../agents/Timeouts.ts"
import { Files } from "../../files/Files.ts"
import { Journal } from "../../journal/Journal.ts"
import { Ledger } from "../../journal/Ledger.ts"
import type { AgentCosts } from "../../sessions/AgentCosts.ts"
import { agentSessionOf } from "../../sessions/AgentSession.ts"
import { SessionDirs } from "../../sessions/SessionDirs.ts"
import { makeSessionQueues } from "../../sessions/SessionQueues.ts"
import { type Attempt, LoginMonitor } from "../../upkeep/LoginMonitor.ts"
import type { PartialTurnReport } from "../Report.ts"
import type { Executor, StartedRun } from "./Executor.ts"
import { isRefusal } from "./Refusals.ts"

/** Far more levels than any agent needs, and far fewer than overflow the stack when they are written as JSON. */
const MESSAGE_MAX_LEVELS = 512
const TOO_DEEP = `it sent a message of more than ${MESSAGE_MAX_LEVELS} levels`

/** The characters of a turn: escaped six times over, they still fit one string of V8's (2^29 characters). */
const TURN_MAX_CHARS = 80 * 1024 * 1024
const TOO_LONG = `it sent more than ${TURN_MAX_CHARS} characters in one turn`

/** Characters of a turn's messages that are held for its answer. A longer turn's answer is read from the journal. */
const HELD_MAX_CHARS = 1024 * 1024

/** The attempt of another agent than `claude`, which has a login of its own. */
const UNREPORTED: Attempt = { worked: Effect.void, failed: () => Effect.void }

/** The report of a turn that is cancelled before it starts. */
const UNSTARTED: PartialTurnReport = {
  events: [],
  durationMs: 0,
  stopReason: "cancelled",
  responseChars: 0,
  usage: null,
  costUsd: null,
}

/** What is kept in memory of the messages that came in a turn. Of a long turn, all messages are in the journal only. */
class ReceivedMessages {
  #chars = 0
  #held: Array<AcpMessage> | undefined = []
  /** The number of characters of the agent's answer. */
  answerChars = 0
  /** Whether the agent has begun to answer. Words of a refusal are no answer, unless it goes on after them. */
  hasAnswer = false
  /** Whether all that the agent has said are the words of a refusal. */
  saidRefusal = false
  /** The newest message: at the end of a turn, its result. */
  last: AcpMessage | undefined
  /** What the session cost so far, as the agent last said; null if it has not. */
  sessionCostUsd: number | null = null
  /** The model that answers, as the agent last said; null if it has not. */
  model: string | null = null

  /** Adds the next messages. Returns why they are more than a turn may have, if they are. */
  readonly add = (messages: ReadonlyArray<AcpMessage>): string | undefined => {
    for (const message of messages) {
      this.#chars += estimateJsonChars(message, MESSAGE_MAX_LEVELS)
      if (this.#chars > TURN_MAX_CHARS) return Number.isFinite(this.#chars) ? TOO_LONG : TOO_DEEP
      if (this.#chars > HELD_MAX_CHARS) this.#held = undefined
      this.#held?.push(message)
      const deltas = addAcpMessage(NO_TEXT, message)[1]
      const isFirstText = this.answerChars === 0 && !this.hasAnswer && !this.saidRefusal
      for (const delta of deltas) {
        this.answerChars = "reset" in delta ? 0 : this.answerChars + delta.text.length
      }
      if (isFirstText && deltas.some((delta) => "text" in delta && isRefusalText(delta.text))) {
        this.saidRefusal = true
      } else if (isAnswer(message) || (this.saidRefusal && stopReasonOf(message) !== undefined)) {
        this.hasAnswer = true
        this.saidRefusal = false
      }
      this.last = message
      this.sessionCostUsd = sessionCostOf(message) ?? this.sessionCostUsd
      this.model = modelOf(message) ?? this.model
    }
    return undefined
  }

  /** All messages; absent if they are too many. */
  get held(): Pick<PartialTurnReport, "events"> {
    return this.#held === undefined ? {} : { events: this.#held }
  }
}

/**
 * Runs `running` to its end, or interrupts it when `cancelling` is done before. Both have cleaned up when it returns: the
 * cancel of one turn must not reach the next.
 */
const untilCancelled = <E>(running: Effect.Effect<void, E>, cancelling: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkScoped(running)
    yield* Effect.forkScoped(Effect.zipRight(cancelling, Fiber.interrupt(fiber)))
    const exit = yield* Fiber.await(fiber)
    if (Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)) return
    yield* exit
  }).pipe(Effect.scoped)

/**
 * Executes turns of sessions: the attached files are copied into the session's directory, the session is opened on its
 * agent where it was left, and everything that the agent sends up to its stop reason goes to the journal, within
 * `timeoutSecs`. When it returns, fails or is interrupted, the agent no longer works on the turn.
 */
export const makeTurnExecutor = (options: {
  /** Turns that may wait on one session. */
  readonly maxQueuedTurns: number
  readonly costs: AgentCosts
}) =>
  Effect.gen(function* () {
    const client = yield* AcpxClient
    const journal = yield* Journal
    const dirs = yield* SessionDirs
    const files = yield* Files
    const logins = yield* LoginMonitor
    const { costs } = options
    const { sessions } = yield* Ledger
    const queues = yield* makeSessionQueues(options.maxQueuedTurns)

    /** Copies the attached files. Returns the prompt, which lists them. */
    const attachFiles = Effect.fn("Turn.attachFiles")(function* (
      { input, sessionId }: TurnSpec,
      index: number,
    ) {
      if (input.files.length === 0) return input.prompt
      const dir = yield* dirs.forFiles(sessionId, index)
      return withAttachments(input.prompt, yield* files.attach(input.files, dir))
    })

    /** Opens the session on its agent, where it was left. */
    const openOnAgent = Effect.fn("Turn.openOnAgent")(function* (session: SessionRecord) {
      // An agent may have removed its own directory.
      yield* dirs.make(session.id)
      const agentSession = agentSessionOf(session, dirs.of(session.id))
      const left = Option.map(Option.fromNullable(session.ref), (ref) => ({
        ref,
        answered: session.answered,
      }))
      const ref = yield* client.open(agentSession, left)
      if (ref !== session.ref) yield* sessions.setRef(session.id, ref)
      return { agentSession, ref }
    })

    /** Prompts the agent and journals what it sends, until it stops or the turn is cancelled. */
    const converse = (
      run: StartedRun<"turn">,
      accepted: TurnOfSession,
      messages: ReceivedMessages,
      signs: ProviderSigns,
    ) =>
      Effect.gen(function* () {
        const { spec, cancelled, hasWaited } = run
        // The turn before may have changed a session that was read before its end.
        const session = hasWaited
          ? Option.getOrElse(yield* sessions.find(spec.sessionId), () => accepted.session)
          : accepted.session
        const ready = yield* Effect.raceFirst(
          Effect.asSome(Effect.all([attachFiles(spec, accepted.index), openOnAgent(session)])),
          Effect.as(cancelled, Option.none()),
        )
        if (Option.isNone(ready)) return
        const [prompt, { agentSession, ref }] = ready.value
        let { answered } = session
        costs.begin(session, spec.id)
        const restarts = new AnswerRestarts()
        const journaling = Stream.runForEachChunk(client.prompt(agentSession, ref, prompt), (chunk) =>
          Effect.suspend((): Effect.Effect<void, TurnFailed | StorageFailed> => {
            const some = Chunk.toReadonlyArray(chunk).flatMap((message) => {
              const ofClaude = claudeMessageOf(message)
              const restart = restarts.add(message)
              if (ofClaude !== undefined) signs.add(ofClaude)
              else if (isAnswer(message)) signs.answerBegins()
              return ofClaude === undefined ? [message] : restart === undefined ? [] : [restart]
            })
            const tooMuch = messages.add(some)
            if (tooMuch !== undefined) return new TurnFailed({ reason: tooMuch })
            const isFirstAnswer = !answered && messages.hasAnswer
            answered ||= isFirstAnswer
            return Effect.zipRight(
              // Recorded at once: the turn may never have an end, and the context must not be lost silently.
              isFirstAnswer ? sessions.answered(session.id) : Effect.void,
              journal.append(
                spec.id,
                some.map((message) => JSON.stringify(message)),
              ),
            )
          }),
        )
        const asking = Effect.zipRight(client.cancel(agentSession, ref), Effect.never)
        const cancelling = Effect.zipRight(cancelled, Effect.timeoutOption(asking, CANCEL_TIMEOUT))
        yield* run.setBegun(true)
        yield* untilCancelled(journaling, cancelling)
      })

    /** What a turn cost, as far as the agent said by its end. */
    const costOfTurn = ({ sessionId }: TurnSpec, { sessionCostUsd }: ReceivedMessages) =>
      sessionCostUsd === null ? null : costs.addInTurn(sessionId, sessionCostUsd)

    /** Records what a failed turn cost: its outcome does not say it. */
    const recordCost = (spec: TurnSpec, messages: ReceivedMessages) =>
      messages.sessionCostUsd === null
        ? Effect.void
        : Effect.catchAll(
            sessions.setAgentCost(spec.sessionId, messages.sessionCostUsd, costOfTurn(spec, messages)),
            ({ cause }) => Effect.logWarning("what a turn cost cannot be stored", Cause.die(cause)),
          )

    const execute = Effect.fn("Turn.execute")(function* (run: StartedRun<"turn">) {
      const { spec, turn, isCancelled } = run
      if (turn === null) return yield* Effect.dieMessage("a turn has a session")
      const messages = new ReceivedMessages()
      const signs = new ProviderSigns()
      yield* run.setBegun(false)
      const { agent, model } = turn.session
      // It may have become known meanwhile that it cannot work.
      if (run.hasWaited && !(yield* isCancelled) && agent === CLAUDE) yield* logins.admit(model)
      const attempt = agent === CLAUDE ? yield* logins.attempt(model) : UNREPORTED
      const conversing = (yield* isCancelled) ? Effect.void : converse(run, turn, messages, signs)
      yield* Effect.timeoutFail(conversing, {
        duration: Duration.seconds(spec.timeoutSecs),
        onTimeout: () => signs.timedOut(spec.timeoutSecs),
      }).pipe(
        Effect.catchAll((failure) => Effect.flip(signs.explain(failure, model))),
        Effect.tapError(attempt.failed),
        Effect.tapError((failure) =>
          Effect.when(
            run.setBegun(false),
            () =>
              !messages.hasAnswer &&
              // A refusal whose cause nobody knows has no failure of its own.
              (isRefusal(failure) || (failure._tag === "TurnFailed" && messages.saidRefusal)),
          ),
        ),
        // However a cancelled turn ends, it was cancelled.
        Effect.catchAll((failure) =>
          Effect.flatMap(isCancelled, (cancelled) => (cancelled ? Effect.void : Effect.fail(failure))),
        ),
        Effect.tapError(() => recordCost(spec, messages)),
      )
      const stopReason = messages.last === undefined ? undefined : stopReasonOf(messages.last)
      if (stopReason === undefined && !(yield* isCancelled)) {
        return yield* new TurnFailed({ reason: "it ended without a stop reason" })
      }
      if (stopReason !== undefined && stopReason !== "cancelled") yield* attempt.worked
      return {
        ...messages.held,
        durationMs: yield* run.elapsedMillis,
        stopReason: stopReason ?? "cancelled",
        responseChars: messages.answerChars,
        usage: messages.last === undefined ? null : usageOf(messages.last),
        costUsd: costOfTurn(spec, messages)?.costUsd ?? null,
        model: messages.model,
        agentCostUsd: costs.totalOf(spec.sessionId) ?? null,
      }
    })

    return {
      kind: "turn",
      unstarted: UNSTARTED,
      prepare: (spec) => Effect.zipRight(files.hold(spec.input.files), queues.of(spec.sessionId)),
      execute,
    } satisfies Executor<"turn">
  })

type TurnOfSession = NonNullable<StartedRun<"turn">["turn"]>
