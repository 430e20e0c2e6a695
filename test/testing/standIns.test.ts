import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { build } from "esbuild"
import { Connections } from "../../src/http/sse/Connections.ts"
import { RequestBody } from "../../src/http/RequestBody.ts"
import * as Service from "../../src/index.ts"
import { AcpxRecords } from "../../src/services/agents/acpx/AcpxRecords.ts"
import { SessionDirs } from "../../src/services/sessions/SessionDirs.ts"
import * as Mock from "../../src/testing.ts"

const SRC = join(import.meta.dirname, "..", "..", "src")

const app = {
  id: "0".repeat(26) as never,
  name: "app" as never,
  ipCidrs: [],
  createdAt: 0,
  lastUsedAt: null,
  revokedAt: null,
}
const versions = { claude: Option.none(), acpx: Option.none() }

/** What stands in for each service, by itself. */
const standIns = [
  Mock.acpxRecords(),
  Mock.inMemoryServer,
  Mock.webRequestBody({ json: 1, form: 1 }),
  Mock.acpxClient(() => Effect.succeed("ok")),
  Mock.admitEverybody(app),
  Mock.claudeRunner(() => Effect.succeed(Mock.claudeAnswer("ok"))),
  Mock.clis(versions),
  Mock.credentialFile(),
  Mock.loginMonitor(),
  Mock.disks(1),
  Mock.fileContents(),
  Mock.idempotency,
  Mock.ids,
  Mock.ledger(),
  Mock.journal,
  Mock.noFiles,
  Mock.outputSchemas,
  Mock.processes(() => ({ lines: [], exit: { code: 0, signal: null } })),
  Mock.readiness(),
  Mock.refusals(),
  Mock.retention,
  Mock.revocation,
  Mock.runEngine,
  Mock.runs(Effect.never),
  Mock.secrets,
  Mock.sessionDirs(),
  Mock.sessionPool(() => Effect.never).pipe(Layer.provide([Mock.ids, Mock.revocation])),
  Mock.sweeper(),
  Mock.tokenStore(new Map()),
  Mock.workDirs,
] as const

/** What the package offers that is a service, and the ports that it does not offer. */
const tags = [
  ...Object.values(Service).filter(Context.isTag),
  AcpxRecords,
  Connections,
  RequestBody,
  SessionDirs,
] as ReadonlyArray<Context.Tag<unknown, unknown>>

/** The keys of what a layer gives. */
const given = <A, E>(layer: Layer.Layer<A, E>) =>
  Effect.map(Effect.scoped(Layer.build(layer)), ({ unsafeMap }) => new Set(unsafeMap.keys()))

describe("clawdforge/testing", () => {
  it.effect("has a stand-in for each service that the package has", () =>
    Effect.gen(function* () {
      expect(tags.length).toBeGreaterThan(20)
      const keys = yield* given(Layer.mergeAll(...standIns))
      expect(tags.map(({ key }) => key).filter((key) => !keys.has(key))).toEqual([])
    }),
  )

  it.effect("has all of them at once, as they are in production, in a whole clawdforge", () =>
    Effect.gen(function* () {
      const keys = yield* given(Mock.forge())
      const left = tags.map(({ key }) => key).filter((key) => !keys.has(key))
      // What only speaks to acpx has nothing to do there; what only the API uses is not given on.
      expect(left).toEqual([AcpxRecords.key, RequestBody.key])
    }),
  )

  it("needs no Node, no driver and no process: it can be bundled for anywhere", async () => {
    const { metafile } = await build({
      entryPoints: [join(SRC, "testing.ts")],
      bundle: true,
      write: false,
      metafile: true,
      format: "esm",
      // Anything of Node's would fail to resolve.
      platform: "neutral",
      mainFields: ["module", "main"],
      conditions: ["import", "module"],
      logLevel: "silent",
    })
    const inputs = Object.keys(metafile.inputs)
    expect(inputs.some((input) => input.endsWith("src/http/Server.ts"))).toBe(true)
    expect(inputs.filter((input) => /better-sqlite3|platform-node|sql-sqlite|busboy/.test(input))).toEqual([])
    expect(
      Object.values(metafile.inputs).flatMap(({ imports }) => imports.filter(({ external }) => external)),
    ).toEqual([])
  })

  it("leaves nothing behind that keeps a process from its end", async () => {
    const code = `
      import { startForge } from ${JSON.stringify(join(SRC, "testing.ts"))}
      process.on("exit", (code) => console.log("exit", code))
      const forge = await startForge()
      const run = (prompt, accept) => forge.fetch("/run", {
        method: "POST",
        headers: { authorization: "Bearer " + forge.token, "content-type": "application/json", accept },
        body: JSON.stringify({ prompt }),
      })
      const held = [forge.hold(), forge.hold()]
      const answer = run("never answered", "application/json").catch(() => "left")
      await held[0].started
      const reader = (await run("never ended", "text/event-stream")).body.getReader()
      await reader.read()
      await held[1].started
      await forge.dispose()
      console.log(await answer)`
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", code], {
      timeout: 150_000,
    })
    expect((await run).stdout).toBe("left\nexit 0\n")
  })
})
