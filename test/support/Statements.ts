import { SqlClient } from "@effect/sql"
import { Effect, Tracer } from "effect"
import { expect } from "@effect/vitest"

/** Collects the text of each statement from the driver's spans. */
const collecting = (statements: Set<string>) =>
  Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      return {
        _tag: "Span",
        name,
        spanId: "0",
        traceId: "0",
        sampled: true,
        parent,
        context,
        links,
        kind,
        status: { _tag: "Started", startTime },
        attributes,
        attribute: (key, value) => {
          attributes.set(key, value)
          if (key === "db.query.text") statements.add(String(value))
        },
        event: () => {},
        addLinks: () => {},
        end: () => {},
      }
    },
    context: (f) => f(),
  })

/** Expects that each statement finds its rows by an index and sorts nothing. Returns the statements. */
export const expectNoScan = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const statements = new Set<string>()
    yield* Effect.withTracer(effect, collecting(statements))
    const asked = [...statements].filter((text) => /^\s*(SELECT|UPDATE|DELETE)/.test(text))
    for (const text of asked) {
      const values = Array.from(text.matchAll(/\?/g), () => null)
      const plan = yield* sql.unsafe<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, values)
      for (const { detail } of plan) {
        expect(detail, text).not.toMatch(/^SCAN (?!CONSTANT ROW|json_each)|TEMP B-TREE/)
      }
    }
    return asked
  })
