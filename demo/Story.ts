import { readdirSync } from "node:fs"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { Effect } from "effect"
import { claudeProcesses } from "../test/support/ProcessTable.ts"
import { ask } from "./Client.ts"
import { auditTrail, linesInDatabase } from "./Database.ts"
import * as Print from "./Print.ts"
import { INTRUDE, PARSE, PARSE_WITH_SCHEMA, RECALL, RECIPE, SUMMARIZE, TELL, TURNS } from "./Prompts.ts"
import { API_KEY, DemoFailed, type Setup } from "./Setup.ts"
import { streamWithReconnect } from "./Stream.ts"

/** After this time, the service deletes the texts of the last run's stream. */
const RETENTION = "1100 millis"

/** How many steps the demo has. */
export const STEPS = 13

/** Plays the demo, step by step. Fails at the first step that does not give the result that it describes. */
export const story = (setup: Setup): Effect.Effect<void, DemoFailed> =>
  Effect.gen(function* () {
    const { url, adminToken, dataDir } = setup
    /** All texts and tokens of the demo, which the database must not hold. */
    const secrets: Array<string> = [RECIPE, adminToken]

    yield* step(
      1,
      "Is it up?",
      "Every address on the allowlist may check, without a token.",
      ask(url, { path: "/healthz" }, 200, (body) => body.ok && body.claude_present),
    )

    const mint = { path: "/admin/tokens", token: adminToken, json: { name: "recipes" } }
    const { token } = yield* step(
      2,
      "Mint a token for an app",
      "This takes the operator's token. The new one is shown once; only its hash is stored.",
      ask(url, mint, 200, (body) => body.name === "recipes"),
    )
    secrets.push(token)
    const run = (json: { readonly prompt: string }, holds: (result: any) => boolean) =>
      Effect.tap(
        ask(url, { path: "/run", token, json }, 200, ({ result }) => holds(result)),
        ({ result }) =>
          secrets.push(json.prompt, typeof result === "string" ? result : JSON.stringify(result)),
      )

    const guess = { path: "/run", token: `cf_${"guess".repeat(9)}`, json: { prompt: PARSE } }
    const unauthorized = yield* step(
      3,
      "Use a wrong token",
      "Every failure is an object of this form (RFC 9457). Programs branch on its code.",
      ask(url, guess, 401, isProblem("unauthorized")),
    )

    yield* step(
      4,
      "Ask for JSON, get a value",
      "The model wrapped its answer in a code fence. The app gets the object, not text to parse.",
      run({ prompt: PARSE }, isEqualTo({ qty: 2, unit: "cup" })),
    )

    yield* step(
      5,
      "Ask for an answer that fits a schema",
      "The service checks the answer. One that does not fit would be a 502 that names the field.",
      run(
        withSchema(PARSE_WITH_SCHEMA, { qty: "number", unit: "string" }),
        isEqualTo({ qty: 1, unit: "pinch" }),
      ),
    )

    yield* step(
      6,
      "Ask about a file",
      "The run gets a copy. `claude` reads it with its only tool; the stand-in repeats the tool's output.",
      Effect.gen(function* () {
        const upload = { path: "/files", token, file: { name: "bread.txt", content: RECIPE } }
        const { file_token } = yield* ask(url, upload, 200, (body) => body.size === RECIPE.length)
        const lines = RECIPE.trim().split("\n")
        const files = { prompt: SUMMARIZE, files: [file_token] }
        yield* run(files, (result) => lines.every((line) => result.includes(line)))
      }),
    )

    yield* step(
      7,
      "Ask for a file outside of the run's directory",
      "The model obeys the prompt and tries to read it. The service does not let it.",
      run(
        { prompt: INTRUDE },
        (result) => /^tool failed: .*is outside/.test(result) && !/root:/.test(result),
      ),
    )

    const session = yield* step(
      8,
      "Talk in turns",
      "A session keeps its context. Its agent speaks the Agent Client Protocol, and goes on running between turns.",
      Effect.gen(function* () {
        const { session_id } = yield* ask(
          url,
          { path: "/sessions", token, json: { agent: "claude" } },
          200,
          (body) => body.agent === "claude",
        )
        for (const [n, prompt] of TURNS.entries()) {
          yield* ask(url, turn(session_id, token, prompt), 200, (body) => body.turn_index === n + 1)
          secrets.push(prompt)
        }
        return session_id as string
      }),
    )

    yield* step(
      9,
      "Restart the service, and continue",
      "The conversation is still there: the agent resumes it. Then the session is closed.",
      Effect.gen(function* () {
        Print.command(["systemctl restart clawdforge"])
        const code = yield* setup.restart
        yield* check(code === 0, `the service ended with ${code}`)
        yield* ask(url, turn(session, token, RECALL), 200, (body) =>
          TURNS.every((prompt) => textOf(body).includes(prompt)),
        )
        secrets.push(RECALL)
        const close = { method: "DELETE", path: `/sessions/${session}`, token } as const
        yield* ask(url, close, 200, (body) => body.already_closed === false)
      }),
    )

    yield* step(
      10,
      "Stream an answer, and lose the connection",
      "Each event is stored before it is sent, and has an id: none is lost, and none comes twice.",
      Effect.gen(function* () {
        const events = yield* streamWithReconnect(url, token, TELL, 4)
        const ids = events.map(({ id }) => Number(id))
        yield* check(
          ids.every((id, n) => n === 0 || id > (ids[n - 1] ?? 0)),
          `the ids are ${ids.join(", ")}`,
        )
        yield* check(
          events.filter(({ event }) => event === "result").length === 1 && events.at(-1)?.event === "result",
          "the stream should end with one result",
        )
        secrets.push(TELL, JSON.parse(events.at(-1)?.data ?? "{}").result)
      }),
    )

    yield* step(
      11,
      "See who did what",
      "The audit trail is one view in SQLite: who, from where, outcome, lengths, time. Streams are stored so that they can be read again: by default for an hour, here for a second.",
      Effect.gen(function* () {
        Print.table(yield* auditTrail(dataDir))
        yield* Effect.sleep(RETENTION)
        const trim = { path: "/events/maintenance", token: adminToken, json: {} }
        yield* ask(url, trim, 200, ({ removed }) => removed.texts > 0)
        const found = linesInDatabase(dataDir, secrets)
        yield* check(found.length === 0, `the database holds ${found.join(", ")}`)
        Print.verified(
          "No text of a prompt, an answer or a file is in that database, and no token: each byte was searched.",
        )
      }),
    )

    yield* step(
      12,
      "Revoke the token",
      "It stops working at once: the next request gets the same answer as the wrong token above.",
      Effect.gen(function* () {
        const revoke = { method: "DELETE", path: "/admin/tokens/recipes", token: adminToken } as const
        yield* ask(url, revoke, 200, (body) => body.already_revoked === false)
        yield* ask(url, { path: "/run", token, json: { prompt: PARSE } }, 401, (body) =>
          isDeepStrictEqual({ ...body, request_id: unauthorized.request_id }, unauthorized),
        )
      }),
    )

    yield* step(STEPS, "Stop", "By SIGTERM, as Docker and systemd do it.", stopAndCheck(setup))
  })

