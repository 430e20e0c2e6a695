import type { FileId, SessionId } from "../../domain/Ids.ts"
import { Counter } from "../Ids.ts"
import { LedgerMemory } from "../ledger/LedgerMemory.ts"
import { ManualClock } from "../ManualClock.ts"

/** Everything that a clawdforge in memory stores. A second clawdforge can continue with it, as after a restart. */
export class ForgeMemory {
  /** The records: runs, sessions, tokens, events. */
  readonly ledger = new LedgerMemory()
  /** The bytes of uploads. */
  readonly uploads = new Map<FileId, Uint8Array>()
  /** The files that runs and turns got, by the path in their prompt. */
  readonly attached = new Map<string, Uint8Array>()
  /** The sessions that have a directory. */
  readonly sessionDirs = new Set<SessionId>()
  /** How many ids and secrets were made. */
  readonly counters = { ids: new Counter(), secrets: new Counter() }
  /** The manual clock. It is used only with `clock: "manual"`. */
  readonly clock = new ManualClock()
  /** The bearer token of the app `app`, once it is minted. */
  token: string | undefined
}
