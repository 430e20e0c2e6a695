import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { inspect } from "node:util"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { AgentSessionRef } from "../../src/domain/Session.ts"
import * as AcpxRecordFiles from "../../src/infra/acp/AcpxRecordFiles.ts"
import { AcpxRecords } from "../../src/services/agents/acpx/AcpxRecords.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

it.scoped("has acpx find a session whose agent is started in another way now, and resume it", () =>
  Effect.gen(function* () {
    const home = yield* temporaryDirectory
    const dir = join(home, ".acpx", "sessions")
    mkdirSync(dir, { recursive: true })
    const file = join(dir, "r-1.json")
    const record = { acp_session_id: "s-1", cwd: "/work", agent_command: "old", lastSeq: 3 }
    writeFileSync(file, JSON.stringify(record))
    const prepare = (ref: string, agent: string, mustResume: boolean) =>
      Effect.flatMap(AcpxRecords, (records) =>
        records.prepare(ref as AgentSessionRef, agent, mustResume),
      ).pipe(Effect.provide(AcpxRecordFiles.layer({ HOME: home })))
    const read = () => JSON.parse(readFileSync(file, "utf8"))
    expect(yield* prepare("r-1", "new", false)).toBe(true)
    expect(read()).toEqual({ ...record, agent_command: "new" })
    expect(yield* prepare("r-1", "newer", true)).toBe(true)
    const resumed = read()
    expect(resumed).toMatchObject({ ...record, agent_command: "newer", imported_from: { record_id: "r-1" } })
    expect(yield* prepare("r-1", "newest", true)).toBe(true)
    expect(read()).toEqual({ ...resumed, agent_command: "newest" })
    expect(yield* prepare("r-2", "new", false)).toBe(false)
  }),
)

it.scoped("does not quote a broken record, because it may have prompts in it", () =>
  Effect.gen(function* () {
    const home = yield* temporaryDirectory
    const dir = join(home, ".acpx", "sessions")
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, "r-1.json"), '{"prompt":"the secret plan')
    writeFileSync(join(dir, "r-2.json"), "the secret plan")
    const failures = yield* Effect.forEach(["r-1", "r-2"], (ref) =>
      Effect.flatMap(AcpxRecords, (records) => Effect.flip(records.agentRef(ref as AgentSessionRef))),
    ).pipe(Effect.provide(AcpxRecordFiles.layer({ HOME: home })))
    expect(failures.map(({ _tag }) => _tag)).toEqual(["StorageFailed", "StorageFailed"])
    expect(inspect(failures, { depth: 9 })).not.toContain("secret")
  }),
)
