#!/bin/sh
# An ACP adapter starts this script as `claude` (CLAUDE_CODE_EXECUTABLE). It starts the real one
# (CLAUDE_REAL_EXECUTABLE) with options that restrict what the adapter leaves open. They come last, because the CLI uses
# the last value of an option that is given twice.
#
# - No settings, hooks, agents or CLAUDE.md of any directory.
# - No MCP servers but the session's own.
# - No skills or commands in a prompt.
# - Permissions are asked for and cannot be skipped. (The CLI refuses to skip them for root, too.)
# - No built-in tools but those on the list: their work ends with the turn, and they reach no other session. A positive
#   list, because each version of the CLI may bring new tools. Agents and commands run in the foreground only.
# - No messages of other `claude` processes of the same user, who could otherwise prompt the session by its socket.
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

# Without tool search, the tools of MCP servers are offered in full: the tool that finds the others is not on the list.
export CLAUDE_CODE_DISABLE_BACKGROUND_TASKS=1 ENABLE_TOOL_SEARCH=false

exec "$CLAUDE_REAL_EXECUTABLE" "$@" --setting-sources "" --strict-mcp-config --disable-slash-commands \
  --permission-mode default --settings '{"crossSessionInbound":"refuse"}' \
  --tools Bash,Read,Edit,Write,Glob,Grep,NotebookEdit,WebFetch,WebSearch,Agent
