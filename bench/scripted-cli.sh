#!/bin/sh
# A stand-in for the `claude` executable that starts as fast as a process can. It uses only what the shell has built in,
# and has the same answer to every prompt. It reads until its stdin ends, as the CLI does.
case "$1" in
--version)
  echo "0.0.1 (scripted)"
  exit
  ;;
auth)
  echo '{"loggedIn":true}'
  exit
  ;;
esac

confirm() {
  printf '{"type":"control_response","response":{"subtype":"success","request_id":"%s"}}\n' "$1"
}

while IFS= read -r line; do
  case "$line" in
  '{"type":"user"'*)
    echo '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"hello"}]}}'
    echo '{"type":"result","subtype":"success","is_error":false,"result":"hello","stop_reason":"end_turn"}'
    ;;
  *'"request_id":"initialize"'*) confirm initialize ;;
  *'"request_id":"model"'*) confirm model ;;
  esac
done
