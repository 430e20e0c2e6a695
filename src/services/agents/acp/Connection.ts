import {
  type AnyMessage,
  client,
  type ClientConnection,
  methods,
  ndJsonStream,
  type Stream as AcpStream,
} from "@agentclientprotocol/sdk"
import { Duration, Effect, Stream } from "effect"
import { fieldsOf } from "../../../domain/Json.ts"
import type { PermissionMode } from "../../../domain/Session.ts"
import type { AcpMessage } from "../AcpxClient.ts"
import { endAtComplexLine, TOO_COMPLEX } from "../LineLimits.ts"
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
  /** The agent has opened the session of that name, as we asked for. */
  readonly onOpened: (ref: unknown) => void
  /** The agent sent a notification or a request about that session. */
  readonly onMessage: (ref: unknown, message: AcpMessage) => Effect.Effect<void> | undefined
  /** The agent answered our request with that id. */
  readonly onResponse: (requestId: unknown, message: AcpMessage) => Effect.Effect<void> | undefined
  /** What decides now over a session's requests for permission; undefined when the session is not known. */
  readonly permissionModeOf: (ref: string) => PermissionMode | undefined
}

/** A connection to an agent. */
export interface AgentConnection extends ClientConnection {
  /**
   * Waits until what the agent has written so far is read, as far as that can be seen: nothing comes in some turns of the
   * event loop, or in `PAUSE_MILLIS` if the agent is just writing, and no reader is behind. Gives up after `READ_TIMEOUT`
   * on an agent that does not stop.
   */
  readonly read: Effect.Effect<void>
  /** Why the service reads no more of what the agent prints; undefined while it does. */
  readonly fault: () => string | undefined
}

const READ_TIMEOUT = Duration.seconds(1)
/** Turns of the event loop without output after which an agent is taken to be silent. */
const QUIET_TURNS = 3
/** An agent that had to wait with its output needs some time to go on. */
const PAUSE_MILLIS = 20

/** Speaks ACP over a process's stdin and stdout. Output of the process that is no ACP message is skipped. */
export const connect = (process: RunningProcess, listener: ConnectionListener): AgentConnection => {
  const pendingWaits = new Set<Effect.Effect<void>>()
  let chunks = 0
  let isHeldUp = false
  let fault: string | undefined
  const onComplexLine = () => {
    fault = TOO_COMPLEX
  }
  // The waits are done here, before the library: it reads as fast as it can and queues without a bound.
  const output = Stream.tap(endAtComplexLine(process.output, onComplexLine), () =>
    Effect.suspend(() => {
      chunks += 1
      if (pendingWaits.size === 0) return Effect.void
      const waits = [...pendingWaits]
      pendingWaits.clear()
      isHeldUp = true
      return Effect.map(Effect.all(waits, { discard: true }), () => {
        isHeldUp = false
      })
    }),
  )
  const read = Effect.async<void>((resume) => {
    let seen = chunks
    let turns = 0
    let stop: () => void
    const look = () => {
      if (isHeldUp || chunks !== seen) {
        seen = chunks
        const pause = setTimeout(lookAgain, PAUSE_MILLIS)
        stop = () => clearTimeout(pause)
      } else if ((turns += 1) > QUIET_TURNS) resume(Effect.void)
      else lookSoon()
    }
    const lookAgain = () => {
      if (isHeldUp || chunks !== seen) look()
      else resume(Effect.void)
    }
    const lookSoon = () => {
      const turn = setImmediate(look)
      stop = () => clearImmediate(turn)
    }
    lookSoon()
    return Effect.sync(() => stop())
  })
  const connection = client({ name: "clawdforge" })
    .onRequest(methods.client.session.requestPermission, ({ params }) => {
      const mode = listener.permissionModeOf(params.sessionId)
      return mode === undefined ? { outcome: { outcome: "cancelled" } } : answerPermission(mode, params)
    })
    .connect(observe(stdioStream({ ...process, output }), listener, pendingWaits))
  return Object.assign(connection, {
    read: Effect.ignore(Effect.timeout(read, READ_TIMEOUT)),
    fault: () => fault,
  })
}

const stdioStream = (process: Pick<RunningProcess, "write" | "output">): AcpStream => {
  const decoder = new TextDecoder()
  const output = new WritableStream<Uint8Array>({
    // Each chunk consists of whole lines, so no character is split between two.
    write: (bytes) => Effect.runSync(process.write(decoder.decode(bytes))),
  })
  return ndJsonStream(output, Stream.toReadableStream(process.output), { maxMessageBytes: MESSAGE_MAX_BYTES })
}

/** The agent's name for the session that it opened by this answer to our request; undefined if it opened none. */
const openedBy = (request: AcpMessage, response: AcpMessage): unknown => {
  if (response["error"] != null) return undefined
  switch (request["method"]) {
    case methods.agent.session.new:
      return fieldsOf(response["result"])["sessionId"]
    case methods.agent.session.resume:
    case methods.agent.session.load:
      return sessionOf(request)
    default:
      return undefined
  }
}

/** Passes each message of a stream to the listener first, and collects the waits that the listener returns. */
const observe = (
  { readable, writable }: AcpStream,
  listener: ConnectionListener,
  pendingWaits: Set<Effect.Effect<void>>,
): AcpStream => {
  const writer = writable.getWriter()
  // Our open requests by their ids. Answers with other ids are dropped: the library would print them.
  const openRequests = new Map<unknown, AcpMessage>()
  return {
    readable: readable.pipeThrough(
      new TransformStream<AnyMessage, AnyMessage>({
        // Not async: that would cost one more turn of the event loop for each of a hundred thousand messages.
        transform: (message, controller) => {
          let wait: Effect.Effect<void> | undefined
          if (!("method" in message)) {
            const request = openRequests.get(message.id)
            if (request === undefined) return
            openRequests.delete(message.id)
            const opened = openedBy(request, message as never)
            if (opened !== undefined) listener.onOpened(opened)
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
          // A prompt may be large, and opens no session.
          const isPrompt = message.method === methods.agent.session.prompt
          openRequests.set(message.id, isPrompt ? {} : (message as never))
          if (isPrompt) listener.onPromptSent(sessionOf(message as never), message.id)
        }
        return writer.write(message)
      },
    }),
  }
}
