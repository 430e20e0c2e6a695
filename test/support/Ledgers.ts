import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted } from "effect"
import type { FileId, RunId, SessionId, TokenId } from "../../src/domain/Ids.ts"
import type { IdempotencyKey } from "../../src/domain/Origin.ts"
import type { OneShotSpec, RunEnded, TurnSpec } from "../../src/domain/Run.ts"
import type { AgentName, AgentSessionRef, SessionOpening } from "../../src/domain/Session.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import { App } from "../../src/domain/Viewer.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Ledger, type NewUpload } from "../../src/services/journal/Ledger.ts"
import { LedgerMemory, ledger } from "../../src/testing.ts"
import { oneShotSpec, origin, turnSpec } from "./LedgerRuns.ts"
import { temporaryDirectory } from "./TestServer.ts"

/** Tests that run on the ledger in SQLite and on the ledger in memory, and what they write into them. */

/** How long these ledgers keep the text of a run, in seconds. */
export const STREAM_SECS = 100

/** For each ledger: makes layers over the same records, one for each life of a service. */
const ledgers = {
  "in SQLite": Effect.map(
    temporaryDirectory,
    (dir) => () =>
      SqliteLedger.layer({ streamRetentionSecs: STREAM_SECS }).pipe(
        Layer.provideMerge(Database.layer(join(dir, "clawdforge.db"))),
        Layer.provide(Logger.remove(Logger.defaultLogger)),
        Layer.orDie,
      ),
  ),
  "in memory": Effect.sync(() => {
    const memory = new LedgerMemory()
    return () => Layer.fresh(ledger(memory, { streamRetentionSecs: STREAM_SECS }))
  }),
}

const ulid = (n: number) => String(n).padStart(26, "0")
const tokenOf = (n: number, name: string, createdAt: number) => ({
  id: ulid(n) as TokenId,
  name: name as TokenName,
  ipCidrs: ["10.0.0.0/8"],
  createdAt,
  lastUsedAt: null,
  revokedAt: null,
})
export const app = tokenOf(1, "app", 1000)
export const other = tokenOf(2, "other", 1001)
/** Returns a token of the same name as `app`. */
export const nextApp = (createdAt: number) => tokenOf(3, "app", createdAt)
export const APP = App({ tokenId: app.id })
export const OTHER = App({ tokenId: other.id })

export const runId = (n: number) => ulid(n) as RunId
export const sessionId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}` as SessionId
export const idempotencyKey: IdempotencyKey = { route: "POST /run", key: "k", fingerprint: "f" }
export const keyed = { origin: { ...origin, idempotencyKey } }

export const oneShot = (n: number, more: Partial<OneShotSpec> = {}) => oneShotSpec(runId(n), app.id, more)
export const turn = (n: number, session: number, more: Partial<TurnSpec> = {}) =>
  turnSpec(runId(n), app.id, sessionId(session), more)

export const usage = {
  input_tokens: 1,
  output_tokens: 2,
  cache_creation_input_tokens: 3,
  cache_read_input_tokens: 4,
}
export const done: RunEnded = {
  status: "completed",
  code: null,
  stopReason: "end_turn",
  durationMs: 5,
  responseChars: 9,
  usage,
  costUsd: 0.01,
}
export const failed: RunEnded = {
  ...done,
  status: "failed",
  code: "run_failed",
  stopReason: null,
  usage: null,
}
export const result = { kind: "result", body: '{"a":"é"}' } as const

export const sessionOf = (n: number, at: number, more: Partial<SessionOpening> = {}): SessionOpening => ({
  id: sessionId(n),
  tokenId: app.id,
  agent: "claude" as AgentName,
  model: "opus",
  meta: { user: "ada" },
  permissionMode: "deny-all",
  origin,
  at,
  ...more,
})
export const ref = "ref-1" as AgentSessionRef

export const fileOf = (n: number, expiresAt: number) => ({
  id: ulid(n) as FileId,
  tokenId: app.id,
  name: "a.txt",
  size: 12,
  createdAt: 3000,
  expiresAt,
})
export const uploadOf = (n: number, expiresAt: number, more: Partial<NewUpload> = {}): NewUpload => ({
  file: fileOf(n, expiresAt),
  token: Redacted.make("ff_x"),
  hash: `file ${n}`,
  ttlSecs: 60,
  origin,
  ...more,
})

/** Opens a session of `app`. */
export const opened = (n: number, at: number) =>
  Effect.gen(function* () {
    const { sessions } = yield* Ledger
    yield* sessions.reserve(sessionOf(n, at), 100)
    yield* sessions.activate(sessionOf(n, at), ref)
  })

const minted = Effect.gen(function* () {
  const { tokens } = yield* Ledger
  yield* tokens.insert(app, "hash 1", origin)
  yield* tokens.insert(other, "hash 2", origin)
})

/** Runs an effect on the same records in a service's next life. */
type Restart = <A, E>(then: Effect.Effect<A, E, Ledger>) => Effect.Effect<A, unknown>

type Contract = (title: string, test: (restart: Restart) => Effect.Effect<void, unknown, Ledger>) => void

type Ports = Effect.Effect.Success<typeof Ledger>

/** Returns the ledger, with the name of each function that is used of it added to `used`. */
const watched = (ports: Ports, used: Set<string>): Ports =>
  new Proxy(ports, {
    get: (_, port: keyof Ports) =>
      port === "writable"
        ? (used.add(port), ports.writable)
        : new Proxy(ports[port], {
            get: (records, name) => (used.add(`${port}.${String(name)}`), Reflect.get(records, name)),
          }),
  })

const functionsOf = (ports: Ports): ReadonlyArray<string> =>
  Object.entries(ports).flatMap(([port, records]) =>
    port === "writable" ? [port] : Object.keys(records).map((name) => `${port}.${name}`),
  )

/** Defines tests for each ledger. With `complete`, one more test requires that they use each function of each port. */
export const describeLedgers = (
  define: (contract: Contract) => void,
  { complete = false }: { readonly complete?: boolean } = {},
) =>
  describe.each(Object.entries(ledgers))("a ledger %s", (_, make) => {
    const used = new Set<string>()
    define((title, test) =>
      it.effect(title, () =>
        Effect.gen(function* () {
          const layer = yield* make
          const life = <A, E>(effect: Effect.Effect<A, E, Ledger>) =>
            Effect.flatMap(Ledger, (ports) =>
              Effect.provideService(effect, Ledger, watched(ports, used)),
            ).pipe(Effect.provide(layer()))
          yield* life(Effect.zipRight(minted, test(life)))
        }).pipe(Effect.scoped),
      ))
    if (complete) {
      it.effect("has a test for each function of its ports", () =>
        Effect.gen(function* () {
          const all = yield* Effect.map(Effect.provide(Ledger, (yield* make)()), functionsOf)
          expect(all.filter((name) => !used.has(name))).toEqual([])
        }).pipe(Effect.scoped),
      )
    }
  })
