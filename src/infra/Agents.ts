import { Effect, Option } from "effect"
import type { AgentName } from "../domain/Session.ts"
import type { Executable } from "../services/agents/Processes.ts"

/** Finds how an agent is started. `command` is the operator's own command for it, if there is one. */
type FindCommand = (name: AgentName, command: string | undefined) => ReadonlyArray<string> | undefined

/**
 * Finds how each agent is started: by the operator's command, else by an adapter that is installed next to this package,
 * else by the command in acpx's registry. An agent that is not installed is left out. Nothing is downloaded.
 */
export const agentExecutables = (
  agents: ReadonlyMap<AgentName, Option.Option<string>>,
): Effect.Effect<ReadonlyMap<AgentName, Executable>> =>
  Effect.map(registry, (find) => {
    const found = new Map<AgentName, Executable>()
    for (const [name, operatorCommand] of agents) {
      const [command, ...args] = find(name, Option.getOrUndefined(operatorCommand)) ?? []
      if (command !== undefined) found.set(name, { command, args })
    }
    return found
  })

const registry: Effect.Effect<FindCommand> = Effect.tryPromise(() => import("acpx/agent-registry")).pipe(
  Effect.map(
    (acpx): FindCommand =>
      (name, command) => {
        if (command !== undefined) {
          return launchOf(acpx.createAgentRegistry({ overrides: { [name]: command } }).inspect(name))
        }
        // This launches the adapter's script with our own Node. The one that `env` finds may be too old for it.
        const installed = acpx.resolveInstalledBuiltInAgentLaunch(acpx.resolveAgentCommand(name))
        return installed === undefined
          ? launchOf(acpx.createAgentRegistry().inspect(name))
          : [installed.command, ...installed.args]
      },
  ),
  // acpx is an optional peer dependency. Without it, only agents with a command of the operator's can be started.
  Effect.orElseSucceed((): FindCommand => (_, command) => command?.trim().split(/\s+/)),
)

const launchOf = (
  found: { readonly launch: { readonly kind: string; readonly argv?: ReadonlyArray<string> } } | undefined,
): ReadonlyArray<string> | undefined => found?.launch.argv
