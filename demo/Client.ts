import { STATUS_CODES } from "node:http"
import { Duration, Effect } from "effect"
import * as Print from "./Print.ts"
import { NotAsTold } from "./Stage.ts"

/** A client's request, from which both the request that is sent and the curl that is shown are made. */
export interface Ask {
  readonly method?: "DELETE"
  readonly path: string
  readonly token?: string
  readonly json?: object
  readonly headers?: Readonly<Record<string, string>>
  readonly file?: { readonly name: string; readonly content: string }
  /** What is shown of a long answer: how a shell picks it, and how we do. */
  readonly pick?: { readonly jq: string; readonly from: (body: any) => unknown }
}

const PATIENCE = Duration.seconds(60)

/**
 * Shows the curl, sends the request, shows the answer. Fails if the answer has another status, or if its body is not
 * what the story says of it.
 */
export const ask = (
  url: string,
  request: Ask,
  status: number,
  holds: (body: any) => boolean,
): Effect.Effect<any, NotAsTold> =>
  Effect.gen(function* () {
    Print.command(curl(url, request))
    const [took, answer] = yield* Effect.timed(sent(url, request))
    Print.answer(
      `${answer.status} ${STATUS_CODES[answer.status]}`,
      answer.status < 400,
      Duration.toMillis(took),
      shownOf(answer, request),
    )
    if (answer.status !== status) {
      return yield* new NotAsTold({ message: `the status should be ${status}, and is ${answer.status}` })
    }
    const body = yield* Effect.try({
      try: () => JSON.parse(answer.text) as unknown,
      catch: () => new NotAsTold({ message: "the body should be JSON" }),
    })
    if (!holds(body)) return yield* new NotAsTold({ message: "the body is not what it should be" })
    return body
  })

const shownOf = (
  { status, text }: { readonly status: number; readonly text: string },
  { pick }: Ask,
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
  { method, path, token, json, headers = {}, file, pick }: Ask,
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

const sent = (url: string, { method, path, token, json, file }: Ask) =>
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
    catch: (error) => new NotAsTold({ message: `no answer: ${String(error)}` }),
  }).pipe(
    Effect.timeoutFail({
      duration: PATIENCE,
      onTimeout: () => new NotAsTold({ message: `no answer for ${Duration.format(PATIENCE)}` }),
    }),
  )

const formOf = ({ name, content }: { readonly name: string; readonly content: string }): FormData => {
  const form = new FormData()
  form.set("file", new Blob([content]), name)
  return form
}
