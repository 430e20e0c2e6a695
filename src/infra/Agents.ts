import type { AcpAgentInspection } from "acpx/agent-registry"
import { Effect, Either, Option } from "effect"
import type { AgentName } from "../domain/Session.ts"
import type { Executable } from "../services/agents/Processes.ts"
import { nearest } from "./Nearest.ts"

/** An agent's program and arguments, or why it cannot be started. */
type Launch = Either.Either<ReadonlyArray<string>, string>

/** Finds how an agent is started. `command` is the operator's own command for it, if there is one. */
type FindCommand = (name: AgentName, command: string | undefined) => Launch

export interface FoundAgents {
  readonly executables: ReadonlyMap<AgentName, Executable>
  /** The agents that cannot be started, each with the reason, to follow its name in a sentence. */
  readonly missing: ReadonlyMap<AgentName, string>
}

/**
 * Finds how each agent is started: by the operator's command, else by an adapter that is installed next to this package,
 * else by the command in acpx's registry. Nothing is started or downloaded.
 */
export const findAgents = (
  agents: ReadonlyMap<AgentName, Option.Option<string>>,
): Effect.Effect<FoundAgents> =>
  Effect.map(registry, (find) => {
    const executables = new Map<AgentName, Executable>()
    const missing = new Map<AgentName, string>()
    for (const [name, operatorCommand] of agents) {
      Either.match(find(name, Option.getOrUndefined(operatorCommand)), {
        onLeft: (reason) => missing.set(name, reason),
        onRight: ([command = "", ...args]) => executables.set(name, { command, args }),
      })
    }
    return { executables, missing }
  })

const registry: Effect.Effect<FindCommand> = Effect.tryPromise(() => import("acpx/agent-registry")).pipe(
  Effect.map((acpx): FindCommand => {
    const known = acpx.listBuiltInAgents()
    return (name, command) => {
      if (command !== undefined) {
        return launchOf(acpx.createAgentRegistry({ overrides: { [name]: command } }).inspect(name))
      }
      if (!known.includes(name)) {
        const meant = nearest(name, known, 2)
        return Either.left(`is not known${meant === undefined ? "" : `: is ${meant} meant?`}`)
      }
      // This launches the adapter's script with our own Node. The one that `env` finds may be too old for it.
      const installed = acpx.resolveInstalledBuiltInAgentLaunch(acpx.resolveAgentCommand(name))
      return installed === undefined
        ? launchOf(acpx.createAgentRegistry().inspect(name))
        : Either.right([installed.command, ...installed.args])
    }
  }),
  // acpx is an optional peer dependency. Without it, only agents with a command of the operator's can be started.
  Effect.orElseSucceed(
    (): FindCommand => (_, command) =>
      command === undefined
        ? Either.left("needs the package acpx (npm install acpx), or a command of your own (name=command)")
        : Either.right(command.trim().split(/\s+/)),
  ),
)

const launchOf = (found: AcpAgentInspection | undefined): Launch => {
  if (found?.launch.kind === "installed") return Either.right(found.launch.argv)
  const needs = found?.launch.requirements.map(({ kind, name }) => `the ${kind} ${name}`) ?? []
  return Either.left(
    needs.length === 0 ? "can be started only by a command of your own" : `needs ${needs.join(" and ")}`,
  )
}
