import { NodeHttpServerRequest } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { BodyTooLarge, BodyUnreadable } from "../http/HttpFailure.ts"
import { RequestBody } from "../http/RequestBody.ts"

/** How much of a body that is too large is read and dropped before it is refused all the same. */
const DROPPED_MAX_BYTES = 64 * 1024 * 1024

/**
 * Bodies from the socket, at most `limit` bytes, also when chunked without a length.
 *
 * What is too large is read to its end and dropped: to answer and close under a client that still sends would
 * reset the connection, and it would never see the answer.
 */
export const layer = (limit: number) =>
  Layer.succeed(RequestBody, {
    bytes: (request) =>
      Effect.async<Uint8Array, BodyTooLarge | BodyUnreadable>((resume) => {
        const source = NodeHttpServerRequest.toIncomingMessage(request)
        let chunks: Array<Buffer> = []
        let size = 0
        const finish = (outcome: Effect.Effect<Uint8Array, BodyTooLarge | BodyUnreadable>) => {
          stop()
          source.resume()
          resume(outcome)
        }
        const onData = (chunk: Buffer) => {
          size += chunk.length
          if (size <= limit) chunks.push(chunk)
          else chunks = []
          if (size > limit + DROPPED_MAX_BYTES) finish(new BodyTooLarge({ limit }))
        }
        const onEnd = () =>
          finish(size <= limit ? Effect.succeed(Buffer.concat(chunks)) : new BodyTooLarge({ limit }))
        const onCut = () => finish(new BodyUnreadable())
        const stop = () => source.off("data", onData).off("end", onEnd).off("close", onCut)
        source
          .on("data", onData)
          .once("end", onEnd)
          .once("close", onCut)
          .on("error", () => {})
        return Effect.sync(stop)
      }),
  })
