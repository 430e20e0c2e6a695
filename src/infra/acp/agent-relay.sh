#!/bin/sh
# acpx starts this script by a link with the name of an agent, and with the agent's arguments. It starts AgentRelay.ts.
exec "$CLAWDFORGE_RELAY_NODE" "$CLAWDFORGE_RELAY_SCRIPT" "$@"
