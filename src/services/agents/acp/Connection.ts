import {
  type AnyMessage,
  client,
  type ClientConnection,
  methods,
  ndJsonStream,
  type Stream as AcpStream,
} from "@agentclientprotocol/sdk"
import { Effect, Stream } from "effect"
import type { PermissionMode } from "../../../domain/Session.ts"
import type { AcpMessage } from "../AcpxClient.ts"
import { endAtComplexLine } from "../LineLimits.ts"
import type { RunningProcess } from "../Processes.ts"
import { sessionOf } from "./MessageFields.ts"
import { answerPermission } from "./Permission.ts"

/** The maximum size of a message, which is one line. A larger one ends the connection. */
const MESSAGE_MAX_BYTES = 64 * 1024 * 1024

/**
 * Receives the messages of a connection, in the order of the wire. When a method returns an effect, no more of the
 * agent's output is read until that effect completes.
 */
export interface ConnectionListener {
  /** A prompt of ours is being sent, as the request with that id. */
  readonly onPromptSent: (ref: unknown, requestId: unknown) => void
  /** The agent sent a notification or a request about that session. */
  readonly onMessage: (ref: unknown, message: AcpMessage) => Effect.Effect<void> | undefined
  /** The agent answered our request with that id. */
  readonly onResponse: (requestId: unknown, message: AcpMessage) => Effect.Effect<void> | undefined
  /** The permission mode of a session; undefined when the session is not known. */
  readonly permissionModeOf: (ref: string) => PermissionMode | undefined
}

/** Speaks ACP over a process's stdin and stdout. Output of the process that is no ACP message is skipped. */
export const connect = (process: RunningProcess, listener: ConnectionListener): ClientConnection => {
  const pendingWaits = new Set<Effect.Effect<void>>()
  // The waits are done here, before the library: it reads as fast as it can and queues without a bound.
  const output = Stream.tap(endAtComplexLine(process.output), () =>
    Effect.suspend(() => {
      const waits = [...pendingWaits]
      pendingWaits.clear()
      return Effect.all(waits, { discard: true })
    }),
  )
  return client({ name: "clawdforge" })
    .onRequest(methods.client.session.requestPermission, ({ params }) => {
      const mode = listener.permissionModeOf(params.sessionId)
      return mode === undefined ? { outcome: { outcome: "cancelled" } } : answerPermission(mode, params)
    })
    .connect(observe(stdioStream({ ...process, output }), listener, pendingWaits))
}

const stdioStream = (process: Pick<RunningProcess, "write" | "output">): AcpStream => {
  const decoder = new TextDecoder()
  const output = new WritableStream<Uint8Array>({
    // Each chunk consists of whole lines, so no character is split between two.
    write: (bytes) => Effect.runSync(process.write(decoder.decode(bytes))),
  })
  return ndJsonStream(output, Stream.toReadableStream(process.output), { maxMessageBytes: MESSAGE_MAX_BYTES })
}

/** Passes each message of a stream to the listener first, and collects the waits that the listener returns. */
const observe = (
  { readable, writable }: AcpStream,
  listener: ConnectionListener,
  pendingWaits: Set<Effect.Effect<void>>,
): AcpStream => {
  const writer = writable.getWriter()
  // The ids of our open requests. Answers with other ids are dropped: the library would print them.
  const openRequests = new Set<unknown>()
  return {
    readable: readable.pipeThrough(
      new TransformStream<AnyMessage, AnyMessage>({
        // Not async: that would cost one more turn of the event loop for each of a hundred thousand messages.
        transform: (message, controller) => {
          let wait: Effect.Effect<void> | undefined
          if (!("method" in message)) {
            if (!openRequests.delete(message.id)) return
            wait = listener.onResponse(message.id, message as never)
          } else if (sessionOf(message as never) !== undefined)
            wait = listener.onMessage(sessionOf(message as never), message as never)
          // Notifications stop here: only the listener needs them, and the library would validate each one.
          if (!("method" in message) || "id" in message) controller.enqueue(message)
          if (wait !== undefined) pendingWaits.add(wait)
        },
      }),
    ),
    writable: new WritableStream<AnyMessage>({
      write: (message) => {
        if ("method" in message && "id" in message) {
          openRequests.add(message.id)
          if (message.method === methods.agent.session.prompt)
            listener.onPromptSent(sessionOf(message as never), message.id)
        }
        return writer.write(message)
      },
    }),
  }
}
