import { execFileSync } from "node:child_process"
import { readdirSync, renameSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import { fileForm } from "./support/Scripted.ts"
import type { ServerProcess } from "./support/ServerProcess.ts"
import { post, readiness, serviceUnderTest } from "./support/Service.ts"

const service = serviceUnderTest("file")
let server: ServerProcess
let token: string
beforeAll(async () => {
  server = await service.start()
  token = await service.mint(server.url)
  await readiness(server.url, (lines) => !lines.includes("fail"))
})

/** Sets a limit of the running service, and lifts it at the end: also an ordinary user can do that. */
const withLimit = async (resource: "fsize" | "nofile", limit: number, test: () => Promise<void>) => {
  const set = (soft: string) =>
    execFileSync("prlimit", ["--pid", String(server.process.pid), `--${resource}=${soft}:`])
  const options = ["--pid", String(server.process.pid), `--${resource}`, "--output=SOFT", "--noheadings"]
  const before = execFileSync("prlimit", options, { encoding: "utf8" }).trim()
  set(String(limit))
  try {
    await test()
  } finally {
    set(before)
  }
}

/** Enough for some connections and files, and too few for the pipes of a process. */
const SPARE_DESCRIPTORS = 5

/** The limit of descriptors under which the service can open that many more. */
const limitFor = (spare: number): number => {
  const used = new Set(readdirSync(`/proc/${server.process.pid}/fd`).map(Number))
  let limit = 0
  for (let free = 0; free < spare; limit++) if (!used.has(limit)) free++
  return limit
}

/** The lines of failed checks, as soon as there are any. */
const failures = async (): Promise<ReadonlyArray<string>> => {
  let failed: ReadonlyArray<string> = []
  await readiness(server.url, (lines) => {
    failed = lines.split("\n").filter((line) => line.startsWith("fail"))
    return failed.length > 0
  })
  return failed
}

const isWell = () => readiness(server.url, (lines) => !lines.includes("fail"))

const upload = async () => {
  const headers = { authorization: `Bearer ${token}` }
  return (await fetch(`${server.url}/files`, { method: "POST", headers, body: fileForm("x") })).status
}

const run = () => post(server.url, "/run", token, { prompt: "SAY hello" })

describe("GET /readyz of a service", () => {
  it("that can write no more is red, as its writes fail, and green again when it can", async () => {
    await withLimit("fsize", 0, async () => {
      expect(await failures()).toEqual([
        expect.stringMatching(/^fail database: cannot be written to \(\w+\)/),
        "fail directories: cannot be written to: RUNS_DIR (EFBIG), ACPX_SESSIONS_CWD (EFBIG), FILES_DIR (EFBIG)",
      ])
      expect((await run()).status).toBe(500)
    })
    await isWell()
    expect((await run()).status).toBe(200)
  })

  it("that has no descriptors for another process is red, as its runs fail", async () => {
    await withLimit("nofile", limitFor(SPARE_DESCRIPTORS), async () => {
      expect(await failures()).toContainEqual(
        expect.stringMatching(/^fail processes: none can be started \((EMFILE|EAGAIN)\)/),
      )
      expect((await run()).json.ok).toBe(false)
    })
    await isWell()
    expect((await run()).status).toBe(200)
  })

  it("whose directory of uploads is gone is red, as uploads fail, and says which it is", async () => {
    const files = join(service.dataDir(), "files")
    renameSync(files, `${files}.away`)
    expect(await failures()).toContain("fail directories: cannot be written to: FILES_DIR (ENOENT)")
    expect(await upload()).toBe(500)
    renameSync(`${files}.away`, files)
    await isWell()
    expect(await upload()).toBe(200)
  })

  it("leaves nothing of its trials", () => {
    for (const name of ["runs", "acpx-cwds"]) expect(readdirSync(join(service.dataDir(), name))).toEqual([])
    expect(service.rows("SELECT id FROM write_trials")).toEqual([{ id: 1 }])
  })
})
