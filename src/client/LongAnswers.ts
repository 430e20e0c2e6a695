import { Effect, Stream } from "effect"
import type { AnswerOf, Derived } from "./Derived.ts"
import { type AnyError, UnexpectedAnswerError } from "./Errors.ts"
import type { ForgeMethods } from "./ForgeClient.ts"
import { deadlineSecs, withDeadline } from "./Deadlines.ts"
import type { CheckedSettings } from "./Settings.ts"
import { applyDelta, type RunEvent } from "./StreamedEvents.ts"
import type { RunPayload, StreamOptions, TurnPayload } from "./Streams.ts"
import { type AnswerHead, idempotencyHeaders } from "./Transport.ts"

/**
 * Runs and turns whose answer may take longer than `fetch` waits: browsers and Node give up after five minutes without a
 * byte. Such an answer is read as a stream, which has a byte every few seconds. The result is the same.
 */

/** The longest deadline, in seconds, for which a plain `fetch` is used. */
const FETCH_SECS = 280

type TurnEvents = AnswerOf<Derived["sessions"]["takeTurn"]>["events"]

interface Options {
  readonly idempotencyKey?: string | undefined
  readonly usage?: boolean | undefined
}

interface TurnOptions extends Options {
  /** Whether the answer has the agent's messages; by default true. Without them it has their text. */
  readonly events?: boolean | undefined
}

/** Reads a whole stream: its messages if so, its text if it has deltas, its result, and what its head says. */
const collect = <A>(
  secs: number,
  keepsMessages: boolean,
  open: (onHead: NonNullable<StreamOptions["onHead"]>) => Stream.Stream<RunEvent<A>, AnyError>,
) =>
  Effect.suspend(() => {
    let head = { run_id: "", replayed: false }
    const messages: Array<unknown> = []
    let text = ""
    let result: A | undefined
    const stream = open(({ runId = "", replayed }) => (head = { run_id: runId, replayed }))
    return Stream.runForEach(stream, (event) =>
      Effect.sync(() => {
        if (event.type === "message" && keepsMessages) messages.push(event.data)
        if (event.type === "delta") text = applyDelta(text, event.data)
        if (event.type === "result") result = event.data
      }),
    ).pipe(
      withDeadline(secs),
      Effect.flatMap(() =>
        result === undefined
          ? Effect.fail(new UnexpectedAnswerError("the stream had no result"))
          : Effect.succeed({ result, messages, text, head }),
      ),
    )
  })

/** An answer with the run's id, and whether it is that of an earlier request with the same key. */
const withRunId = <A>([answer, { runId = "", replayed }]: readonly [A, AnswerHead]) => ({
  ...answer,
  run_id: runId,
  replayed,
})

/** Runs one prompt, and waits for its answer up to the run's deadline. */
export const run = (
  client: ForgeMethods,
  settings: CheckedSettings,
  payload: RunPayload,
  options: Options,
) => {
  const { idempotencyKey, usage } = options
  const secs = deadlineSecs("run", { payload }, settings)
  if (secs <= FETCH_SECS) {
    return client.run
      .run({
        payload,
        urlParams: usage === true ? { include: "usage" } : {},
        headers: idempotencyHeaders(options),
        withHead: true,
      })
      .pipe(Effect.map(withRunId))
  }
  // Same as for an answer that is not streamed: without a key, a client that hangs up cancels the run.
  const resume = idempotencyKey !== undefined
  const request = resume
    ? payload
    : { ...payload, on_disconnect: payload.on_disconnect ?? ("cancel" as const) }
  return collect(secs, false, (onHead) =>
    client.streams.run(request, { idempotencyKey, usage, resume, deltas: false, onHead }),
  ).pipe(Effect.map(({ result, head }) => ({ ...result, ...head })))
}

/** Takes a turn in a session, and waits for its answer up to the turn's deadline. */
export const takeTurn = (
  client: ForgeMethods,
  settings: CheckedSettings,
  id: string,
  payload: TurnPayload,
  { idempotencyKey, usage = false, events = true }: TurnOptions,
) => {
  const secs = deadlineSecs("takeTurn", { payload }, settings)
  if (secs <= FETCH_SECS) {
    const text = events ? undefined : ("text" as const)
    return client.sessions
      .takeTurn({
        path: { id },
        urlParams: {
          include: usage ? (text === undefined ? "usage" : "text,usage") : text,
          events: events ? undefined : "none",
        },
        payload,
        headers: idempotencyHeaders({ idempotencyKey }),
        withHead: true,
      })
      .pipe(Effect.map(withRunId))
  }
  return collect(secs, events, (onHead) =>
    client.streams.turn(id, payload, { idempotencyKey, usage, deltas: !events, onHead }),
  ).pipe(
    Effect.map(({ result, messages, text, head }) =>
      Object.assign({}, result, events ? {} : { text }, { events: messages as TurnEvents }, head),
    ),
  )
}
