import { Effect } from "effect"

/** Lets in what the event loop has waiting: others, or more to be stored, which is cheaper together. */
export const tick = Effect.async<void>((resume) => {
  setTimeout(() => resume(Effect.void))
})
