import { Effect } from "effect"

/** Waits for one turn of the event loop, so that other work gets its turn. */
export const yieldToEventLoop = Effect.async<void>((resume) => {
  setTimeout(() => resume(Effect.void))
})
