import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { Effect, type Scope } from "effect"

/** Something that answers in the service's place, as the test says. */
export interface StubServer {
  readonly url: string
  /** What was asked, such as `POST /run`, in order. */
  readonly asked: ReadonlyArray<string>
  /** Comes with the n-th request. */
  readonly reached: (n: number) => Effect.Effect<void>
}

export const stubServer = (
  answer: (request: IncomingMessage, response: ServerResponse, n: number) => void,
): Effect.Effect<StubServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const asked: Array<string> = []
    let waiting: Array<() => void> = []
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      request.resume()
      answer(request, response, asked.length)
      for (const wake of waiting.splice(0)) wake()
    })
    yield* Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening"))
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        server.close()
        server.closeAllConnections()
        await once(server, "close")
      }),
    )
    const address = server.address()
    if (address === null || typeof address === "string") return yield* Effect.dieMessage("no port")
    return {
      url: `http://127.0.0.1:${address.port}`,
      asked,
      reached: (n) =>
        Effect.promise(async () => {
          while (asked.length < n) await new Promise<void>((go) => waiting.push(go))
        }),
    }
  })

/** A problem, as the service answers it. */
export const answerProblem = (
  response: ServerResponse,
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): void => {
  const error = `a sentence about ${code}`
  response.writeHead(status, { "content-type": "application/problem+json", ...headers }).end(
    JSON.stringify({
      ok: false,
      error,
      code,
      type: "about:blank",
      title: "",
      status,
      detail: error,
      request_id: "stub-1",
      retryable: status === 503,
    }),
  )
}
