import { Clock, Effect, Option, type Redacted } from "effect"
import { FileTooLarge, QuotaExceeded, type StorageFailed, type Unauthorized } from "../../domain/Failure.ts"
import type { StoredFile } from "../../domain/File.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import { FileContents } from "./FileContents.ts"
import { Ids } from "../access/Ids.ts"
import { Ledger } from "../journal/Ledger.ts"
import { Secrets } from "../access/Secrets.ts"
import { charge, type Quotas } from "./Quotas.ts"

/** A longer name is shortened to its end, which has the extension. */
const NAME_MAX_CHARS = 255
/** When an app should retry if its quota is taken by uploads that are still arriving. */
const BUSY_RETRY_SECS = 5

/** The contents of an upload while they arrive. */
export interface Arriving {
  /** Adds bytes. Fails when the file exceeds the limit for one file, or its app's quota. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, FileTooLarge | QuotaExceeded | StorageFailed>
  /** The SHA-256 of what was written so far, in hex. */
  readonly sha256: Effect.Effect<string>
}

/** An upload that is being stored. Closing its scope removes it, unless `keep` was called. */
export interface Upload extends Arriving {
  /**
   * Keeps the upload, which has arrived as a whole, for `ttlSecs` under that name. Its token is returned here, and again
   * only to a request with the same idempotency key.
   */
  readonly keep: (
    name: string,
    ttlSecs: number,
    origin: Origin,
  ) => Effect.Effect<
    { readonly token: Redacted.Redacted; readonly file: StoredFile },
    Unauthorized | StorageFailed
  >
}

/** Makes the functions that receive uploads: `receive` stores one within its limits, `measure` only reads it. */
export const makeUploads = (options: {
  readonly quotas: Quotas
  /** The limit for one file, in bytes. */
  readonly fileLimit: number
  /** Removes expired files, to make room. */
  readonly expire: Effect.Effect<unknown, StorageFailed>
}) =>
  Effect.gen(function* () {
    const contents = yield* FileContents
    const ids = yield* Ids
    const ledger = (yield* Ledger).files
    const secrets = yield* Secrets

    const quotaExceeded = Effect.fn("Files.quotaExceeded")(function* (owner: TokenId) {
      const soonest = yield* ledger.soonestExpiry(owner)
      const now = yield* Clock.currentTimeMillis
      return yield* new QuotaExceeded({
        limit: options.quotas.limit,
        retryAfterSecs: Option.match(soonest, {
          onNone: () => BUSY_RETRY_SECS,
          onSome: (at) => Math.max(1, Math.ceil((at - now) / 1000)),
        }),
      })
    })

    const receive = Effect.fn("Files.receive")(function* (owner: TokenId, leastSize = 0) {
      const id = yield* ids.file
      const digest = yield* secrets.digest
      let taken = 0
      let size = 0
      let isKept = false
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => options.quotas.giveBack(owner, isKept ? taken - charge(size) : taken)),
      )

      /** Takes the quota for a file of that size, minus what this upload has taken already. */
      const take = Effect.fn("Files.take")(function* (newSize: number) {
        if (newSize > options.fileLimit) return yield* new FileTooLarge({ limit: options.fileLimit })
        const more = charge(newSize) - taken
        if (more <= 0) return
        if (!options.quotas.take(owner, more)) {
          // Files that have expired and are not removed yet still count.
          yield* options.expire
          if (!options.quotas.take(owner, more)) return yield* quotaExceeded(owner)
        }
        taken += more
      })
      yield* take(leastSize)
      const writer = yield* contents.create(id)

      return {
        write: Effect.fn("Files.write")(function* (bytes) {
          yield* take(size + bytes.length)
          size += bytes.length
          digest.add(bytes)
          yield* writer.write(bytes)
        }),
        sha256: Effect.sync(digest.value),
        keep: Effect.fn("Files.keep")(function* (name, ttlSecs, origin) {
          const now = yield* Clock.currentTimeMillis
          const token = yield* secrets.mint("ff_")
          const file: StoredFile = {
            id,
            tokenId: owner,
            name: name.slice(-NAME_MAX_CHARS),
            size,
            createdAt: now,
            expiresAt: now + ttlSecs * 1000,
          }
          yield* writer.sync
          yield* ledger.insert({ file, token, hash: secrets.hash(token), ttlSecs, origin })
          yield* writer.keep
          isKept = true
          return { token, file }
        }, Effect.uninterruptible),
      } satisfies Upload
    })

    const measure = Effect.map(secrets.digest, (digest): Arriving => {
      let size = 0
      return {
        write: (bytes) =>
          Effect.suspend(() => {
            size += bytes.length
            digest.add(bytes)
            return size > options.fileLimit ? new FileTooLarge({ limit: options.fileLimit }) : Effect.void
          }),
        sha256: Effect.sync(digest.value),
      }
    })

    return { receive, measure }
  })
