import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { PROVIDER_REFUSALS, type ProviderRefusal } from "./ProviderRefusals.ts"

/**
 * A local stand-in of the Messages API, enough for the real `claude`. The newest text of the prompt scripts the
 * answer, by these words:
 *
 *   SAY <text>      that text                    STATUS <n>   that HTTP error
 *   REFUSE <name>   that refusal of `PROVIDER_REFUSALS`
 *   HANG            never answers                SLOW <ms>    answers after that time
 *   HELD            answers once it is released
 *   READ <path>     a call of the Read tool      RUN <command> a call of the Bash tool
 *   READ ATTACHED   a call of the Read tool on the first file that the prompt lists
 *   WRITE <path>    a call of the Write tool
 *   CALL <name> <JSON>  a call of that tool with that input, whether it was offered or not
 *   SYSTEM          the end of the system prompt it got
 *   EARLIER         what the user said before in this conversation
 *   THINKING "…" SAYING "…"   a thought and a text before what else the answer has, such as a call of a tool
 *   BREAK <n>       the streamed answer breaks off in the middle of its n-th block, each time that it is asked for
 *   OVERLOAD <n>    the same, by an error event of an overloaded provider
 *   ANEW <text>     at the end: an answer that is not streamed says that text in place of the one after SAY
 *
 * A tool's result comes back as "tool said: …" or "tool failed: …". Of calls with THEN between them, each is made after the
 * result of the one before, and the answer has all results, a line each. With structured output asked for, the answer
 * is a call of that tool with the JSON after SAY. Models named `no-such-…` are not found. A tool whose input the Messages
 * API would refuse is refused in the same words.
 *
 * A `Script` lets prompts be in plain language: it says which of the words above each of them stands for.
 */
export interface StandInApi {
  readonly url: string
  /** Every body that was posted to /v1/messages, oldest first. */
  readonly requests: ReadonlyArray<Asked>
  /** Requests being answered now, and the most that ever were at once. */
  readonly open: number
  readonly peak: number
  readonly reset: () => void
  /** Answers what is held, and holds nothing any more. */
  readonly release: () => void
  readonly close: () => Promise<void>
}

export interface Asked {
  readonly model: string
  readonly raw: string
  readonly system: string
  /** The newest user text, without what the CLI adds around it. */
  readonly prompt: string
  readonly tools: ReadonlyArray<string>
  readonly effort: string | undefined
  /** The API key that came with it. */
  readonly key: string | undefined
}

/** Prompts, and what each stands for. A prompt that has something before it (a list of files) still counts. */
export type Script = Readonly<Record<string, string>>

interface Block {
  readonly type: string
  readonly text?: string
  readonly is_error?: boolean
  readonly content?: string | ReadonlyArray<Block>
}

interface Body {
  readonly model: string
  readonly stream?: boolean
  readonly max_tokens?: number
  readonly system?: string | ReadonlyArray<Block>
  readonly messages: ReadonlyArray<{ readonly role: string; readonly content: string | ReadonlyArray<Block> }>
  readonly tools?: ReadonlyArray<{ readonly name: string; readonly input_schema?: object }>
  readonly output_config?: { readonly effort?: string }
}

const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  404: "not_found_error",
  429: "rate_limit_error",
  529: "overloaded_error",
}

export const startStandInApi = async (script: Script = {}): Promise<StandInApi> => {
  const requests: Array<Asked> = []
  let open = 0
  let peak = 0
  const held = Promise.withResolvers<void>()
  const server = createServer((request, response) => {
    void readBody(request).then(async (raw) => {
      if (request.method !== "POST" || !request.url?.startsWith("/v1/messages"))
        return void response.end("{}")
      const body = JSON.parse(raw) as Body
      requests.push(asked(body, raw, request.headers["x-api-key"]?.toString()))
      open += 1
      peak = Math.max(peak, open)
      response.on("close", () => {
        open -= 1
      })
      await answer(body, response, script, held.promise)
    })
  })
  await listen(server)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get open() {
      return open
    },
    get peak() {
      return peak
    },
    reset: () => {
      requests.length = 0
      peak = 0
    },
    release: held.resolve,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

const listen = (server: Server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))

const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString("utf8")
}

const blocksOf = (content: string | ReadonlyArray<Block> | undefined): ReadonlyArray<Block> =>
  typeof content === "string" ? [{ type: "text", text: content }] : (content ?? [])

const textOf = (content: string | ReadonlyArray<Block> | undefined): string =>
  blocksOf(content)
    .map((block) => block.text ?? `[${block.type}]`)
    .join("")

