import { getHeapStatistics } from "node:v8"
import { Layer } from "effect"
import { makeMemoryAccount, MemoryBudget } from "../services/memory/MemoryBudget.ts"

const MEBIBYTE = 1024 * 1024
/** V8's limit includes the space for new objects, where large texts never are. */
const NEW_SPACE_BYTES = 192 * MEBIBYTE
/** What the service needs for everything else. */
const OWN_BYTES = 64 * MEBIBYTE
/** What a text takes while it is parsed, passed on, and stored, in copies. */
const COPIES = 3
/** A body is charged twice its size, because of texts that are not Latin-1. One of the largest size always fits. */
const BODIES_MIN = 2

/** The budget for large texts, by the heap that V8 may use (`--max-old-space-size`; by default, by the machine's memory). */
export const layer = ({ maxBodyBytes }: { readonly maxBodyBytes: number }) =>
  Layer.sync(MemoryBudget, () => {
    const { heap_size_limit: limit } = getHeapStatistics()
    const heap = Math.max(limit - NEW_SPACE_BYTES, limit / 2)
    return makeMemoryAccount(Math.max(BODIES_MIN * maxBodyBytes, (heap - OWN_BYTES) / COPIES))
  })
