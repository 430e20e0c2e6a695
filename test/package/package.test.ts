import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { type Ended, exec, folderWith } from "../support/EmptyFolder.ts"
import { startServerProcess } from "../support/ServerProcess.ts"
import { serviceUnderTest } from "../support/Service.ts"
import { type StandInApi, startStandInApi } from "../support/StandInApi.ts"
import { scriptedClaude } from "../support/TestServer.ts"

/** The package of `npm pack`, installed in an empty directory. */

const ROOT = join(import.meta.dirname, "..", "..")
const packed = mkdtempSync(join(tmpdir(), "clawdforge-packed-"))
let tarball: string
afterAll(() => rmSync(packed, { recursive: true, force: true }))

const folder = folderWith(async () => {
  const { code } = await exec(ROOT, "npm", ["pack", "--pack-destination", packed], {
    // The build needs the checkout's own dependencies.
    PATH: process.env["PATH"] ?? "",
  })
  expect(code).toBe(0)
  tarball = join(packed, readdirSync(packed)[0] ?? "")
  return { clawdforge: `file:${tarball}`, typescript: "7.0.2", "@types/node": "24.19.2" }
})

const STRICT =
  "--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --noEmit --module nodenext --target es2024 --lib es2024,esnext.disposable,dom,dom.iterable --types node --skipLibCheck --allowImportingTsExtensions --ignoreConfig"

const write = (name: string, text: string) => writeFileSync(join(folder.dir(), name), text)
const OK = { code: 0, output: expect.any(String) }

/** The prompts of the examples and the README, and the model's answers. `claude` is the real one. */
const ANSWERS = {
  "Say hello in five words.": "SAY Hello from your own forge",
  "Parse: 2 cups of flour": 'SAY {"qty":2,"unit":"cup"}',
  "How much is that in grams?": "SAY 250",
  "My pancakes take 2 cups of flour for two people.": "SAY Noted.",
  "And for five?": "SAY Five cups.",
  "How much flour is in it?": "READ ATTACHED",
}

const { start, mint } = serviceUnderTest("file")
let provider: StandInApi
let running: Readonly<Record<string, string>>
beforeAll(async () => {
  provider = await startStandInApi(ANSWERS)
  const agent = {
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "stand-in",
    CLAUDE_BIN: "",
    ACPX_BIN: "",
  }
  for (const make of Object.values(TYPED)) make()
  const { url } = await start(agent)
  running = { CLAWDFORGE_URL: url, CLAWDFORGE_TOKEN: await mint(url) }
})
afterAll(() => provider.close())
/** The environment of a client. */
const service = () => running

const copied = (name: string) => {
  cpSync(join(ROOT, "examples", name), join(folder.dir(), name))
  return name
}

/** The code of the README and of the examples, by the file that it is tried in. */
const TYPED = {
  "embed.ts": () => write("embed.ts", blockWith("services(config")),
  "mock.test.ts": () => write("mock.test.ts", blockWith("clawdforge/testing")),
  "ask.ts": () => write("ask.ts", blockWith("forge.stream(")),
  "embedder.ts": () => copied("embedder.ts"),
  "consumer.test.ts": () => copied("consumer.test.ts"),
}
let compiled: Promise<Ended> | undefined

/** The type errors of that file. One compilation checks all files, because the package's types take most of its time. */
const typeErrorsIn = async (name: keyof typeof TYPED) => {
  compiled ??= folder.node(["node_modules/typescript/bin/tsc", ...STRICT.split(" "), ...Object.keys(TYPED)])
  const { code, output } = await compiled
  return code === 0
    ? output
    : output.split("\n").filter((line) => !line.includes(".ts(") || line.includes(name))
}