/** What the user said in a message, without what the CLI adds around it. */
const saidIn = (content: string | ReadonlyArray<Block> | undefined): ReadonlyArray<string> =>
  blocksOf(content)
    .filter(({ type, text }) => type === "text" && !text?.startsWith("<system-reminder>"))
    .map(({ text }) => text ?? "")

const asked = (body: Body, raw: string, key?: string): Asked => {
  const texts = saidIn(body.messages.findLast(({ role }) => role === "user")?.content)
  return {
    model: body.model,
    raw,
    system: textOf(body.system),
    prompt: texts.at(-1) ?? "",
    tools: (body.tools ?? []).map(({ name }) => name),
    effort: body.output_config?.effort,
    key,
  }
}

const answer = async (
  body: Body,
  response: ServerResponse,
  script: Script,
  released: Promise<void>,
): Promise<void> => {
  const { system, tools } = asked(body, "")
  const prompt =
    body.messages.flatMap(({ role, content }) => (role === "user" ? saidIn(content) : [])).at(-1) ?? ""
  const all = Object.entries(script).find(([natural]) => prompt.endsWith(natural))?.[1] ?? prompt
  const asking = body.messages.findLastIndex(
    ({ role, content }) => role === "user" && saidIn(content).length > 0,
  )
  const results = body.messages
    .slice(asking + 1)
    .flatMap(({ content }) => blocksOf(content).filter(({ type }) => type === "tool_result"))
  const calls = all.split(" THEN ")
  const words = calls[results.length] ?? ""
  const after = (word: string) => new RegExp(`\\b${word} ([\\s\\S]*)`).exec(words)?.[1]
  if (body.model.startsWith("no-such-")) return refuse(response, scriptedStatus(404))
  const fault = (body.tools ?? []).map(({ input_schema }, n) => faultOfTool(n, input_schema)).find(Boolean)
  if (fault !== undefined)
    return refuse(response, { status: 400, type: "invalid_request_error", message: fault })
  const status = Number(after("STATUS")?.split(" ")[0] ?? 0)
  if (status > 0) return refuse(response, scriptedStatus(status))
  const name = after("REFUSE")?.split(" ")[0] ?? ""
  if (name in PROVIDER_REFUSALS)
    return refuse(response, PROVIDER_REFUSALS[name as keyof typeof PROVIDER_REFUSALS]())
  if (/\bHANG\b/.test(words)) return
  if (/\bHELD\b/.test(words)) await released
  const delay = Number(after("SLOW")?.split(" ")[0] ?? 0)
  if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay))
  const before = [
    ...quoted(words, "THINKING").map((thinking) => ({ type: "thinking" as const, thinking })),
    ...quoted(words, "SAYING").map((text) => ({ type: "text" as const, text })),
  ]
  const [, how, block] = /\b(BREAK|OVERLOAD) (\d+)/.exec(words) ?? []
  const breaks = how === undefined ? undefined : { block: Number(block), byError: how === "OVERLOAD" }
  const send = (last: Content, stop: "end_turn" | "tool_use") =>
    body.stream === true
      ? stream(response, body, [...before, last], stop, breaks)
      : whole(response, body, [...before, last], stop)
  const text = (words: string) => send({ type: "text", text: words }, "end_turn")
  const tool = (name: string, input: object) =>
    send({ type: "tool_use", id: fresh("toolu"), name, input }, "tool_use")
  if (results.length === calls.length) {
    const told = results.map(
      ({ is_error, content }) => `tool ${is_error ? "failed" : "said"}: ${textOf(content)}`,
    )
    return text(told.join("\n"))
  }
  const path = after("READ")?.replace(/^ATTACHED$/, /^- (\S+)/m.exec(prompt)?.[1] ?? "")
  if (path !== undefined) return tool("Read", { file_path: path })
  const written = after("WRITE")
  if (written !== undefined) return tool("Write", { file_path: written, content: "written" })
  const called = /^(\w+) (.*)/.exec(after("CALL") ?? "")
  if (called !== null) return tool(called[1] ?? "", JSON.parse(called[2] ?? "") as object)
  const command = after("RUN")
  if (command !== undefined) return tool("Bash", { command, description: "as told" })
  if (tools.includes("StructuredOutput")) {
    return tool("StructuredOutput", JSON.parse(after("SAY") ?? "{}") as object)
  }
  if (/\bEARLIER\b/.test(words)) {
    const said = body.messages
      .filter(({ role }) => role === "user")
      .map(({ content }) => saidIn(content).at(-1))
    return text(`earlier: ${said.slice(0, -1).join(" ")}`)
  }
  if (/\bSYSTEM\b/.test(words)) return text(system.slice(-200))
  const [said, anew = said] = after("SAY")?.split(" ANEW ") ?? []
  return text((body.stream === true ? said : anew) ?? `you said: ${prompt.slice(0, 80)}`)
}

