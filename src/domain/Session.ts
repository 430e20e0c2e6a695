import { Schema } from "effect"
import { expected } from "./Failure.ts"
import { SessionId, type TokenId } from "./Ids.ts"
import { isShallow } from "./Json.ts"
import { fitsUtf8 } from "./Run.ts"
import type { Origin } from "./Token.ts"

const META_MAX_BYTES = 64 * 1024
const META_MAX_LEVELS = 64

/** An agent, by its name in acpx's registry or by one that the operator gave it. */
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

/** What an agent that asks for permission is told: yes; yes to what only reads; no. */
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

/** Given back as they came: a record of the framework's would be a copy, and lose a key `__proto__`. */
export const SessionMeta = Schema.declare(isMeta).annotations({
  message: expected("must be a JSON object of at most 64 KiB and 64 levels"),
  jsonSchema: { type: "object", additionalProperties: true },
  description: "Anything that the app wants to remember; the service does not look at it.",
  examples: [{ user: "ada" }],
})

/** A session to open, with every default filled in. */
export interface SessionRequest {
  readonly agent: AgentName
  /** None: the agent's own default. */
  readonly model: string | null
  readonly meta: SessionMeta | null
  readonly permissionMode: PermissionMode
}

/**
 * A conversation with an agent. opening → open → closed, then it is deleted; one that is opening is seen by nobody, and
 * either opens or leaves no trace.
 */
export interface Session extends SessionRequest {
  readonly id: SessionId
  readonly tokenId: TokenId
  readonly status: "open" | "closed"
  /** Turns that were accepted; the newest has this index. */
  readonly turnCount: number
  readonly createdAt: number
  /** When a turn last was accepted or ended. */
  readonly lastTurnAt: number | null
  readonly closedAt: number | null
}

/** How the agent itself knows a session: opaque, and kept so that it can be resumed. */
export const AgentSessionRef = Schema.String.pipe(Schema.brand("AgentSessionRef"))
export type AgentSessionRef = typeof AgentSessionRef.Type

/** What is kept of a session for an app that may ask for it again. */
export const OpenedSession = Schema.Struct({
  id: SessionId,
  agent: AgentName,
  model: Schema.NullOr(Schema.String),
  meta: Schema.NullOr(SessionMeta),
  createdAt: Schema.Number,
})
export type OpenedSession = typeof OpenedSession.Type

/** What only the service itself knows of a session. */
export interface SessionRecord extends Session {
  /** None as long as it is opening. */
  readonly ref: AgentSessionRef | null
  /** Whether the agent ever answered: then it has a context, which must not be lost unsaid. */
  readonly answered: boolean
}

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
