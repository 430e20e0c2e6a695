import { Effect } from "effect"

/**
 * Waits until Node's event loop has handled what waits, such as requests. Long synchronous work calls it between its
 * parts. `Effect.yieldNow` is not enough: it lets other fibers run, but mostly not the event loop.
 */
export const yieldToEventLoop = Effect.async<void>((resume) => {
  setTimeout(() => resume(Effect.void))
})
