import { Effect, Option, type Scope } from "effect"
import { SessionClosed, StorageFailed, Unauthorized } from "../../domain/Failure.ts"
import type { RunId, TokenId } from "../../domain/Ids.ts"
import type { RunRecord } from "../../domain/Run.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { StreamEvent } from "../../domain/Stream.ts"
import type { AppToken } from "../../domain/Token.ts"
import { makeHeldWrites } from "./HeldWrites.ts"
import type { Ledger, LedgerRecords } from "./Ledger.ts"

/**
 * Makes the ledger of records that may fail, as on a full disk. The end of a run, the revocation of a token and the close
 * of a session make things safer, or somebody waits for them. So they take effect at once in any case: what the records
 * cannot write is held in memory, every reader sees it, and it is written as soon as the records take it.
 *
 * What is held does not survive the process. A run that had ended is then `lost`, a revoked token is in force again, and a
 * closed session is open again. The log names what is not written when the service stops; `writable` fails until then.
 */
export const holdChanges = (
  records: LedgerRecords,
): Effect.Effect<typeof Ledger.Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { ends, revocations, closes, hold, isEmpty, writeAll, newestCause } = yield* makeHeldWrites(records)

    const runShown = (run: RunRecord): RunRecord => {
      const end = ends.get(run.id)
      if (end === undefined || run.finishedAt !== null) return run
      return {
        ...run,
        ...end.ended,
        // As the records have it: of a one-shot the model that was asked for, and what the end does not know stays.
        model: (run.kind === "turn" ? end.ended.model : null) ?? run.model,
        costUsd: end.ended.costUsd ?? run.costUsd,
        finishedAt: Math.max(end.at, run.startedAt ?? run.createdAt),
      }
    }
    const tokenShown = (token: AppToken): AppToken => {
      const held = revocations.get(token.id)
      return held === undefined ? token : { ...token, revokedAt: held.at }
    }
    const sessionShown = (session: SessionRecord): SessionRecord => {
      const held = closes.get(session.id)
      return held === undefined ? session : { ...session, status: "closed", closedAt: held.at }
    }
    const isOpen = ({ id }: SessionRecord) => !closes.has(id)

    /**
     * The rest of the stream of a run whose end is held. It has no sequence numbers yet, so each item has that of the
     * stored item before: a reader that comes back after it gets the rest again.
     */
    const restOf = (run: RunId, seq: number): ReadonlyArray<StreamEvent> => {
      const end = ends.get(run)
      if (end === undefined) return []
      return [
        ...end.unstored.map(({ body }) => ({ seq, kind: "message" as const, body })),
        { seq, ...end.last },
      ]
    }

    const requireInForce = (owner: TokenId): Effect.Effect<void, Unauthorized> =>
      Effect.suspend(() => (revocations.has(owner) ? new Unauthorized() : Effect.void))

    const { tokens, sessions, runs, streams, events } = records

    const revoke: typeof tokens.revoke = (name, at, origin) =>
      Effect.suspend(() => {
        if ([...revocations.values()].some(({ token }) => token.name === name)) {
          return Effect.succeed("already_revoked" as const)
        }
        return Effect.catchAll(tokens.revoke(name, at, origin), (failure) =>
          Effect.gen(function* () {
            const named = (yield* tokens.list).filter((token) => token.name === name)
            const token = named.find(({ revokedAt }) => revokedAt === null)
            if (token === undefined) return named.length > 0 ? "already_revoked" : "unknown"
            yield* hold(revocations, token.id, { token, at, origin }, failure)
            return token.id
          }),
        )
      })

    const close: typeof sessions.close = (session, at, origin) =>
      Effect.suspend(() => {
        if (closes.has(session)) return Effect.succeed(false)
        return Effect.catchAll(sessions.close(session, at, origin), (failure) =>
          Effect.gen(function* () {
            const found = yield* sessions.find(session)
            if (!Option.exists(found, ({ status }) => status === "open")) return false
            yield* hold(closes, session, { at, origin }, failure)
            yield* events.publish({ events: false, runs: [], sessions: [session] })
            return true
          }),
        )
      })

    return {
      ...records,

      writable: Effect.suspend(() =>
        isEmpty()
          ? records.writable
          : new StorageFailed({ during: "writing changes that are held in memory", cause: newestCause() }),
      ),

      tokens: {
        ...tokens,
        // The name of a token is free only when its revocation is written.
        insert: (...token) =>
          Effect.zipRight(
            Effect.suspend(() => (revocations.size === 0 ? Effect.void : writeAll)),
            tokens.insert(...token),
          ),
        findByHash: (hash) =>
          Effect.map(
            tokens.findByHash(hash),
            Option.filter(({ id }) => !revocations.has(id)),
          ),
        list: Effect.map(tokens.list, (all) => all.map(tokenShown)),
        revoke,
      },

      sessions: {
        ...sessions,
        reserve: (session, limit) =>
          Effect.zipRight(requireInForce(session.tokenId), sessions.reserve(session, limit)),
        activate: (session, ref) =>
          Effect.zipRight(requireInForce(session.tokenId), sessions.activate(session, ref)),
        find: (session) => Effect.map(sessions.find(session), Option.map(sessionShown)),
        list: (owner, options) =>
          Effect.map(sessions.list(owner, options), (all) =>
            (options.includeClosed ? all : all.filter(isOpen)).map(sessionShown),
          ),
        close,
        closeIdle: (session, ...when) =>
          Effect.suspend(() =>
            closes.has(session) ? Effect.succeed(false) : sessions.closeIdle(session, ...when),
          ),
        idle: (...which) => Effect.map(sessions.idle(...which), (found) => found.filter(isOpen)),
        liveAmong: (some) =>
          Effect.map(sessions.liveAmong(some), (live) => live.filter((id) => !closes.has(id))),
        countOpen: Effect.map(sessions.countOpen, (open) => open - closes.size),
      },

      runs: {
        ...runs,
        accept: (spec, options) =>
          requireInForce(spec.owner).pipe(
            Effect.zipRight(
              Effect.suspend(() =>
                spec.kind === "turn" && closes.has(spec.sessionId)
                  ? Effect.fail(new SessionClosed())
                  : Effect.void,
              ),
            ),
            Effect.zipRight(runs.accept(spec, options)),
          ) as ReturnType<typeof runs.accept<typeof spec>>,
        end: (run, end) =>
          Effect.catchAll(runs.end(run, end), (failure) =>
            Effect.zipRight(
              hold(ends, run, end, failure),
              events.publish({ events: false, runs: [run], sessions: [] }),
            ),
          ),
        find: (run) => Effect.map(runs.find(run), Option.map(runShown)),
        findTurn: (...turn) => Effect.map(runs.findTurn(...turn), Option.map(runShown)),
        page: (filter, ...page) =>
          Effect.map(runs.page(filter, ...page), (found) =>
            found
              .map(runShown)
              .filter(({ status }) => filter.status === undefined || filter.status === status),
          ),
      },

      streams: {
        ...streams,
        read: (run, after) =>
          Effect.map(streams.read(run, after), (found) => (found.length > 0 ? found : restOf(run, after))),
        end: (run) =>
          Effect.map(streams.end(run), (found) =>
            Option.orElse(found, () => Option.map(Option.fromNullable(ends.get(run)), ({ last }) => last)),
          ),
      },
    }
  })
