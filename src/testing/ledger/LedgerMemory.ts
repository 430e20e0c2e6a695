import type { LogEvent } from "../../domain/Event.ts"
import type { StoredFile } from "../../domain/File.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { Refusal } from "../../domain/Refusal.ts"
import type { Claim, EndStatus, RunEnded, RunOpened } from "../../domain/Run.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { AppToken, Origin } from "../../domain/Token.ts"
import type { KeptAnswer, NewAnswer } from "../../services/journal/Ledger.ts"
import { EventMemory, Sequence } from "./EventMemory.ts"
import { StreamMemory } from "./StreamMemory.ts"

/** A run or a turn as the in-memory ledger keeps it. */
export interface KeptRun extends Omit<RunOpened, "model"> {
  readonly model: string | null
  readonly session: SessionId | null
  readonly turnIndex: number | null
  readonly status: "queued" | "running" | EndStatus
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly end: RunEnded | undefined
  /** When its text goes; none as long as it has not ended, and when it is gone. */
  readonly textUntil: number | null
  /** How far its stream is gone. */
  readonly trimmedTo: number
}

/** A session as the in-memory ledger keeps it. */
export interface KeptSession extends Omit<SessionRecord, "status"> {
  readonly status: "opening" | "open" | "closed"
  readonly origin: Origin
}

/** What an in-memory ledger holds; keep it to look into it, or to have another service go on with it. */
export class LedgerMemory {
  /** By the hash of their secret. */
  readonly tokens = new Map<string, AppToken>()
  readonly runs = new Map<RunId, KeptRun>()
  /** In the order in which they were reserved. */
  readonly sessions = new Map<SessionId, KeptSession>()
  /** By the hash of their token. */
  readonly files = new Map<string, StoredFile>()
  readonly refusals: Array<Refusal> = []
  /** By token, route and key. */
  readonly keys = new Map<string, KeptAnswer & { readonly run: RunId | undefined; readonly at: number }>()
  /** How often `last_used_at` was written. */
  touches = 0
  readonly #sequence = new Sequence()
  readonly log = new EventMemory(
    this.#sequence,
    (id) => [...this.tokens.values()].find((token) => token.id === id)?.name ?? null,
  )
  /** What runs said. */
  readonly streams = new StreamMemory(this.#sequence)

  /** All that happened, oldest first. */
  get events(): ReadonlyArray<LogEvent> {
    return this.log.all
  }

  /** An app that nobody minted is taken for one in force. */
  isRevoked(id: TokenId): boolean {
    return [...this.tokens.values()].some((token) => token.id === id && token.revokedAt !== null)
  }

  /** Keeps an answer under its key. */
  keep(owner: TokenId, kept: NewAnswer | undefined, at: number, run?: RunId): void {
    if (kept === undefined) return
    const { fingerprint } = kept.claim
    this.keys.set(keyOf(owner, kept.claim), { fingerprint, answer: JSON.stringify(kept.answer), run, at })
  }
}

export const keyOf = (owner: TokenId, { route, key }: Pick<Claim, "route" | "key">): string =>
  JSON.stringify([owner, route, key])

/** Where a request came from, as an event's data has it. */
export const originData = ({ requestId, address }: Origin) => ({ request_id: requestId, address })
