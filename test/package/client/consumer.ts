// A program that uses the generated client: `node consumer.ts URL TOKEN`.
import createClient from "openapi-fetch"
import type { components, paths } from "./api.ts"

const [url = "", token = ""] = process.argv.slice(2)
// Only JSON and problems, without the media type of streams.
const client = createClient<paths, `application/${string}`>({
  baseUrl: url,
  headers: { authorization: `Bearer ${token}` },
})

type Problem = { readonly code: components["schemas"]["RunFailedProblem"]["code"] | "not_found" | "timeout" }
const codeOf = (problem: Problem): string => problem.code

const run = await client.POST("/run", { body: { prompt: "SAY 2 cups", effort: "low", model: null } })
if (run.data === undefined) throw new Error(run.error.error)
const runId: string | null = run.response.headers.get("x-run-id")

const upload = await client.POST("/files", {
  body: { file: new File(["flour"], "recipe.txt"), ttl_secs: 600 },
  bodySerializer: ({ file, ttl_secs }) => {
    const form = new FormData()
    form.set("file", file)
    form.set("ttl_secs", String(ttl_secs))
    return form
  },
})
if (upload.data === undefined) throw new Error(upload.error.error)
const read = await client.POST("/run", { body: { prompt: "CAT", files: [upload.data.file_token] } })

const session = await client.POST("/sessions", { body: { agent: "scripted", meta: { user: "ada" } } })
if (session.data === undefined) throw new Error(session.error.error)
const { session_id } = session.data
const turn = await client.POST("/sessions/{id}/turn", {
  params: { path: { id: session_id }, header: { "idempotency-key": "turn-1" } },
  body: { prompt: "SAY hello" },
})
if (turn.data === undefined) throw new Error(turn.error.error)
// Without a cast: the answer is the object, not also the text of a stream.
const answer: components["schemas"]["TurnAnswer"] = turn.data

const failures: Array<string> = []
const failed = await client.POST("/run", { body: { prompt: "EXIT 3" } })
switch (failed.error?.code) {
  case "run_failed":
    failures.push(`${codeOf(failed.error)} ${failed.error.status} ${failed.error.exit_code}`)
    break
  case "timeout":
  case "overloaded":
  case undefined:
    break
}
const missing = await client.GET("/runs/{id}", { params: { path: { id: "nobody's" } } })
if (missing.error?.code === "not_found") failures.push(`${codeOf(missing.error)} ${missing.error.status}`)

const runs = await client.GET("/runs", { params: { query: { limit: 10, status: "completed" } } })
if (runs.data === undefined) throw new Error(runs.error.error)

const stream = await client.POST("/run", {
  body: { prompt: "SAY streamed" },
  headers: { accept: "text/event-stream" },
  parseAs: "text",
})

const said = {
  result: run.data.result,
  runId,
  read: read.data?.result,
  turn: [answer.turn_index, answer.stop_reason, turn.data.events.length > 0],
  failures,
  runs: runs.data.runs.map(({ kind, status }) => `${kind} ${status}`),
  more: runs.data.next_cursor,
  stream: stream.data?.match(/^event: .*$/gm)?.at(-1),
}
console.log(JSON.stringify(said))
