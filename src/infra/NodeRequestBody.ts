import { NodeHttpServerRequest } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { BodyTooLarge, BodyUnreadable } from "../http/HttpFailure.ts"
import { RequestBody } from "../http/RequestBody.ts"

/**
 * Bodies from the socket, at most `limit` bytes, also when chunked without a length.
 *
 * What is too large is answered at once and the rest is read and dropped: to close the connection under a client
 * that still sends would reset it, and it would never see the answer.
 */
export const layer = (limit: number) =>
  Layer.succeed(RequestBody, {
    text: (request) =>
      Effect.async<string, BodyTooLarge | BodyUnreadable>((resume) => {
        const source = NodeHttpServerRequest.toIncomingMessage(request)
        if (Number(source.headers["content-length"] ?? 0) > limit) {
          return resume(new BodyTooLarge({ limit }))
        }
        const chunks: Array<Buffer> = []
        let size = 0
        const onData = (chunk: Buffer) => {
          size += chunk.length
          if (size <= limit) return void chunks.push(chunk)
          stop()
          source.resume()
          resume(new BodyTooLarge({ limit }))
        }
        const onEnd = () => {
          stop()
          resume(Effect.succeed(Buffer.concat(chunks).toString("utf8")))
        }
        const onCut = () => {
          stop()
          resume(new BodyUnreadable())
        }
        const stop = () => source.off("data", onData).off("end", onEnd).off("close", onCut)
        source
          .on("data", onData)
          .once("end", onEnd)
          .once("close", onCut)
          .on("error", () => {})
        return Effect.sync(stop)
      }),
  })
