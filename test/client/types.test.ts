import { describe, expectTypeOf, it } from "vitest"
import type { Effect, Stream } from "effect"
import type {
  Code,
  ConnectionError,
  DeadlineError,
  ErrorOf,
  ForgeMethods,
  Forge,
  NotFoundError,
  PoolFullError,
  RunEvent,
  SessionClosedError,
  RunAnswer,
  UnexpectedAnswerError,
} from "../../src/client.ts"

/** The client's types. */

type FailureOf<M extends (...args: never) => Effect.Effect<unknown, unknown>> = Effect.Effect.Error<
  ReturnType<M>
>
type CodeOf<M extends (...args: never) => Effect.Effect<unknown, unknown>> =
  FailureOf<M> extends infer E ? (E extends { readonly code: infer C } ? C : never) : never
type ClientCode = "connection_failed" | "deadline_exceeded" | "unexpected_answer"
type Anywhere = "invalid_request" | "ip_not_allowed" | "origin_not_allowed" | "not_acceptable" | "internal"

describe("the types of the client", () => {
  it("have the codes of each route", () => {
    expectTypeOf<CodeOf<ForgeMethods["run"]["run"]>>().toEqualTypeOf<
      | ClientCode
      | Anywhere
      | "unauthorized"
      | "model_not_found"
      | "not_found"
      | "idempotency_conflict"
      | "gone"
      | "rate_limited"
      | "billing"
      | "run_failed"
      | "agent_unavailable"
      | "not_logged_in"
      | "overloaded"
      | "shutting_down"
      | "timeout"
      | "payload_too_large"
      | "request_timeout"
      | "unsupported_media_type"
    >()
    expectTypeOf<CodeOf<ForgeMethods["runs"]["readRun"]>>().toEqualTypeOf<
      ClientCode | Anywhere | "unauthorized" | "not_found"
    >()
    expectTypeOf<PoolFullError>().toExtend<FailureOf<ForgeMethods["sessions"]["openSession"]>>()
    expectTypeOf<SessionClosedError>().toExtend<FailureOf<ForgeMethods["sessions"]["takeTurn"]>>()
    expectTypeOf<SessionClosedError>().not.toExtend<FailureOf<ForgeMethods["run"]["run"]>>()
    expectTypeOf<FailureOf<ForgeMethods["system"]["health"]>>().toEqualTypeOf<
      ErrorOf<Anywhere> | ConnectionError | DeadlineError | UnexpectedAnswerError
    >()
    expectTypeOf<ErrorOf<"not_found">>().toEqualTypeOf<NotFoundError>()
    expectTypeOf<ErrorOf<Code>["code"]>().toEqualTypeOf<Code>()
  })

  it("have the requests and answers of each route", () => {
    expectTypeOf<Parameters<ForgeMethods["runs"]["listRuns"]>>().not.toEqualTypeOf<[]>()
    expectTypeOf<{ payload: { prompt: string; model: null } }>().toExtend<
      Parameters<ForgeMethods["run"]["run"]>[0]
    >()
    expectTypeOf<{ payload: { model: string } }>().not.toExtend<Parameters<ForgeMethods["run"]["run"]>[0]>()
    expectTypeOf<{ payload: { prompt: number } }>().not.toExtend<Parameters<ForgeMethods["run"]["run"]>[0]>()
    expectTypeOf<{ payload: { agent: string } }>().toExtend<
      NonNullable<Parameters<ForgeMethods["sessions"]["openSession"]>[0]>
    >()
    expectTypeOf<{ payload: FormData }>().toExtend<Parameters<ForgeMethods["files"]["upload"]>[0]>()
    expectTypeOf<Effect.Effect.Success<ReturnType<ForgeMethods["admin"]["listTokens"]>>>().toHaveProperty(
      "tokens",
    )
    expectTypeOf<Stream.Stream.Success<ReturnType<ForgeMethods["streams"]["run"]>>>().toEqualTypeOf<
      RunEvent<RunAnswer>
    >()
    expectTypeOf<keyof ForgeMethods>().toEqualTypeOf<
      "run" | "runs" | "files" | "sessions" | "events" | "maintenance" | "admin" | "system" | "streams"
    >()
    expectTypeOf<Awaited<ReturnType<Forge["run"]>>["result"]>().toBeUnknown()
    expectTypeOf<Awaited<ReturnType<Forge["run"]>>["run_id"]>().toBeString()
    expectTypeOf<Awaited<ReturnType<Forge["runs"]["get"]>>["status"]>().toEqualTypeOf<
      "queued" | "running" | "completed" | "failed" | "cancelled" | "timed_out" | "lost"
    >()
  })
})
