import { Effect, Stream } from "effect"
import type { Derived } from "./Derived.ts"
import { type AnyError, UnexpectedAnswerError } from "./Errors.ts"
import type { ForgeMethods } from "./ForgeClient.ts"
import { deadlineSecs, withDeadline } from "./Patience.ts"
import type { Checked } from "./Settings.ts"
import type { RunEvent } from "./StreamedEvents.ts"
import type { RunPayload, StreamOptions, TurnPayload } from "./Streams.ts"

/**
 * Answers for which one may have to wait longer than a `fetch` does: both browsers and Node give up after five minutes
 * without a byte. Such an answer is read as a stream, in which there is something every few seconds, and is the same.
 */
const FETCH_SECS = 280

type TurnEvents = Effect.Effect.Success<ReturnType<Derived["sessions"]["takeTurn"]>>["events"]

interface Options {
  readonly idempotencyKey?: string | undefined
  readonly usage?: boolean | undefined
}

/** All that a stream told, and its end. */
const gathered = <A>(
  secs: number,
  open: (onHead: NonNullable<StreamOptions["onHead"]>) => Stream.Stream<RunEvent<A>, AnyError>,
) =>
  Effect.suspend(() => {
    let told = { run_id: "", replayed: false }
    const messages: Array<unknown> = []
    let result: A | undefined
    const stream = open(({ runId = "", replayed }) => (told = { run_id: runId, replayed }))
    return Stream.runForEach(stream, (event) =>
      Effect.sync(() => {
        if (event.type === "message") messages.push(event.data)
        if (event.type === "result") result = event.data
      }),
    ).pipe(
      withDeadline(secs),
      Effect.flatMap(() =>
        result === undefined
          ? Effect.fail(new UnexpectedAnswerError("the stream had no result"))
          : Effect.succeed({ result, messages, told }),
      ),
    )
  })

/** Asks once, however long it takes. */
export const run = (client: ForgeMethods, settings: Checked, payload: RunPayload, options: Options) => {
  const { idempotencyKey, usage } = options
  const secs = deadlineSecs("run", { payload }, settings)
  if (secs <= FETCH_SECS) {
    return client.run
      .run({
        payload,
        urlParams: usage === true ? { include: "usage" } : {},
        headers: idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey },
        withHead: true,
      })
      .pipe(Effect.map(([answer, { runId = "", replayed }]) => ({ ...answer, run_id: runId, replayed })))
  }
  // As an answer that is not streamed: without a key, to hang up is to cancel.
  const resume = idempotencyKey !== undefined
  const asked = resume ? payload : { ...payload, on_disconnect: payload.on_disconnect ?? ("cancel" as const) }
  return gathered(secs, (onHead) =>
    client.streams.run(asked, { idempotencyKey, usage, resume, onHead }),
  ).pipe(Effect.map(({ result, told }) => ({ ...result, ...told })))
}

/** Says the next thing in a session, however long it takes. */
export const takeTurn = (
  client: ForgeMethods,
  settings: Checked,
  id: string,
  payload: TurnPayload,
  { idempotencyKey }: Options,
) => {
  const secs = deadlineSecs("takeTurn", { payload }, settings)
  if (secs <= FETCH_SECS) {
    return client.sessions
      .takeTurn({
        path: { id },
        payload,
        headers: idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey },
        withHead: true,
      })
      .pipe(Effect.map(([answer, { runId = "", replayed }]) => ({ ...answer, run_id: runId, replayed })))
  }
  return gathered(secs, (onHead) => client.streams.turn(id, payload, { idempotencyKey, onHead })).pipe(
    Effect.map(({ result, messages, told }) =>
      Object.assign({}, result, { events: messages as TurnEvents }, told),
    ),
  )
}
