import { Effect, Option } from "effect"
import type { RunId } from "../domain/Ids.ts"
import type { StreamEnd, StreamEvent } from "../domain/Stream.ts"
import type { StreamRecords } from "../services/Ledger.ts"

/** What runs said, in memory; nothing of it ever goes. */
export class StreamMemory {
  readonly #events: Array<StreamEvent & { readonly run: RunId }> = []

  readonly add = (run: RunId, kind: StreamEvent["kind"], body: string): void =>
    void this.#events.push({ seq: this.#events.length + 1, run, kind, body })

  readonly of = (run: RunId, after = 0): ReadonlyArray<StreamEvent> =>
    this.#events.filter((event) => event.run === run && event.seq > after)
}

const isEnd = (event: StreamEvent): event is StreamEvent & StreamEnd =>
  event.kind === "result" || event.kind === "error"

/** The streams of the in-memory ledger. */
export const streamRecords = (streams: StreamMemory): StreamRecords => ({
  append: (messages) =>
    Effect.sync(() => {
      for (const { run, body } of messages) streams.add(run, "message", body)
    }),
  read: (run, after) => Effect.sync(() => streams.of(run, after)),
  gap: () => Effect.succeedNone,
  bytesAfter: (run, after) =>
    Effect.sync(() => streams.of(run, after).reduce((sum, { body }) => sum + body.length, 0)),
  end: (run) => Effect.sync(() => Option.fromNullable(streams.of(run).find(isEnd))),
})
