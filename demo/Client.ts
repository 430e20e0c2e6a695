import { STATUS_CODES } from "node:http"
import { Duration, Effect } from "effect"
import * as Print from "./Print.ts"
import { DemoFailed } from "./Setup.ts"

/** A client's request. It is sent by `fetch`, and shown as a curl command. */
export interface DemoRequest {
  readonly method?: "DELETE"
  readonly path: string
  readonly token?: string
  readonly json?: object
  readonly headers?: Readonly<Record<string, string>>
  readonly file?: { readonly name: string; readonly content: string }
  /** The part of a long answer that is shown: as a jq filter, and as a function. */
  readonly pick?: { readonly jq: string; readonly from: (body: any) => unknown }
}

const TIMEOUT = Duration.seconds(60)

/** Prints the curl command, sends the request, prints the answer. Fails if the status differs, or if `holds` is false. */
export const ask = (
  url: string,
  request: DemoRequest,
  status: number,
  holds: (body: any) => boolean,
): Effect.Effect<any, DemoFailed> =>
  Effect.gen(function* () {
    Print.command(curl(url, request))
    const [took, answer] = yield* Effect.timed(send(url, request))
    Print.answer(
      `${answer.status} ${STATUS_CODES[answer.status]}`,
      answer.status < 400,
      Duration.toMillis(took),
      shownOf(answer, request),
    )
    if (answer.status !== status) {
      return yield* new DemoFailed({ message: `the status should be ${status}, and is ${answer.status}` })
    }
    const body = yield* Effect.try({
      try: () => JSON.parse(answer.text) as unknown,
      catch: () => new DemoFailed({ message: "the body should be JSON" }),
    })
    if (!holds(body)) return yield* new DemoFailed({ message: "the body is not what it should be" })
    return body
  })

const shownOf = (
  { status, text }: { readonly status: number; readonly text: string },
  { pick }: DemoRequest,
): string => {
  if (pick === undefined || status >= 400) return text
  try {
    return JSON.stringify(pick.from(JSON.parse(text)))
  } catch {
    return text
  }
}

export const curl = (
  url: string,
  { method, path, token, json, headers = {}, file, pick }: DemoRequest,
): ReadonlyArray<string> => [
  "curl -s",
  ...(method === undefined ? [] : [`-X ${method}`]),
  `${url.replace("http://", "")}${path}`,
  ...(token === undefined ? [] : [`-H 'Authorization: Bearer ${token}'`]),
  ...Object.entries(headers).map(([name, value]) => `-H '${name}: ${value}'`),
  ...(json === undefined ? [] : [`--json '${Print.json(json)}'`]),
  ...(file === undefined ? [] : [`-F file=@${file.name}`]),
  ...(pick === undefined ? [] : [`| jq '${pick.jq}'`]),
]

const send = (url: string, { method, path, token, json, file }: DemoRequest) =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(`${url}${path}`, {
        signal,
        method: method ?? (json === undefined && file === undefined ? "GET" : "POST"),
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(json === undefined ? {} : { "content-type": "application/json", accept: "application/json" }),
        },
        ...(json === undefined ? {} : { body: JSON.stringify(json) }),
        ...(file === undefined ? {} : { body: formOf(file) }),
      })
      return { status: response.status, text: await response.text() }
    },
    catch: (error) => new DemoFailed({ message: `no answer: ${String(error)}` }),
  }).pipe(
    Effect.timeoutFail({
      duration: TIMEOUT,
      onTimeout: () => new DemoFailed({ message: `no answer for ${Duration.format(TIMEOUT)}` }),
    }),
  )

const formOf = ({ name, content }: { readonly name: string; readonly content: string }): FormData => {
  const form = new FormData()
  form.set("file", new Blob([content]), name)
  return form
}
