import { Effect, Option } from "effect"
import { TokenNameTaken } from "../../domain/Failure.ts"
import type { AppToken } from "../../domain/Token.ts"
import type { TokenRecords } from "../../services/journal/Ledger.ts"
import { type LedgerMemory, originData } from "./LedgerMemory.ts"

const isInForce = ({ revokedAt }: AppToken): boolean => revokedAt === null

/** The tokens of the ledger in memory. */
export const tokenRecords = (memory: LedgerMemory): TokenRecords => {
  const { tokens, log } = memory
  const all = () => [...tokens.values()]
  const update = ({ id }: Pick<AppToken, "id">, change: Partial<AppToken>) => {
    for (const [hash, token] of tokens) if (token.id === id) tokens.set(hash, { ...token, ...change })
  }
  return {
    insert: (token, hash, origin) =>
      Effect.gen(function* () {
        const { id, name, ipCidrs, createdAt: at } = token
        if (all().some((other) => other.name === name && isInForce(other))) {
          return yield* new TokenNameTaken({ name })
        }
        tokens.set(hash, token)
        log.add({ type: "token.mint", at, tokenId: id, data: { ...originData(origin), ip_cidrs: ipCidrs } })
      }),
    findByHash: (hash) => Effect.sync(() => Option.filter(Option.fromNullable(tokens.get(hash)), isInForce)),
    list: Effect.sync(() =>
      all().sort((one, other) => one.createdAt - other.createdAt || (one.id < other.id ? -1 : 1)),
    ),
    revoke: (name, at, origin) =>
      Effect.sync(() => {
        const named = all().filter((token) => token.name === name)
        const revoked = named.find(isInForce)
        if (revoked === undefined) return named.length > 0 ? "already_revoked" : "unknown"
        update(revoked, { revokedAt: at })
        log.add({ type: "token.revoke", at, tokenId: revoked.id, data: originData(origin) })
        return revoked.id
      }),
    touch: (lastUsed) =>
      Effect.sync(() => {
        memory.touches += 1
        for (const [id, at] of lastUsed) update({ id }, { lastUsedAt: at })
      }),
  }
}
