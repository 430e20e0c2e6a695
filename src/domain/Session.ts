import { Schema } from "effect"
import { expected } from "./Failure.ts"
import { SessionId, TokenId } from "./Ids.ts"
import { isShallow } from "./Json.ts"
import { fitsUtf8 } from "./Run.ts"
import type { Origin } from "./Origin.ts"

const META_MAX_BYTES = 64 * 1024
const META_MAX_LEVELS = 64

/** The name of an agent: from acpx's registry, or given by the operator. */
export const AgentName = Schema.String.pipe(
  Schema.pattern(/^[a-z0-9][a-z0-9._-]{0,63}$/),
  Schema.brand("AgentName"),
  Schema.annotations({
    message: expected("must be the name of an agent: 1 to 64 characters of a-z, 0-9, . _ and -"),
    description: "Which agent; one of the service's CLAWDFORGE_AGENTS, by default `claude`.",
    examples: ["claude" as never],
  }),
)
export type AgentName = typeof AgentName.Type

/** The agent that is there without a setting. It shares its login with one-shots. */
export const CLAUDE = AgentName.make("claude")

/** The answer to an agent that asks for permission: always yes; yes to tools that only read; always no. */
export const PermissionMode = Schema.Literal("approve-all", "approve-reads", "deny-all").annotations({
  message: expected("must be approve-all, approve-reads or deny-all"),
  description: "What the agent is told when it asks for permission; by default approve-all.",
})
export type PermissionMode = typeof PermissionMode.Type

/** An app's own notes on a session. */
export type SessionMeta = Readonly<Record<string, unknown>>

const isMeta = (value: unknown): value is SessionMeta =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  isShallow(value, META_MAX_LEVELS) &&
  fitsUtf8(JSON.stringify(value), META_MAX_BYTES)

/** Returned as it was given. `Schema.Record` would copy it and lose a key `__proto__`. */
export const SessionMeta = Schema.declare(isMeta).annotations({
  message: expected("must be a JSON object of at most 64 KiB and 64 levels"),
  jsonSchema: { type: "object", additionalProperties: true },
  description: "Anything that the app wants to remember; the service does not look at it.",
  examples: [{ user: "ada" }],
})

/** A session to open, with every default filled in. */
export interface SessionRequest {
  readonly agent: AgentName
  /** `null`: the agent's own default. */
  readonly model: string | null
  readonly meta: SessionMeta | null
  readonly permissionMode: PermissionMode
}

/**
 * A conversation with an agent: opening → open → closed → deleted. A session that is opening is not shown to anybody; it
 * either opens or leaves no trace.
 */
export interface Session extends SessionRequest {
  readonly id: SessionId
  readonly tokenId: TokenId
  readonly status: "open" | "closed"
  /** The number of accepted turns, which is the index of the newest. */
  readonly turnCount: number
  readonly createdAt: number
  /** When a turn was last accepted or ended. */
  readonly lastTurnAt: number | null
  readonly closedAt: number | null
}

/** The agent's own name for a session: opaque, stored so that the session can be resumed. */
export const AgentSessionRef = Schema.String.pipe(Schema.brand("AgentSessionRef"))
export type AgentSessionRef = typeof AgentSessionRef.Type

/** The answer to the request that opened a session, as it is stored for the same request sent again. */
export const OpenedSession = Schema.Struct({
  id: SessionId,
  agent: AgentName,
  model: Schema.NullOr(Schema.String),
  meta: Schema.NullOr(SessionMeta),
  createdAt: Schema.Number,
})
export type OpenedSession = typeof OpenedSession.Type

/** A session as the ledger knows it. */
export const SessionRecord = Schema.Struct({
  id: SessionId,
  tokenId: TokenId,
  agent: AgentName,
  model: Schema.NullOr(Schema.String),
  meta: Schema.NullOr(SessionMeta),
  permissionMode: PermissionMode,
  status: Schema.Literal("open", "closed"),
  /** `null` while it is opening. */
  ref: Schema.NullOr(AgentSessionRef),
  /** Whether the agent ever answered. Then the session has a context, which must never be lost silently. */
  answered: Schema.Boolean,
  /** What it cost so far in US dollars, as its agent last said; `null` if the agent never said. */
  agentCostUsd: Schema.NullOr(Schema.Number),
  turnCount: Schema.Number,
  createdAt: Schema.Number,
  lastTurnAt: Schema.NullOr(Schema.Number),
  closedAt: Schema.NullOr(Schema.Number),
})
export type SessionRecord = typeof SessionRecord.Type

/** What the ledger learns when a session begins to open. */
export interface SessionOpening extends SessionRequest {
  readonly id: SessionId
  readonly tokenId: TokenId
  readonly origin: Origin
  readonly at: number
}

/** A turn with every default filled in. */
export interface TurnRequest {
  readonly prompt: string
  readonly timeoutSecs: number
  /** The `ff_…` tokens of uploads that the agent may read. */
  readonly files: ReadonlyArray<string>
}
