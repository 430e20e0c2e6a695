import type { HttpApi, HttpApiEndpoint, HttpApiGroup } from "@effect/platform"
import type { Brand, Effect, Types } from "effect"
import type { Api, commonProblems } from "../http/Api.ts"
import type { ClientError, Code, ErrorOf } from "./Errors.ts"
import type { AnswerHead } from "./Transport.ts"

/** The types of the client's methods, derived from the declaration of the API: requests, answers and failures. */

type Groups = typeof Api extends HttpApi.HttpApi<infer _Id, infer G, infer _E, infer _R> ? G : never

type CodeIn<Problem> = Extract<Problem, { readonly code: Code }>["code"]
/** The failures of a route that declares these problems. */
export type Failures<Problem> = ErrorOf<CodeIn<Problem | typeof commonProblems.Type>> | ClientError

/** A client writes branded texts, such as ids, as plain text. The route's schema checks them when they are sent. */
type Unbranded<T> = T extends Brand.Brand<infer _K> ? Brand.Brand.Unbranded<T> : T
type UnbrandedFields<T> = T extends FormData ? T : { readonly [K in keyof T]: Unbranded<T[K]> }

/** Makes a part of the request optional if all fields of that part are optional. */
type WithOptionalParts<Request> = Types.Simplify<
  { readonly [K in keyof Request as {} extends Request[K] ? never : K]: UnbrandedFields<Request[K]> } & {
    readonly [K in keyof Request as {} extends Request[K] ? K : never]?: UnbrandedFields<Request[K]>
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
    ? WithOptionalParts<Omit<Exclude<Request, void>, "withResponse">>
    : never

/** A method of the client. With `withHead: true` it answers a pair: the body, and what the answer's head says. */
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

/** The answer of a method, without its head. */
export type AnswerOf<M extends (...args: never) => Effect.Effect<unknown, unknown>> = Effect.Effect.Success<
  ReturnType<M>
>

/** A method for each route, by its group and name, except for routes that only stream: those are in `Streams`. */
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
