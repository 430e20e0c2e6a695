import type { FileId, SessionId } from "../../domain/Ids.ts"
import { Counter } from "../Ids.ts"
import { LedgerMemory } from "../ledger/LedgerMemory.ts"
import { ManualClock } from "../ManualClock.ts"

/** All that a clawdforge in memory keeps. Give it to another one, which goes on with it, as after a restart. */
export class ForgeMemory {
  /** What the service records: runs, sessions, tokens, events. */
  readonly ledger = new LedgerMemory()
  /** The bytes of uploads. */
  readonly uploads = new Map<FileId, Uint8Array>()
  /** What runs and turns found attached, by the path that their prompt names. */
  readonly attached = new Map<string, Uint8Array>()
  /** Sessions that have a directory. */
  readonly sessionDirs = new Set<SessionId>()
  /** How many ids and secrets were given out. */
  readonly counters = { ids: new Counter(), secrets: new Counter() }
  /** The time, for one whose clock is `manual`. */
  readonly clock = new ManualClock()
  /** The bearer of the app that is always there. */
  token: string | undefined
}
