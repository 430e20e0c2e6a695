import type { HttpApi, HttpApiEndpoint, HttpApiGroup } from "@effect/platform"
import type { Brand, Effect, Types } from "effect"
import type { Api, commonProblems } from "../http/Api.ts"
import type { ClientError, Code, ErrorOf } from "./Errors.ts"
import type { AnswerHead } from "./Transport.ts"

/** What the methods that are derived from the declaration take, answer, and fail with. */

type Groups = typeof Api extends HttpApi.HttpApi<infer _Id, infer G, infer _E, infer _R> ? G : never

type CodeIn<Problem> = Extract<Problem, { readonly code: Code }>["code"]
/** The failures of a route that declares these problems. */
export type Failures<Problem> = ErrorOf<CodeIn<Problem | typeof commonProblems.Type>> | ClientError

/** The service's own kinds of text are text to a client: that it is of that kind is looked at when it is sent. */
type Plain<T> = T extends Brand.Brand<infer _K> ? Brand.Brand.Unbranded<T> : T
type PlainIn<T> = T extends FormData ? T : { readonly [K in keyof T]: Plain<T[K]> }

/** What may be left out altogether need not be written. */
type Loose<Request> = Types.Simplify<
  { readonly [K in keyof Request as {} extends Request[K] ? never : K]: PlainIn<Request[K]> } & {
    readonly [K in keyof Request as {} extends Request[K] ? K : never]?: PlainIn<Request[K]>
  }
>

type RequestOf<Path, UrlParams, Payload, Headers> =
  HttpApiEndpoint.HttpApiEndpoint.ClientRequest<
    Path,
    UrlParams,
    Payload,
    Headers,
    false
  > extends infer Request
    ? Loose<Omit<Exclude<Request, void>, "withResponse">>
    : never

/** With `withHead`, an answer comes with what its head says. */
export interface Method<Request, A, E> {
  (request: Request & { readonly withHead: true }): Effect.Effect<readonly [A, AnswerHead], E>
  (...request: {} extends Request ? [request?: Request] : [request: Request]): Effect.Effect<A, E>
}

type MethodOf<Endpoint, GroupProblem> = [Endpoint] extends [
  HttpApiEndpoint.HttpApiEndpoint<
    infer _Name,
    infer _Method,
    infer Path,
    infer UrlParams,
    infer Payload,
    infer Headers,
    infer Success,
    infer Problem,
    infer _R,
    infer _RE
  >,
]
  ? Method<RequestOf<Path, UrlParams, Payload, Headers>, Success, Failures<Problem | GroupProblem>>
  : never

/** Every route by its group and name, but for those that only stream: see `Streams`. */
export type Derived = {
  readonly [G in Groups as Exclude<
    HttpApiGroup.HttpApiGroup.Name<G>,
    "streams"
  >]: G extends HttpApiGroup.HttpApiGroup<infer _Id, infer Endpoints, infer Problem, infer _R, infer _Top>
    ? {
        readonly [E in Endpoints as Exclude<
          HttpApiEndpoint.HttpApiEndpoint.Name<E>,
          "followEvents"
        >]: MethodOf<E, Problem>
      }
    : never
}
