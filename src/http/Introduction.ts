import { codesTable } from "./Codes.ts"

/** What the page at `/docs` says before its routes, in Markdown. */
export const introduction = `One logged-in coding agent, served safely to every app on the network.

## Quick start

The operator makes a token for an app. The answer shows it once.

\`\`\`sh
curl -s http://127.0.0.1:8800/admin/tokens -H "Authorization: Bearer $ADMIN" \\
  -H 'Content-Type: application/json' -d '{"name":"recipes"}'
\`\`\`

The app asks. JSON in the answer comes as a value, anything else as text.

\`\`\`sh
curl -s http://127.0.0.1:8800/run -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' -d '{"prompt":"Say hello in five words."}'
\`\`\`

With \`Accept: text/event-stream\`, a run or a turn comes as server-sent events while it is written. A generated client has
its answer as JSON by the media type \`application/json\` of the response.

## Authentication

Every route except those under *system* needs \`Authorization: Bearer …\`.

- \`app\`: an app's own token, \`cf_…\`. It sees what is the app's, and nothing else.
- \`admin\`: the operator's token, which is \`ADMIN_BOOTSTRAP_TOKEN\` or in the file \`DATA_DIR/admin-token\`. It makes and revokes
  tokens, and reads the runs and events of all apps.

Before the token, the client's address is checked, and the origin of a web page.

## Errors

Every failure is one \`application/problem+json\` object (RFC 9457). Programs branch on \`code\`; \`error\` is for people;
\`request_id\` is in the service's log. A \`Retry-After\` says when to try again.

${codesTable}
`
