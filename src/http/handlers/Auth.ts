import { HttpServerRequest } from "@effect/platform"
import { Effect, Layer, Option, Redacted } from "effect"
import { Unauthorized } from "../../domain/Failure.ts"
import { App, OPERATOR } from "../../domain/Viewer.ts"
import { Admission } from "../../services/access/Admission.ts"
import { RequestMemory } from "../../services/memory/MemoryBudget.ts"
import { AdminAuth, AppAuth, ReaderAuth } from "../groups/Auth.ts"
import { problemOf } from "../Problem.ts"
import { note, originOf, orProblem, requestIdOf } from "../RequestContext.ts"

/** Returns the bearer token of a request. The framework's own reader does not check the scheme. */
const bearerOf = (request: HttpServerRequest.HttpServerRequest): Option.Option<Redacted.Redacted> =>
  Option.fromNullable(/^bearer +(\S+)$/i.exec(request.headers["authorization"]?.trim() ?? "")?.[1]).pipe(
    Option.map(Redacted.make),
  )

/** Admits the app of a request, and adds its name to the log line. */
const admitApp = (admission: typeof Admission.Service) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const origin = originOf(request)
    const token = yield* orProblem(admission.admitApp(bearerOf(request), origin))
    yield* note("token", token.name)
    ;(yield* RequestMemory).assign(token.id)
    return { token, origin }
  })

export const AppAuthLive = Layer.effect(
  AppAuth,
  Effect.map(Admission, (admission) => ({ app: () => admitApp(admission) })),
)

export const ReaderAuthLive = Layer.effect(
  ReaderAuth,
  Effect.map(Admission, (admission) => ({
    admin: () =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (!admission.isAdmin(bearerOf(request))) {
          return yield* Effect.fail(problemOf(new Unauthorized(), requestIdOf(request)))
        }
        yield* note("token", "(admin)")
        return { viewer: OPERATOR, origin: originOf(request) }
      }),
    app: () =>
      Effect.map(admitApp(admission), ({ token, origin }) => ({
        viewer: App({ tokenId: token.id }),
        origin,
      })),
  })),
)

export const AdminAuthLive = Layer.effect(
  AdminAuth,
  Effect.map(Admission, (admission) => ({
    admin: () =>
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const origin = originOf(request)
        yield* orProblem(admission.admitAdmin(bearerOf(request), origin))
        yield* note("token", "(admin)")
        return { origin }
      }),
  })),
)
