import { Deferred, Duration, Effect, Exit, Option, Schedule, Schema, type Scope, Stream } from "effect"
import type { AgentRefusal, ExecutableMissing } from "../../../domain/Failure.ts"
import type { AgentName } from "../../../domain/Session.ts"
import type { AgentSession } from "../AcpxClient.ts"
import type { Executable } from "../ClaudeRunner.ts"
import type { RunningProcess } from "../Processes.ts"
import type { Attachment, makeAttachments } from "./Attachments.ts"

/** How long an agent may take to obey a cancel, before its processes are ended. */
const CANCEL_PATIENCE = Duration.seconds(4)
/** acpx has nothing to cancel as long as its queue owner is starting. */
const CANCEL_AGAIN = Schedule.intersect(Schedule.spaced("250 millis"), Schedule.recurs(20))

export interface CancelNeeds {
  /** Calls acpx about a session. */
  readonly call: (
    session: AgentSession,
    agent: Executable,
    subcommand: ReadonlyArray<string>,
  ) => Effect.Effect<RunningProcess, AgentRefusal, Scope.Scope>
  readonly agentOf: (name: AgentName) => Effect.Effect<Executable, ExecutableMissing>
  readonly attachments: Effect.Effect.Success<typeof makeAttachments>
}

/** Turns of sessions: how they are broken off. */
export const acpxCancel = ({ call, agentOf, attachments }: CancelNeeds) => {
  /** Asks until acpx has passed it on, or the turn has ended. */
  const cancelTurn = (attachment: Attachment, ended: Deferred.Deferred<void>) => {
    const once = Effect.gen(function* () {
      const agent = yield* agentOf(attachment.session.agent)
      const process = yield* call(attachment.session, agent, ["cancel", "-s", attachment.session.id])
      yield* process.endInput
      const output = yield* Stream.mkString(Stream.decodeText(process.output))
      return Option.exists(decodeCancelled(output.trim()), ({ cancelled }) => cancelled)
    }).pipe(
      Effect.scoped,
      Effect.orElseSucceed(() => false),
    )
    const again = Effect.repeat(once, { until: (cancelled) => cancelled, schedule: CANCEL_AGAIN })
    return Effect.race(again, Deferred.await(ended))
  }

  /** Leaves a turn that nobody reads any more: it is cancelled, or its processes are ended. */
  const leave = (attachment: Attachment, ended: Deferred.Deferred<void>) =>
    Effect.gen(function* () {
      if (yield* Deferred.isDone(ended)) return
      const obeyed = Effect.zipRight(cancelTurn(attachment, ended), Deferred.await(ended))
      const inTime = yield* Effect.timeoutOption(Effect.interruptible(obeyed), CANCEL_PATIENCE).pipe(
        // The leaving fiber's interruption is passed on to what it forks.
        Effect.forkDaemon,
        Effect.flatMap((fiber) => fiber.await),
      )
      if (Exit.isFailure(inTime) || Option.isNone(inTime.value)) yield* attachments.end(attachment)
    })

  return { cancelTurn, leave }
}

const decodeCancelled = Schema.decodeOption(Schema.parseJson(Schema.Struct({ cancelled: Schema.Boolean })))