/** An agent that needs no login, and gives the same answer to every prompt. */
const echo = () => {
  const result =
    '{type:"result",subtype:"success",is_error:false,stop_reason:"end_turn",result:"you said "+message.message.content}'
  const reply = '{type:"control_response",response:{subtype:"success",request_id:message.request_id}}'
  write(
    "echo.mjs",
    `#!/usr/bin/env node
    import { createInterface } from "node:readline"
    createInterface({ input: process.stdin }).on("line", (line) => {
      const message = JSON.parse(line)
      console.log(JSON.stringify(message.type === "control_request" ? ${reply} : ${result}))
    })`,
  )
  const file = join(folder.dir(), "echo.mjs")
  chmodSync(file, 0o755)
  return file
}

/** The code for an embedder and a tester in the README, and for a client in docs. */
const texts = ["README.md", "docs/clients.md"]
  .map((path) => readFileSync(join(ROOT, path), "utf8"))
  .join("\n")
const blocks = [...texts.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? "")
const blockWith = (word: string) => blocks.find((code) => code.includes(word)) ?? ""

describe("the package", () => {
  it("passes the package linters", async () => {
    const bin = join(ROOT, "node_modules", ".bin")
    expect(await exec(ROOT, join(bin, "publint"), ["run", "--strict", tarball])).toEqual(OK)
    expect(await exec(ROOT, join(bin, "attw"), [tarball, "--profile", "esm-only"])).toEqual(OK)
  })

  it("installs no agent, and only the tested version of the SQLite driver", async () => {
    expect(existsSync(join(folder.dir(), "node_modules", "@anthropic-ai"))).toBe(false)
    expect(existsSync(join(folder.dir(), "node_modules", "acpx"))).toBe(false)
    // Exits with 1 if a package is missing, or has a version that another package does not accept.
    const { code, output } = await folder.exec("npm", ["ls", "better-sqlite3", "effect", "--all"])
    expect({ code, output }).toEqual(OK)
    expect(new Set(output.match(/(?<=better-sqlite3@)\S+/g))).toEqual(new Set(["13.2.0"]))
    expect(new Set(output.match(/(?<= effect@)\S+/g)).size).toBe(1)
  })

  it("loads no database and no process code for the API or a client", async () => {
    write(
      "loaded.mjs",
      `import { registerHooks } from "node:module"
      const loaded = []
      registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
      await import(process.argv[2])
      console.log(loaded.filter((url) => /better-sqlite3|child_process/.test(url)).length, loaded.length > 50)`,
    )
    for (const name of ["clawdforge/api", "clawdforge/client"]) {
      expect(await folder.node(["loaded.mjs", name])).toEqual({ code: 0, output: "0 true\n" })
    }
    // The full package loads such modules, so this check can fail.
    expect((await folder.node(["loaded.mjs", "clawdforge"])).output).toMatch(/^[1-9]/)
  })
})

describe("the README and docs, in an empty folder without claude", () => {
  it("embeds: the code type-checks strictly, opens a database and answers a prompt", async () => {
    expect(await typeErrorsIn("embed.ts")).toBe("")
    const env = { CLAUDE_BIN: echo(), DATA_DIR: join(folder.dir(), "embedded") }
    for (const _ of ["once", "again"]) {
      const { code, output } = await folder.node(["embed.ts"], env)
      expect({ code, output }).toEqual({ code: 0, output: "you said Say hello in five words.\n" })
    }
    expect(existsSync(join(folder.dir(), "embedded", "clawdforge.db"))).toBe(true)
  })

  it("mocks: the test type-checks strictly, and passes", async () => {
    expect(await typeErrorsIn("mock.test.ts")).toBe("")
    const { code, output } = await folder.node(["--test", "mock.test.ts"])
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining("pass 1") })
  })

  it("is a client: the code type-checks strictly, and uses the service", async () => {
    expect(await typeErrorsIn("ask.ts")).toBe("")
    const { code, output } = await folder.node(["ask.ts"], service())
    expect({ code, output }).toEqual({
      code: 0,
      output: expect.stringMatching(/qty: 2[\s\S]*250Noted\.\n$/),
    })
  })
})

