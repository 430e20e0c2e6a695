// First: it wraps the driver before anything opens a database.
import { forgetStatements, type SqlStatements, statementsSoFar } from "../support/SqlStatements.ts"
import { expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { scriptedClaude, startServer } from "../support/TestServer.ts"
import { scriptedServer } from "../support/Sessions.ts"

/** Work is done once: how many statements and commits a request costs, with its authentication. */

/**
 * Counts the statements of an act that was done before: each statement is prepared once. An act that takes longer than
 * messages may wait has one commit more: the cheapest of ten counts.
 */
const counted = <A, E>(act: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    yield* act
    yield* act
    const counts: Array<SqlStatements> = []
    for (let n = 0; n < 10; n++) {
      forgetStatements()
      yield* act
      counts.push(statementsSoFar())
    }
    return counts.reduce((best, one) => (one.executed.length < best.executed.length ? one : best))
  })

it.scopedLive("a run that nobody follows takes at most 12 statements in 2 commits, and prepares none", () =>
  Effect.gen(function* () {
    const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
    const token = yield* server.mint("app")
    const { prepared, executed, commits } = yield* counted(
      Effect.map(server.run(token, { prompt: "STREAM 5 0" }), ({ status }) => expect(status).toBe(200)),
    )
    expect(prepared).toEqual([])
    expect(executed.length, executed.join("\n")).toBeLessThanOrEqual(12)
    expect(commits).toBe(2)
    // The answer is made of what passed by.
    expect(executed.filter((sql) => /SELECT[^]*FROM (stream_events|runs|events)/.test(sql))).toEqual([])
  }),
)

it.scopedLive("a turn that nobody follows takes at most 18 statements in 2 commits, and prepares none", () =>
  Effect.gen(function* () {
    const app = yield* (yield* scriptedServer({})).app("app")
    const session = yield* app.opened()
    const { prepared, executed, commits } = yield* counted(app.say(session, "hello"))
    expect(prepared).toEqual([])
    expect(executed.length, executed.join("\n")).toBeLessThanOrEqual(18)
    expect(commits).toBe(2)
    expect(executed.filter((sql) => /SELECT[^]*FROM (stream_events|runs|events)/.test(sql))).toEqual([])
  }),
)
