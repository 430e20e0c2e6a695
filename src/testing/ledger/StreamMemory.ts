import { Effect, Option } from "effect"
import type { RunId } from "../../domain/Ids.ts"
import { isEnd, type StreamEvent } from "../../domain/Stream.ts"
import type { NewMessage, StreamRecords } from "../../services/journal/Ledger.ts"
import { Changes, Sequence } from "./EventMemory.ts"

/** A row of a stream. `body` is null after its text was removed. */
export interface StreamRow {
  readonly seq: number
  readonly run: RunId
  readonly kind: StreamEvent["kind"]
  readonly at: number
  readonly body: string | null
}

/** The streams of runs, in memory. */
export class StreamMemory {
  readonly #sequence: Sequence
  readonly #changes: Changes
  #rows: Array<StreamRow> = []

  constructor(sequence: Sequence = new Sequence(), changes: Changes = new Changes()) {
    this.#sequence = sequence
    this.#changes = changes
  }

  get rows(): ReadonlyArray<StreamRow> {
    return this.#rows
  }

  readonly add = (run: RunId, kind: StreamEvent["kind"], body: string, at = 0): void => {
    this.#rows.push({ seq: this.#sequence.next(), run, kind, at, body })
    this.#changes.note(run)
  }

  /** Adds messages in one transaction. */
  readonly append = (messages: ReadonlyArray<NewMessage>): void =>
    this.#changes.transaction(() => {
      for (const { run, at, body } of messages) this.add(run, "message", body, at)
    })

  /** Returns the events of a run after that sequence number that have their text. */
  readonly of = (run: RunId, after = 0): ReadonlyArray<StreamEvent> =>
    this.#rows.flatMap(({ seq, kind, body, ...row }) =>
      row.run === run && seq > after && body !== null ? [{ seq, kind, body }] : [],
    )

  /** Removes the text of a run's rows after that number. Returns the rows with their text. */
  readonly forget = (run: RunId, after: number): ReadonlyArray<StreamRow> => {
    const isDue = (row: StreamRow) => row.run === run && row.seq > after
    const due = this.#rows.filter(isDue)
    this.#rows = this.#rows.map((row) => (isDue(row) ? { ...row, body: null } : row))
    return due
  }

  readonly remove = (gone: ReadonlySet<number>): void => {
    this.#rows = this.#rows.filter(({ seq }) => !gone.has(seq))
  }
}

const utf8 = new TextEncoder()

/** Returns the size of the texts of these rows, in UTF-8 bytes. */
export const bytesOf = (rows: ReadonlyArray<{ readonly body: string | null }>): number =>
  rows.reduce((sum, { body }) => sum + (body === null ? 0 : utf8.encode(body).length), 0)

/** The streams of the ledger in memory. `trimmedTo` returns the number up to which a run's stream is removed. */
export const streamRecords = (
  streams: StreamMemory,
  trimmedTo: (run: RunId) => number | undefined,
): StreamRecords => ({
  append: (messages) => Effect.sync(() => streams.append(messages)),
  read: (run, after) => Effect.sync(() => streams.of(run, after)),
  gap: (run, after) =>
    Effect.sync(() => {
      const seq = trimmedTo(run) ?? 0
      if (seq <= after) return Option.none()
      const next = streams.rows.find((row) => row.run === run && row.seq > seq)
      return Option.some({ kind: "resync" as const, seq, oldest: next?.seq ?? null })
    }),
  bytesAfter: (run, after) => Effect.sync(() => bytesOf(streams.of(run, after))),
  end: (run) =>
    Effect.sync(() =>
      Option.map(
        Option.fromNullable(streams.of(run).findLast((event) => isEnd(event))),
        ({ kind, body }) => ({
          kind: kind as "result" | "error",
          body,
        }),
      ),
    ),
})
