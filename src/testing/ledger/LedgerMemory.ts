import { Effect } from "effect"
import type { Event } from "../../domain/Event.ts"
import { StorageFailed } from "../../domain/Failure.ts"
import type { StoredFile } from "../../domain/File.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import { IDEMPOTENCY_KEY_MILLIS, type IdempotencyKey, type Origin } from "../../domain/Origin.ts"
import type { Refusal } from "../../domain/Refusal.ts"
import type { EndStatus, RunEnded, RunInput } from "../../domain/Run.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { AppToken, TokenName } from "../../domain/Token.ts"
import type { StoredAnswer } from "../../services/journal/Ledger.ts"
import { Changes, EventMemory, Sequence } from "./EventMemory.ts"
import { SessionMessageMemory } from "./SessionMessageMemory.ts"
import { StreamMemory } from "./StreamMemory.ts"

/** The record of a run in memory. */
export interface RunInMemory {
  readonly id: RunId
  readonly tokenId: TokenId
  readonly model: string | null
  readonly promptChars: number
  readonly origin: Origin
  readonly at: number
  readonly session: SessionId | null
  readonly turnIndex: number | null
  readonly status: "queued" | "running" | EndStatus
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly end: RunEnded | undefined
  /** What a turn cost, if that was recorded outside of its end. */
  readonly costUsd?: number | null
  /** When its text is to be removed. `null` before its end, and after the removal. */
  readonly textUntil: number | null
  /** The sequence number up to which its stream is removed. */
  readonly trimmedTo: number
}

/** The record of a session in memory. */
export interface SessionInMemory extends Omit<SessionRecord, "status"> {
  readonly status: "opening" | "open" | "closed"
  readonly origin: Origin
}

/** The content of a ledger in memory. A test can inspect it, or let a second ledger continue with it. */
export class LedgerMemory {
  /** Tokens by the hash of their secret. */
  readonly tokens = new Map<string, AppToken>()
  readonly runs = new Map<RunId, RunInMemory>()
  readonly inputs = new Map<RunId, RunInput>()
  /** Sessions in the order in which they were reserved. */
  readonly sessions = new Map<SessionId, SessionInMemory>()
  /** Uploads by the hash of their token. */
  readonly files = new Map<string, StoredFile>()
  readonly refusals: Array<Refusal> = []
  /** Stored answers by {@link nameOfKey}. */
  readonly keys = new Map<string, StoredAnswer & { readonly run: RunId | undefined; readonly at: number }>()
  /** How often `last_used_at` was written. */
  touches = 0
  readonly #sequence = new Sequence()
  readonly #changes = new Changes()
  readonly log = new EventMemory(this.#sequence, this.#changes, (id) => this.nameOf(id))
  readonly streams = new StreamMemory(this.#sequence, this.#changes)
  readonly sessionMessages = new SessionMessageMemory(this.#sequence, this.#changes)

  /** All events, oldest first. */
  get events(): ReadonlyArray<Event> {
    return this.log.all
  }

  /** The name of a token; null for an app that was never minted. */
  nameOf(id: TokenId): TokenName | null {
    return [...this.tokens.values()].find((token) => token.id === id)?.name ?? null
  }

  /** Whether a token is revoked. An app that was never minted counts as one in force. */
  isRevoked(id: TokenId): boolean {
    return [...this.tokens.values()].some((token) => token.id === id && token.revokedAt !== null)
  }

  /** Runs a synchronous change as one transaction: what it adds is published once. */
  transaction<A>(change: () => A): Effect.Effect<A> {
    return Effect.sync(() => this.#changes.transaction(change))
  }

  /** Fails if the origin's idempotency key is in force, as the unique index of a database does. */
  requireFreeKey(
    owner: TokenId,
    { idempotencyKey }: Origin,
    at: number,
    during: string,
  ): Effect.Effect<void, StorageFailed> {
    return Effect.suspend(() => {
      const kept = idempotencyKey && this.keys.get(nameOfKey(owner, idempotencyKey))
      return kept === undefined || kept.at <= at - IDEMPOTENCY_KEY_MILLIS
        ? Effect.void
        : new StorageFailed({ during, cause: "the idempotency key is in force" })
    })
  }

  /** Stores an answer under the origin's idempotency key, if it has one. */
  storeAnswer(owner: TokenId, { idempotencyKey }: Origin, answer: unknown, at: number, run?: RunId): void {
    if (idempotencyKey === undefined) return
    const { fingerprint } = idempotencyKey
    this.keys.set(nameOfKey(owner, idempotencyKey), {
      fingerprint,
      answer: JSON.stringify(answer),
      run,
      at,
    })
  }
}

/** Joins a token, a route and a key into one text. */
export const nameOfKey = (owner: TokenId, { route, key }: Pick<IdempotencyKey, "route" | "key">): string =>
  JSON.stringify([owner, route, key])

/** The part of an origin that an event's data has. */
export const originData = ({ requestId, address }: Origin) => ({ request_id: requestId, address })
