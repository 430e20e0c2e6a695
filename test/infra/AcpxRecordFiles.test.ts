import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { inspect } from "node:util"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { AgentSessionRef } from "../../src/domain/Session.ts"
import * as AcpxRecordFiles from "../../src/infra/acp/AcpxRecordFiles.ts"
import { AcpxRecords } from "../../src/services/agents/acpx/AcpxRecords.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

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
