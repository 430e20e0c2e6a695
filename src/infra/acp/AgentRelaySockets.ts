import { accessSync, constants, statSync } from "node:fs"
import { symlink } from "node:fs/promises"
import { createServer, type Server, type Socket } from "node:net"
import { delimiter, extname, join } from "node:path"
import { NodeStream } from "@effect/platform-node"
import { Duration, Effect, FiberSet, Layer, Stream } from "effect"
import type { AcpMessage } from "../../services/agents/AcpxClient.ts"
import { AgentRelays } from "../../services/agents/acpx/AgentRelays.ts"
import { endAtComplexLine } from "../../services/agents/LineLimits.ts"
import { type Executable, programName } from "../../services/agents/Processes.ts"
import { tryStorage } from "../TryStorage.ts"
import { RELAY_VARIABLES } from "./RelayVariables.ts"
import { socketPath } from "./SocketPath.ts"

/** The relay's script has the same extension as this file: `.ts` in a checkout, `.js` in a package. */
const SCRIPT = join(import.meta.dirname, `AgentRelay${extname(import.meta.filename)}`)
const LINK_TARGET = join(import.meta.dirname, "agent-relay.sh")
const SOCKET = "relay.sock"

/** How long the last messages of relays that have ended are waited for. */
const REST_TIMEOUT = Duration.seconds(1)

/**
 * Relays that reach the service by a socket in their directory. A relay lives as long as its agent, and so no longer than
 * the processes of its session.
 */
export const layer = (env: Readonly<Record<string, string>>) =>
  Layer.succeed(AgentRelays, {
    prepare: (agent, directory, hear) =>
      Effect.gen(function* () {
        const link = join(directory, programName(agent.command))
        const socket = join(directory, SOCKET)
        yield* listen(socket, hear)
        // acpx itself is to find out that a program is missing, and to say so.
        if (!isExecutable(agent.command, env)) return { executable: agent, env: {} }
        yield* tryStorage("making the link to an agent's relay", () => symlink(LINK_TARGET, link))
        return {
          executable: { ...agent, command: link } satisfies Executable,
          env: {
            [RELAY_VARIABLES.node]: process.execPath,
            [RELAY_VARIABLES.script]: SCRIPT,
            [RELAY_VARIABLES.command]: agent.command,
            [RELAY_VARIABLES.socket]: socket,
          },
        }
      }),
  })

type Hear = (message: AcpMessage) => Effect.Effect<void> | undefined

const listen = (path: string, hear: Hear) =>
  Effect.gen(function* () {
    const readers = yield* FiberSet.make<void>()
    const run = yield* FiberSet.runtime(readers)<never>()
    const close = (server: Server) =>
      Effect.zipRight(
        Effect.sync(() => server.close()),
        Effect.ignore(Effect.timeout(Effect.interruptible(FiberSet.awaitEmpty(readers)), REST_TIMEOUT)),
      )
    yield* Effect.acquireRelease(
      tryStorage("listening to an agent's relay", () =>
        startServer(path, (socket) => run(read(socket, hear))),
      ),
      close,
    )
  })

const startServer = (path: string, accept: (socket: Socket) => void) =>
  new Promise<Server>((resolve, reject) => {
    const place = socketPath(path)
    const server = createServer(accept).once("error", reject)
    server.once("close", place.done)
    server.listen(place.path, () => resolve(server))
  })

/** Reads the messages of a relay to the end, no faster than they are heard. */
const read = (socket: Socket, hear: Hear) => {
  socket.on("error", () => {})
  return endAtComplexLine(
    NodeStream.fromReadable<never, Uint8Array>(
      () => socket,
      (cause) => cause as never,
    ),
  ).pipe(
    Stream.decodeText("utf-8"),
    Stream.splitLines,
    Stream.runForEach((line) => hear(JSON.parse(line)) ?? Effect.void),
    Effect.ignore,
    Effect.catchAllDefect(() => Effect.logWarning("what a relay of an agent said is no message")),
    Effect.ensuring(Effect.sync(() => socket.destroy())),
  )
}

/** Whether a command can be started, by its path or by `PATH`. */
const isExecutable = (command: string, env: Readonly<Record<string, string>>): boolean =>
  (command.includes("/")
    ? [command]
    : (env["PATH"] ?? "").split(delimiter).map((dir) => join(dir, command))
  ).some((path) => {
    try {
      accessSync(path, constants.X_OK)
      return statSync(path).isFile()
    } catch {
      return false
    }
  })
