import type { AddressNotAllowed, Unauthorized } from "./Failure.ts"
import type { TokenId } from "./Ids.ts"

/** Why somebody was not let in: for the address, or for a bearer that is no app's or not the operator's. */
export type RefusalReason = AddressNotAllowed["by"] | "bearer" | "admin_bearer"

/** Refused admissions of one second that have the address and the reason in common. */
export interface Refusal {
  /** When that second began, in milliseconds since 1970. */
  readonly at: number
  readonly address: string
  readonly code: AddressNotAllowed["code"] | Unauthorized["code"]
  readonly reason: RefusalReason
  /** Whose own list of addresses refused; nobody's when something else did. */
  readonly tokenId: TokenId | null
  /** The id of the first of the requests. */
  readonly requestId: string
  readonly count: number
}
