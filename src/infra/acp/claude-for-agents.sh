#!/bin/sh
# The `claude` that an ACP adapter starts (CLAUDE_CODE_EXECUTABLE): the real one, which CLAUDE_REAL_EXECUTABLE names, with
# the last word on what an adapter leaves open. Of an option that is given twice, the last counts.
#
# No settings, hooks, agents or CLAUDE.md of any directory; no MCP servers but the session's own; no skills or commands
# in a prompt; permissions are asked for, and cannot be waived (the CLI refuses to offer that to root, too).
case " $* " in
*" --input-format "* | *" --input-format="* | *" -p "* | *" --print "*) ;;
*) exec "$CLAUDE_REAL_EXECUTABLE" "$@" ;;
esac

for argument do
  shift
  case "$argument" in
  --allow-dangerously-skip-permissions | --dangerously-skip-permissions) ;;
  *) set -- "$@" "$argument" ;;
  esac
done

exec "$CLAUDE_REAL_EXECUTABLE" "$@" --setting-sources "" --strict-mcp-config --disable-slash-commands \
  --permission-mode default
