/** The environment variables by which a relay of an agent knows what to do. `agent-relay.sh` reads the first two. */
export const RELAY_VARIABLES = {
  node: "CLAWDFORGE_RELAY_NODE",
  script: "CLAWDFORGE_RELAY_SCRIPT",
  /** The program of the agent. */
  command: "CLAWDFORGE_RELAY_COMMAND",
  /** The path of the socket that takes what the agent says between turns. */
  socket: "CLAWDFORGE_RELAY_SOCKET",
} as const
