import type { SessionId } from "../../domain/Ids.ts"
import {
  type NewSessionMessage,
  SESSION_BYTES_MAX,
  SESSION_MESSAGES_MAX,
} from "../../services/journal/Ledger.ts"
import type { Changes, Sequence } from "./EventMemory.ts"
import { bytesOf } from "./StreamMemory.ts"

type Row = NewSessionMessage & { readonly seq: number }

/** What agents say about sessions while no turn is open, in memory. */
export class SessionMessageMemory {
  readonly #sequence: Sequence
  readonly #changes: Changes
  readonly #trimmedTo = new Map<SessionId, number>()
  #rows: ReadonlyArray<Row> = []

  constructor(sequence: Sequence, changes: Changes) {
    this.#sequence = sequence
    this.#changes = changes
  }

  /** All messages, oldest first. */
  get rows(): ReadonlyArray<Row> {
    return this.#rows
  }

  readonly of = (session: SessionId): ReadonlyArray<Row> =>
    this.#rows.filter((row) => row.session === session)

  /** The sequence number up to which messages of the session are removed. */
  readonly trimmedTo = (session: SessionId): number => this.#trimmedTo.get(session) ?? 0

  readonly add = (message: NewSessionMessage): void => {
    this.#rows = [...this.#rows, { ...message, seq: this.#sequence.next() }]
    const own = this.of(message.session)
    const keeps = (from: number) =>
      own.length - from <= SESSION_MESSAGES_MAX && bytesOf(own.slice(from)) <= SESSION_BYTES_MAX
    let from = 0
    while (from < own.length - 1 && !keeps(from)) from += 1
    this.remove(own.slice(0, from))
    this.#changes.noteSession(message.session)
  }

  /** Removes messages, which are the oldest of their sessions. */
  readonly remove = (gone: ReadonlyArray<Row>): void => {
    const seqs = new Set(gone.map(({ seq }) => seq))
    for (const { session, seq } of gone) this.#trimmedTo.set(session, seq)
    this.#rows = this.#rows.filter(({ seq }) => !seqs.has(seq))
  }

  /** Removes all of a session that is deleted. */
  readonly forget = (session: SessionId): void => {
    this.#rows = this.#rows.filter((row) => row.session !== session)
    this.#trimmedTo.delete(session)
  }
}
