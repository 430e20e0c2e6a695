#!/bin/sh
# An ACP adapter starts this script as `claude` (CLAUDE_CODE_EXECUTABLE). It starts the real one
# (CLAUDE_REAL_EXECUTABLE) with options that restrict what the adapter leaves open. They come last, because the CLI uses
# the last value of an option that is given twice.
#
# - No settings, hooks, agents or CLAUDE.md of any directory.
# - No MCP servers but the session's own.
# - No skills or commands in a prompt.
# - Permissions are asked for and cannot be skipped. (The CLI refuses to skip them for root, too.)
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
