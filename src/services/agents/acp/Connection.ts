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
import type { RunningProcess } from "../Processes.ts"
import { sessionOf } from "./Messages.ts"
import { permission } from "./Permission.ts"

/** One line of the protocol; a longer one ends the connection. */
const MESSAGE_MAX_BYTES = 64 * 1024 * 1024

/** Who is told of what goes over the wire, in its order. What he returns is waited for before more is read. */
export interface Routes {
  /** Our prompt of that session is sent, with that id. */
  readonly prompted: (session: unknown, id: unknown) => void
  /** The agent sent a notification or a request that is about that session. */
  readonly sent: (session: unknown, message: AcpMessage) => Effect.Effect<void> | undefined
  /** The agent answered our request of that id. */
  readonly answered: (id: unknown, message: AcpMessage) => Effect.Effect<void> | undefined
  /** What that session's agent is told when it asks for permission; undefined: we know of no such session. */
  readonly permissionMode: (session: string) => PermissionMode | undefined
}

/** Speaks the protocol over a process's stdin and stdout. What the process writes that is no protocol is skipped. */
export const connect = (process: RunningProcess, routes: Routes): ClientConnection => {
  const behind = new Set<Effect.Effect<void>>()
  // Before the library, which reads as fast as it can, whoever takes it from there.
  const output = Stream.tap(process.output, () =>
    Effect.suspend(() => {
      const waits = [...behind]
      behind.clear()
      return Effect.all(waits, { discard: true })
    }),
  )
  return client({ name: "clawdforge" })
    .onRequest(methods.client.session.requestPermission, ({ params }) => {
      const mode = routes.permissionMode(params.sessionId)
      return mode === undefined ? { outcome: { outcome: "cancelled" } } : permission(mode, params)
    })
    .connect(watched(overStdio({ ...process, output }), routes, behind))
}

const overStdio = (process: Pick<RunningProcess, "write" | "output">): AcpStream => {
  const decoder = new TextDecoder()
  const output = new WritableStream<Uint8Array>({
    // Each chunk is whole lines, so no character is split.
    write: (bytes) => Effect.runSync(process.write(decoder.decode(bytes))),
  })
  return ndJsonStream(output, Stream.toReadableStream(process.output), { maxMessageBytes: MESSAGE_MAX_BYTES })
}

/** The same stream, with each message shown to the routes first; who is behind then is added to those. */
const watched = (
  { readable, writable }: AcpStream,
  routes: Routes,
  behind: Set<Effect.Effect<void>>,
): AcpStream => {
  const writer = writable.getWriter()
  /** What we asked, and the agent has not answered. An answer to anything else the library would print. */
  const asked = new Set<unknown>()
  return {
    readable: readable.pipeThrough(
      new TransformStream<AnyMessage, AnyMessage>({
        // Not async: of a hundred thousand messages, each would cost a turn more.
        transform: (message, controller) => {
          let wait: Effect.Effect<void> | undefined
          if (!("method" in message)) {
            if (!asked.delete(message.id)) return
            wait = routes.answered(message.id, message as never)
          } else if (sessionOf(message as never) !== undefined)
            wait = routes.sent(sessionOf(message as never), message as never)
          // Nobody listens to notifications beyond the routes; validating a hundred thousand of them would cost.
          if (!("method" in message) || "id" in message) controller.enqueue(message)
          if (wait !== undefined) behind.add(wait)
        },
      }),
    ),
    writable: new WritableStream<AnyMessage>({
      write: (message) => {
        if ("method" in message && "id" in message) {
          asked.add(message.id)
          if (message.method === methods.agent.session.prompt)
            routes.prompted(sessionOf(message as never), message.id)
        }
        return writer.write(message)
      },
    }),
  }
}
