import type { AddressNotAllowed, OriginNotAllowed, Unauthorized } from "./Failure.ts"
import type { TokenId } from "./Ids.ts"

/** Why a request was refused: its address, its page or host, or a bearer that is not an app's or not the operator's. */
export type RefusalReason = AddressNotAllowed["by"] | OriginNotAllowed["by"] | "bearer" | "admin_bearer"

/** Refused requests of one second with the same address and reason, counted. */
export interface Refusal {
  /** The begin of the second, in milliseconds since 1970. */
  readonly at: number
  readonly address: string
  readonly code: (AddressNotAllowed | OriginNotAllowed | Unauthorized)["code"]
  readonly reason: RefusalReason
  /** The token whose own list of addresses refused; `null` if something else did. */
  readonly tokenId: TokenId | null
  /** The id of the first request. */
  readonly requestId: string
  readonly count: number
}