/** The texts in quotes after a word. */
const quoted = (words: string, word: string): ReadonlyArray<string> =>
  [...words.matchAll(new RegExp(`\\b${word} "([^"]*)"`, "g"))].map(([, text = ""]) => text)

/** What the Messages API says of the input of a tool that it refuses. */
const faultOfTool = (n: number, schema: object | undefined): string | undefined => {
  if (schema === undefined) return undefined
  const where = `tools.${n}.custom.input_schema`
  if ("oneOf" in schema || "allOf" in schema || "anyOf" in schema)
    return `${where}: input_schema does not support oneOf, allOf, or anyOf at the top level`
  return propertyNames(schema).every((name) => /^[a-zA-Z0-9_.-]{1,64}$/.test(name))
    ? undefined
    : `${where}.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'`
}

const propertyNames = (value: unknown): ReadonlyArray<string> =>
  typeof value !== "object" || value === null
    ? []
    : Object.entries(value).flatMap(([key, inner]) =>
        (key === "properties" ? Object.keys(Object(inner) as object) : []).concat(propertyNames(inner)),
      )

const scriptedStatus = (status: number): ProviderRefusal => ({
  status,
  type: ERROR_TYPES[status] ?? "api_error",
  message: `scripted ${status}`,
  headers: { "retry-after": "0" },
})

const refuse = (response: ServerResponse, { status, type, message, headers }: ProviderRefusal): void => {
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(JSON.stringify({ type: "error", error: { type, message } }))
}

const fresh = (kind: string): string => `${kind}_${Math.random().toString(36).slice(2)}`

/** A block of an answer. */
type Content =
  | { readonly type: "thinking"; readonly thinking: string }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "tool_use"; readonly id: string; readonly name: string; readonly input: object }

const USAGE = {
  input_tokens: 12,
  output_tokens: 3,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
}

// The CLI takes messages of the same id for parts of one.
const messageOf = ({ model }: Body) => ({
  id: fresh("msg"),
  type: "message",
  role: "assistant",
  model,
  usage: USAGE,
})

const whole = (response: ServerResponse, body: Body, blocks: ReadonlyArray<Content>, stop: string): void => {
  response.writeHead(200, { "content-type": "application/json" })
  const content = blocks.map((block) =>
    block.type === "thinking" ? { ...block, signature: "signed" } : block,
  )
  response.end(JSON.stringify({ ...messageOf(body), content, stop_reason: stop, stop_sequence: null }))
}

const halves = (text: string) => {
  const middle = Math.ceil(text.length / 2)
  return [text.slice(0, middle), text.slice(middle)]
}

/** A block as it begins, and its content in two deltas. */
const streamed = (block: Content) => {
  switch (block.type) {
    case "thinking":
      return {
        begun: { type: "thinking", thinking: "", signature: "" },
        deltas: [
          ...halves(block.thinking).map((thinking) => ({ type: "thinking_delta", thinking })),
          { type: "signature_delta", signature: "signed" },
        ],
      }
    case "text":
      return {
        begun: { type: "text", text: "" },
        deltas: halves(block.text).map((text) => ({ type: "text_delta", text })),
      }
    case "tool_use":
      return {
        begun: { ...block, input: {} },
        deltas: halves(JSON.stringify(block.input)).map((json) => ({
          type: "input_json_delta",
          partial_json: json,
        })),
      }
  }
}

const stream = (
  response: ServerResponse,
  body: Body,
  blocks: ReadonlyArray<Content>,
  stop: string,
  breaks: { readonly block: number; readonly byError: boolean } | undefined,
): void => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  const send = (type: string, data: object) =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`)
  const begun = { ...messageOf(body), content: [], stop_reason: null, stop_sequence: null }
  send("message_start", { message: begun })
  for (const [index, block] of blocks.entries()) {
    const { begun, deltas } = streamed(block)
    send("content_block_start", { index, content_block: begun })
    for (const delta of deltas) {
      send("content_block_delta", { index, delta })
      if (breaks?.block !== index + 1) continue
      if (!breaks.byError) return void setImmediate(() => response.destroy())
      send("error", { error: { type: "overloaded_error", message: "Overloaded" } })
      return void response.end()
    }
    send("content_block_stop", { index })
  }
  send("message_delta", { delta: { stop_reason: stop, stop_sequence: null }, usage: { output_tokens: 3 } })
  send("message_stop", {})
  response.end()
}
