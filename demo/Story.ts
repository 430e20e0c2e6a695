import { readdirSync } from "node:fs"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { Effect } from "effect"
import { claudeProcesses } from "../test/support/ProcessTable.ts"
import { ask } from "./Client.ts"
import { auditTrail, wordsKept } from "./Ledger.ts"
import * as Print from "./Print.ts"
import { FIT, INTRUDE, PARSE, RECALL, RECIPE, SUMMARIZE, TELL, TOLD } from "./Prompts.ts"
import { API_KEY, NotAsTold, type Stage } from "./Stage.ts"
import { interrupted } from "./Stream.ts"

/** After so long, what the last run said may go. */
const KEPT = "1100 millis"

/** What a client and an operator see, step by step. Fails at the first step that does not give what it says. */
export const story = (stage: Stage): Effect.Effect<void, NotAsTold> =>
  Effect.gen(function* () {
    const { url, adminToken, dataDir } = stage
    const said: Array<string> = [RECIPE, adminToken]

    yield* step(
      1,
      "Is it up?",
      "Whoever is on the allowlist may look, without a token.",
      ask(url, { path: "/healthz" }, 200, (body) => body.ok && body.claude_present),
    )

    const mint = { path: "/admin/tokens", token: adminToken, json: { name: "recipes" } }
    const { token } = yield* step(
      2,
      "Mint a token for an app",
      "The operator's own token does that. The new one is shown once; only its hash is kept.",
      ask(url, mint, 200, (body) => body.name === "recipes"),
    )
    said.push(token)
    const run = (json: { readonly prompt: string }, holds: (result: any) => boolean) =>
      Effect.tap(
        ask(url, { path: "/run", token, json }, 200, ({ result }) => holds(result)),
        ({ result }) => said.push(json.prompt, typeof result === "string" ? result : JSON.stringify(result)),
      )

    const guess = { path: "/run", token: `cf_${"guess".repeat(9)}`, json: { prompt: PARSE } }
    const stranger = yield* step(
      3,
      "Come with a wrong token",
      "Every failure is one such object (RFC 9457). Programs branch on its code.",
      ask(url, guess, 401, isProblem("unauthorized")),
    )

    yield* step(
      4,
      "Ask for JSON, get a value",
      "The model wrapped it in a code fence. The app gets the object, not text to pick apart.",
      run({ prompt: PARSE }, isJust({ qty: 2, unit: "cup" })),
    )

    yield* step(
      5,
      "Ask for what fits a schema",
      "The service checks the answer; one that does not fit would be a 502 that says where.",
      run(asking(FIT, { qty: "number", unit: "string" }), isJust({ qty: 1, unit: "pinch" })),
    )

    yield* step(
      6,
      "Ask about a file",
      "The run gets a copy. `claude` reads it with its one tool; the stand-in repeats what that said.",
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
      "Ask for what is none of its business",
      "The model obeys the prompt and tries to read. The wall around the run's directory holds.",
      run(
        { prompt: INTRUDE },
        (result) => /^tool failed: .*is outside/.test(result) && !/root:/.test(result),
      ),
    )

    const session = yield* step(
      8,
      "Talk in turns",
      "A session keeps what was said. Its agent is spoken to in the Agent Client Protocol and stays warm.",
      Effect.gen(function* () {
        const { session_id } = yield* ask(
          url,
          { path: "/sessions", token, json: { agent: "claude" } },
          200,
          (body) => body.agent === "claude",
        )
        for (const [n, prompt] of TOLD.entries()) {
          yield* ask(url, turn(session_id, token, prompt), 200, (body) => body.turn_index === n + 1)
          said.push(prompt)
        }
        return session_id as string
      }),
    )

    yield* step(
      9,
      "Restart the service, and go on",
      "The conversation is still there: the agent takes it up where it was. Then it is closed.",
      Effect.gen(function* () {
        Print.command(["systemctl restart clawdforge"])
        const code = yield* stage.restart
        yield* holds(code === 0, `it ended with ${code}`)
        yield* ask(url, turn(session, token, RECALL), 200, (body) =>
          TOLD.every((told) => textOf(body).includes(told)),
        )
        said.push(RECALL)
        const close = { method: "DELETE", path: `/sessions/${session}`, token } as const
        yield* ask(url, close, 200, (body) => body.already_closed === false)
      }),
    )

    yield* step(
      10,
      "Watch an answer come, and lose the connection",
      "Each event is stored before it is shown, and has an id: nothing is lost, and nothing comes twice.",
      Effect.gen(function* () {
        const events = yield* interrupted(url, token, TELL, 4)
        const ids = events.map(({ id }) => Number(id))
        yield* holds(
          ids.every((id, n) => n === 0 || id > (ids[n - 1] ?? 0)),
          `the ids are ${ids.join(", ")}`,
        )
        yield* holds(
          events.filter(({ event }) => event === "result").length === 1 && events.at(-1)?.event === "result",
          "it should end with one result",
        )
        said.push(TELL, JSON.parse(events.at(-1)?.data ?? "{}").result)
      }),
    )

    yield* step(
      11,
      "See who did what",
      "The audit trail, one view in SQLite: who, from where, outcome, lengths, time. What agents said is kept to be read again: for an hour, here for a second.",
      Effect.gen(function* () {
        Print.table(yield* auditTrail(dataDir))
        yield* Effect.sleep(KEPT)
        const trim = { path: "/events/maintenance", token: adminToken, json: {} }
        yield* ask(url, trim, 200, ({ removed }) => removed.texts > 0)
        const kept = wordsKept(dataDir, said)
        yield* holds(kept.length === 0, `the database holds ${kept.join(", ")}`)
        Print.holds(
          "No text of a prompt, an answer or a file is in that database, and no token: each byte was searched.",
        )
      }),
    )

    yield* step(
      12,
      "Revoke the token",
      "Dead at once, as if it had never been: what comes next answers like the wrong token above.",
      Effect.gen(function* () {
        const revoke = { method: "DELETE", path: "/admin/tokens/recipes", token: adminToken } as const
        yield* ask(url, revoke, 200, (body) => body.already_revoked === false)
        yield* ask(url, { path: "/run", token, json: { prompt: PARSE } }, 401, (body) =>
          isDeepStrictEqual({ ...body, request_id: stranger.request_id }, stranger),
        )
      }),
    )

    yield* step(13, "Stop", "By SIGTERM, as Docker and systemd do it.", leave(stage))
  })

