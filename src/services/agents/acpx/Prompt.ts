import { Deferred, Duration, Effect, Exit, Option, Scope, Stream } from "effect"
import { type AgentRefusal, AgentUnavailable, TurnFailed } from "../../../domain/Failure.ts"
import type { AgentSessionRef } from "../../../domain/Session.ts"
import type { AcpMessage, AgentSession } from "../AcpxClient.ts"
import type { RunningProcess } from "../Processes.ts"
import { type Backlog, makeBacklog } from "../acp/Backlog.ts"
import { acpxCancel, type CancelNeeds } from "./Cancel.ts"
import { programOf, promptInput } from "./Command.ts"
import { isNotFound } from "../acp/Failures.ts"
import { refusal, turnFailure } from "./Failure.ts"
import { type AcpxRecords, fromRecords } from "./Records.ts"
import { turnReader } from "./Turn.ts"
import type { Attachment } from "./Attachments.ts"

const EMPTY = "it cannot take the session up again where it was"

interface Needs extends CancelNeeds {
  readonly records: typeof AcpxRecords.Service
  readonly secrets: ReadonlyArray<string>
  readonly idleSecs: number
  readonly openPatience: Duration.Duration
}

type Failing = AgentRefusal | TurnFailed

/** What a turn has in common with who reads it. */
interface Turn {
  readonly backlog: Backlog
  readonly ended: Deferred.Deferred<void>
  readonly prompted: Deferred.Deferred<void>
}

/** The turn is over, if it is not already. */
const finish = (turn: Turn, exit: Exit.Exit<void, Failing>) =>
  Effect.zipRight(
    Effect.sync(() => turn.backlog.end(exit)),
    Deferred.succeed(turn.ended, undefined),
  )