describe("the examples, with the package", () => {
  it("embed", async () => {
    expect(await typeErrorsIn("embedder.ts")).toBe("")
    expect(await folder.node(["embedder.ts"], { DATA_DIR: join(folder.dir(), "example") })).toEqual({
      code: 0,
      output: '{"words":4} in “Two cups of flour.”\n{"words":1} in “Stir.”\n',
    })
  })

  it("test an app", async () => {
    expect(await typeErrorsIn("consumer.test.ts")).toBe("")
    const { code, output } = await folder.node(["--test", "consumer.test.ts"])
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining("pass 3") })
  })

  it("run a script", async () => {
    const { code, output } = await folder.node([copied("ask.mjs")], service())
    expect({ code, output }).toEqual({
      code: 0,
      output: expect.stringMatching(/Hello from your own forge.* after \d+ ms\nNoted\.\nFive cups\.\n$/),
    })
  })

  it("run a Python script", async () => {
    const PYTHONPATH = join(ROOT, "clients", "python", "src")
    const python = process.env["PYTHON_BIN"] ?? "python3"
    const { code, output } = await folder.exec(python, [copied("ask.py")], {
      ...service(),
      PYTHONPATH,
    })
    expect({ code, output }).toEqual({
      code: 0,
      output: expect.stringMatching(/Hello from your own forge.* after \d+ ms\nNoted\.\nFive cups\.\n$/),
    })
  })

  it("tour with curl", async () => {
    copied("recipe.txt")
    const { code, output } = await folder.exec("sh", [copied("tour.sh")], service())
    expect({ code, output }).toEqual(OK)
    for (const told of ["Hello from your own forge", "\\t2 cups of flour", "Noted.", "Five cups."]) {
      expect(output).toContain(told)
    }
    expect(output).toMatch(/^event: result$/m)
    expect(output).toContain('"already_closed":false')
  })

  it("are all tested", () => {
    const tried = ["README.md", "ask.mjs", "ask.py", "consumer.test.ts", "embedder.ts", "tour.sh"]
    const files = ["recipe.pdf", "recipe.txt"]
    expect(readdirSync(join(ROOT, "examples")).toSorted()).toEqual([...tried, ...files].toSorted())
  })
})

describe("the command, of the package", () => {
  it("prints its version, checks the machine, and runs a prompt", async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"))
    const command = join("node_modules", ".bin", "clawdforge")
    expect((await folder.exec(command, ["--version"])).output.trim()).toBe(version)
    const doctor = await folder.exec(command, ["doctor", "--json"], { DATA_DIR: "data", BIND_PORT: "0" })
    expect(JSON.parse(doctor.output).findings).toContainEqual(
      expect.objectContaining({
        name: "claude",
        level: "fault",
        remedy: expect.stringContaining("npm install"),
      }),
    )
    expect(await folder.exec(command, ["run", "SAY hello"], service())).toEqual({
      code: 0,
      output: "hello\n",
    })
  })

  it("starts the service", async () => {
    const command = join(folder.dir(), "node_modules", "clawdforge", "bin", "clawdforge.mjs")
    const other = mkdtempSync(join(tmpdir(), "clawdforge-test-"))
    try {
      const server = await startServerProcess({ DATA_DIR: other, CLAUDE_BIN: scriptedClaude }, command)
      expect(await (await fetch(`${server.url}/healthz`)).json()).toMatchObject({ ok: true })
      // Ajv runs in a worker thread, whose file has another path in the package.
      const token = await mint(server.url, other)
      const asked = await fetch(`${server.url}/run`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({
          prompt: 'SAY {"qty":2}',
          output_schema: { type: "object", required: ["qty"] },
        }),
      })
      expect(await asked.json()).toMatchObject({ ok: true, result: { qty: 2 } })
      expect(await server.end("SIGTERM")).toBe(0)
    } finally {
      rmSync(other, { recursive: true, force: true, maxRetries: 5 })
    }
  })
})