/** A turn, of whose many events only the agent's words are shown. */
const turn = (session: string, token: string, prompt: string) => ({
  path: `/sessions/${session}/turn`,
  token,
  json: { prompt },
  pick: { jq: "[.events[].params.update.content.text | values] | add", from: textOf },
})

const textOf = (body: any): string =>
  body.events.map(({ params }: any) => params?.update?.content?.text ?? "").join("")

const step = <A>(number: number, what: string, why: string, act: Effect.Effect<A, NotAsTold>) =>
  Effect.suspend(() => {
    Print.step(number, what, why)
    return act
  }).pipe(Effect.mapError(({ message }) => new NotAsTold({ message: `step ${number}, ${what}: ${message}` })))

const holds = (condition: boolean, otherwise: string): Effect.Effect<void, NotAsTold> =>
  condition ? Effect.void : new NotAsTold({ message: otherwise })

const isJust = (expected: unknown) => (result: unknown) => isDeepStrictEqual(result, expected)

const isProblem = (code: string) => (body: any) => body.ok === false && body.code === code

/** A prompt whose answer is an object with members of these types. */
const asking = (prompt: string, members: Readonly<Record<string, string>>) => {
  const properties = Object.fromEntries(Object.entries(members).map(([name, type]) => [name, { type }]))
  return { prompt, output_schema: { type: "object", properties, required: Object.keys(members) } }
}

const leave = ({ dir, dataDir, provider, stop }: Stage) =>
  Effect.gen(function* () {
    const code = yield* stop
    yield* holds(code === 0, `it ended with ${code}`)
    const dirs = ["runs", "acpx-cwds"].flatMap((name) => readdirSync(join(dataDir, name)))
    yield* holds(dirs.length === 0, `runs left the directories ${dirs.join(", ")}`)
    // Elsewhere there is no /proc to look at.
    const canLook = process.platform === "linux"
    const processes = canLook ? claudeProcesses(dir) : []
    yield* holds(processes.length === 0, `runs left the processes ${processes.join(", ")}`)
    const asked = provider.requests.length
    yield* holds(
      asked > 0 && provider.requests.every(({ key }) => key === API_KEY),
      "the stand-in was asked with another login than the demo's",
    )
    Print.holds(
      `Exit code 0, no run and no session left a directory${canLook ? " or a process" : ""}. The stand-in was asked ${asked} times, each time with the one login that only the service has.`,
    )
  })