/** The request of a turn. Of its many events, only the agent's text is shown. */
const turn = (session: string, token: string, prompt: string) => ({
  path: `/sessions/${session}/turn`,
  token,
  json: { prompt },
  pick: { jq: "[.events[].params.update.content.text | values] | add", from: textOf },
})

const textOf = (body: any): string =>
  body.events.map(({ params }: any) => params?.update?.content?.text ?? "").join("")

const step = <A>(number: number, what: string, why: string, act: Effect.Effect<A, DemoFailed>) =>
  Effect.suspend(() => {
    Print.step(number, STEPS, what, why)
    return act
  }).pipe(
    Effect.mapError(({ message }) => new DemoFailed({ message: `step ${number}, ${what}: ${message}` })),
  )

const check = (condition: boolean, otherwise: string): Effect.Effect<void, DemoFailed> =>
  condition ? Effect.void : new DemoFailed({ message: otherwise })

const isEqualTo = (expected: unknown) => (result: unknown) => isDeepStrictEqual(result, expected)

const isProblem = (code: string) => (body: any) => body.ok === false && body.code === code

/** A run whose answer must be an object with members of these types. */
const withSchema = (prompt: string, members: Readonly<Record<string, string>>) => {
  const properties = Object.fromEntries(Object.entries(members).map(([name, type]) => [name, { type }]))
  return { prompt, output_schema: { type: "object", properties, required: Object.keys(members) } }
}

const stopAndCheck = ({ dir, dataDir, provider, stop }: Setup) =>
  Effect.gen(function* () {
    const code = yield* stop
    yield* check(code === 0, `the service ended with ${code}`)
    const dirs = ["runs", "acpx-cwds"].flatMap((name) => readdirSync(join(dataDir, name)))
    yield* check(dirs.length === 0, `runs left the directories ${dirs.join(", ")}`)
    // Only Linux has /proc, which lists the processes.
    const hasProc = process.platform === "linux"
    const processes = hasProc ? claudeProcesses(dir) : []
    yield* check(processes.length === 0, `runs left the processes ${processes.join(", ")}`)
    const requests = provider.requests.length
    yield* check(
      requests > 0 && provider.requests.every(({ key }) => key === API_KEY),
      "the stand-in was asked with another login than the demo's",
    )
    Print.verified(
      `Exit code 0, no run and no session left a directory${hasProc ? " or a process" : ""}. The stand-in was asked ${requests} times, each time with the one login that only the service has.`,
    )
  })