/** Turns of sessions: the part of the client that talks. */
export const acpxPrompt = (needs: Needs) => {
  const { call, agentOf, records, attachments, secrets, ...options } = needs
  const { cancelTurn, leave } = acpxCancel(needs)
  const isAnswered = ({ session }: Attachment) => attachments.answered.has(session.id)

  /** The session is not to go on with these processes. */
  const abandon = (attachment: Attachment, turn: Turn, failure: Failing) =>
    Effect.uninterruptible(Effect.zipRight(attachments.endSoon(attachment), finish(turn, Exit.fail(failure))))

  /**
   * Follows the turn in acpx's output, to the end of that; no more is taken while the reader is behind. Returns whether
   * an agent was started, and stays.
   */
  const follow = (
    attachment: Attachment,
    turn: Turn,
    process: RunningProcess,
    program: string,
    prompt: string,
  ) => {
    const read = turnReader()
    const confidential = { secrets, texts: [prompt] }
    let starts = false
    let sound = true
    const fail = (failure: Failing) => {
      sound = false
      return abandon(attachment, turn, failure)
    }
    const hear = (line: string): Effect.Effect<unknown> => {
      const heard = read(line)
      switch (heard._tag) {
        case "Nothing":
          return Effect.void
        case "AgentStarts":
          starts = true
          return Effect.void
        case "EmptySession":
          return isAnswered(attachment) ? fail(new AgentUnavailable({ reason: EMPTY })) : Effect.void
        case "Prompted":
          return Deferred.succeed(turn.prompted, undefined)
        case "Message":
          return turn.backlog.offer(heard.message) ?? Effect.void
        case "Result":
          attachments.answered.add(attachment.session.id)
          turn.backlog.offer(heard.message)
          return finish(turn, Exit.void)
        case "Refused": {
          const failure = turnFailure(heard.error, program, confidential)
          // The agent's process has lost the session; in another it can be taken up again.
          return isNotFound(heard.error) ? fail(failure) : finish(turn, Exit.fail(failure))
        }
        case "Broken":
          return Effect.flatMap(Deferred.isDone(turn.prompted), (prompted) =>
            fail((prompted ? turnFailure : refusal)(heard.error, program, confidential)),
          )
      }
    }
    return process.output.pipe(
      Stream.decodeText("utf-8"),
      Stream.splitLines,
      Stream.runForEachWhile((line) => Effect.map(hear(line), () => sound)),
      Effect.map(() => ({ starts, sound })),
    )
  }

  /** One call of acpx, from the prompt to its exit, apart from whoever reads the turn. */
  const perform = (attachment: Attachment, ref: AgentSessionRef, prompt: string, turn: Turn) =>
    Effect.gen(function* () {
      const { session } = attachment
      const agent = yield* agentOf(session.agent)
      if (isAnswered(attachment) && !(yield* fromRecords(records.insist(ref))))
        return yield* new AgentUnavailable({ reason: "acpx has no record of the session" })
      const scope = yield* Scope.fork(attachment.scope, attachment.scope.strategy)
      const process = yield* Scope.extend(
        call(session, agent, ["prompt", "-s", session.id, "-f", "-"]),
        scope,
      )
      yield* process.write(promptInput(prompt))
      yield* process.endInput
      const { starts, sound } = yield* follow(attachment, turn, process, programOf(agent), prompt)
      if (!sound) return
      if (!(yield* Deferred.isDone(turn.ended)))
        return yield* Effect.flatMap(unfinished(turn), (failure) => abandon(attachment, turn, failure))
      // What it has started stays: the queue owner, and the agent with it.
      if (!starts) yield* Scope.close(scope, Exit.void)
      yield* attachments.endLater(attachment, Duration.seconds(options.idleSecs))
    }).pipe(Effect.catchAll((failure) => finish(turn, Exit.fail(failure))))

  /** An agent that does not even get the prompt in time is ended. */
  const watch = (attachment: Attachment, turn: Turn) =>
    Effect.gen(function* () {
      const started = Effect.race(Deferred.await(turn.prompted), Deferred.await(turn.ended))
      if (Option.isSome(yield* Effect.timeoutOption(started, options.openPatience))) return
      const reason = `it did not take the prompt within ${Duration.toSeconds(options.openPatience)} s`
      yield* abandon(attachment, turn, new AgentUnavailable({ reason }))
    })

  const prompt = (
    session: AgentSession,
    ref: AgentSessionRef,
    text: string,
  ): Stream.Stream<AcpMessage, Failing> =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const attachment = yield* attachments.attach(session)
        const turn: Turn = {
          backlog: yield* makeBacklog,
          ended: yield* Deferred.make<void>(),
          prompted: yield* Deferred.make<void>(),
        }
        yield* Effect.acquireRelease(
          Effect.gen(function* () {
            attachment.ended = turn.ended
            const fiber = yield* Effect.forkIn(
              Effect.interruptible(perform(attachment, ref, text, turn)),
              attachment.scope,
            )
            yield* Effect.forkIn(Effect.interruptible(watch(attachment, turn)), attachment.scope)
            // Whatever becomes of the fiber, before its first step too, the turn is over then.
            const settled = yield* Effect.forkDaemon(Effect.zipRight(fiber.await, conclude(turn)))
            attachment.settled = Effect.asVoid(settled.await)
          }),
          () => Effect.zipRight(turn.backlog.unread, leave(attachment, turn.ended)),
        )
        return turn.backlog.messages
      }),
    )

  const cancel = Effect.fn("AcpxClient.cancel")(function* (session: AgentSession) {
    const attachment = attachments.find(session.id)
    if (attachment?.ended === undefined || (yield* Deferred.isDone(attachment.ended))) return
    yield* cancelTurn(attachment, attachment.ended)
  })

  return { prompt, cancel }
}

/** What there is to say of a turn whose acpx said nothing of its end. */
const unfinished = (turn: Turn): Effect.Effect<Failing> =>
  Effect.map(Deferred.isDone(turn.prompted), (prompted) =>
    prompted
      ? new TurnFailed({ reason: "its process ended before the turn" })
      : new AgentUnavailable({ reason: "its process ended before it had the prompt" }),
  )

const conclude = (turn: Turn) =>
  Effect.flatMap(unfinished(turn), (failure) => finish(turn, Exit.fail(failure)))
