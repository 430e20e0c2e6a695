#!/bin/sh
# The routes that an app needs, with curl only. CLAWDFORGE_URL and CLAWDFORGE_TOKEN name the service.
set -eu
URL=${CLAWDFORGE_URL:-http://127.0.0.1:8800}

# curl reads the token from a pipe: every process of this machine can read a program's arguments.
ask() {
  printf 'header = "Authorization: Bearer %s"\n' "$CLAWDFORGE_TOKEN" |
    curl --config - --fail-with-body --silent --show-error "$@"
  echo
}
JSON='Content-Type: application/json'

echo "# one-shot"
ask "$URL/run" --header "$JSON" --data '{"prompt":"Say hello in five words.","timeout_secs":60}'

echo "# a stream"
ask "$URL/run" --no-buffer --header 'Accept: text/event-stream' --header "$JSON" --data '{"prompt":"Say hello in five words."}'

echo "# a file"
FILE=$(ask "$URL/files" --form "file=@$(dirname "$0")/recipe.txt" |
  sed -n 's/.*"file_token":"\([^"]*\)".*/\1/p')
ask "$URL/run" --header "$JSON" --data "{\"prompt\":\"How much flour is in it?\",\"files\":[\"$FILE\"]}"

echo "# a session"
SESSION=$(ask "$URL/sessions" --header "$JSON" --data '{"agent":"claude"}' | sed -n 's/.*"session_id":"\([^"]*\)".*/\1/p')
ask "$URL/sessions/$SESSION/turn?include=text&events=none" --header "$JSON" --data '{"prompt":"My pancakes take 2 cups of flour for two people."}'
ask "$URL/sessions/$SESSION/turn?include=text&events=none" --header "$JSON" --data '{"prompt":"And for five?"}'
ask --request DELETE "$URL/sessions/$SESSION"

echo "# the last runs"
ask "$URL/runs?limit=3"
