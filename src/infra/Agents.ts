import { Effect, Option } from "effect"
import type { AgentName } from "../domain/Session.ts"
import type { Executable } from "../services/agents/ClaudeRunner.ts"

/** How an agent is started, given the operator's command for it, if there is one. */
type Find = (name: AgentName, command: string | undefined) => ReadonlyArray<string> | undefined

/**
 * How each agent is started that may be asked for: by the command that the operator gave it, else as acpx's registry
 * says, an adapter that is installed beside us first. One that is not installed is not there: nothing is downloaded.
 */
export const agentExecutables = (
  agents: ReadonlyMap<AgentName, Option.Option<string>>,
): Effect.Effect<ReadonlyMap<AgentName, Executable>> =>
  Effect.map(registry, (find) => {
    const found = new Map<AgentName, Executable>()
    for (const [name, given] of agents) {
      const [command, ...args] = find(name, Option.getOrUndefined(given)) ?? []
      if (command !== undefined) found.set(name, { command, args })
    }
    return found
  })

const registry: Effect.Effect<Find> = Effect.tryPromise(() => import("acpx/agent-registry")).pipe(
  Effect.map(
    (acpx): Find =>
      (name, command) => {
        if (command !== undefined) {
          return launchOf(acpx.createAgentRegistry({ overrides: { [name]: command } }).inspect(name))
        }
        // By our own Node: the one that `env` would find for the adapter's script may be too old for it.
        const beside = acpx.resolveInstalledBuiltInAgentLaunch(acpx.resolveAgentCommand(name))
        return beside === undefined
          ? launchOf(acpx.createAgentRegistry().inspect(name))
          : [beside.command, ...beside.args]
      },
  ),
  // acpx is an optional peer: without it, only what has a command of its own is known.
  Effect.orElseSucceed((): Find => (_, command) => command?.trim().split(/\s+/)),
)

const launchOf = (
  found: { readonly launch: { readonly kind: string; readonly argv?: ReadonlyArray<string> } } | undefined,
): ReadonlyArray<string> | undefined => found?.launch.argv
