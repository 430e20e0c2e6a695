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

/** The package as `npm pack` makes it, in a folder where there is nothing else. */

const ROOT = join(import.meta.dirname, "..", "..")
const packed = mkdtempSync(join(tmpdir(), "clawdforge-packed-"))
let tarball: string
afterAll(() => rmSync(packed, { recursive: true, force: true }))

const folder = folderWith(async () => {
  const { code } = await exec(ROOT, "npm", ["pack", "--pack-destination", packed], {
    // Compiling needs what is installed here.
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

/** What the examples and the README ask, and what the model answers: `claude` is the real one. */
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
/** What a client of the service has in its environment. */
const service = () => running

const copied = (name: string) => {
  cpSync(join(ROOT, "examples", name), join(folder.dir(), name))
  return name
}

/** The code of the README and of the examples, by the file in which it is tried. */
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

/** An agent that needs no login: whatever it is asked. */
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

/** The README's code, by the number of its block. */
const blocks = [...readFileSync(join(ROOT, "README.md"), "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(
  ([, code]) => code ?? "",
)
const blockWith = (word: string) => blocks.find((code) => code.includes(word)) ?? ""

describe("the package", () => {
  it("has nothing against it by those who look at packages", async () => {
    const bin = join(ROOT, "node_modules", ".bin")
    expect(await exec(ROOT, join(bin, "publint"), ["run", "--strict", tarball])).toEqual(OK)
    expect(await exec(ROOT, join(bin, "attw"), [tarball, "--profile", "esm-only"])).toEqual(OK)
  })

  it("brings no agent, and the one SQLite driver that it was tried with", async () => {
    expect(existsSync(join(folder.dir(), "node_modules", "@anthropic-ai"))).toBe(false)
    expect(existsSync(join(folder.dir(), "node_modules", "acpx"))).toBe(false)
    // Exits with 1 for what is missing, or not of the version that somebody asks for.
    const { code, output } = await folder.exec("npm", ["ls", "better-sqlite3", "effect", "--all"])
    expect({ code, output }).toEqual(OK)
    expect(new Set(output.match(/(?<=better-sqlite3@)\S+/g))).toEqual(new Set(["13.2.0"]))
    expect(new Set(output.match(/(?<= effect@)\S+/g)).size).toBe(1)
  })

  it("loads neither a database nor processes for who wants the API or a client", async () => {
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
    // Without that it would say nothing.
    expect((await folder.node(["loaded.mjs", "clawdforge"])).output).toMatch(/^[1-9]/)
  })
})

describe("the README, in an empty folder without claude", () => {
  it("embeds: its lines type-check strictly, open a database and answer a prompt", async () => {
    expect(await typeErrorsIn("embed.ts")).toBe("")
    const env = { CLAUDE_BIN: echo(), DATA_DIR: join(folder.dir(), "embedded") }
    for (const _ of ["once", "again"]) {
      const { code, output } = await folder.node(["embed.ts"], env)
      expect({ code, output }).toEqual({ code: 0, output: "you said Say hello in five words.\n" })
    }
    expect(existsSync(join(folder.dir(), "embedded", "clawdforge.db"))).toBe(true)
  })

  it("mocks: its test type-checks strictly, and passes", async () => {
    expect(await typeErrorsIn("mock.test.ts")).toBe("")
    const { code, output } = await folder.node(["--test", "mock.test.ts"])
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining("pass 1") })
  })

  it("asks: its client type-checks strictly, and asks the service", async () => {
    expect(await typeErrorsIn("ask.ts")).toBe("")
    const { code, output } = await folder.node(["ask.ts"], service())
    expect({ code, output }).toEqual({
      code: 0,
      output: expect.stringMatching(/qty: 2[\s\S]*result[\s\S]*Noted\.\n$/),
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

  it("ask from a script", async () => {
    const { code, output } = await folder.node([copied("ask.mjs")], service())
    expect({ code, output }).toEqual({
      code: 0,
      output: expect.stringMatching(/Hello from your own forge.* after \d+ ms\nNoted\.\n[\s\S]* result\n$/),
    })
  })

  it("ask from Python", async () => {
    const PYTHONPATH = join(ROOT, "clients", "python", "src")
    const python = process.env["PYTHON_BIN"] ?? "python3"
    const { code, output } = await folder.exec(python, [copied("ask.py")], {
      ...service(),
      PYTHONPATH,
    })
    expect({ code, output }).toEqual({
      code: 0,
      output: expect.stringMatching(/Hello from your own forge.* after \d+ ms\nNoted\.\n[\s\S]* result\n$/),
    })
  })

  it("tour with curl", async () => {
    const { code, output } = await folder.exec("sh", [copied("tour.sh")], service())
    expect({ code, output }).toEqual(OK)
    for (const told of [
      "Hello from your own forge",
      "tool said: 1\\t2 cups of flour",
      "Noted.",
      "Five cups.",
    ]) {
      expect(output).toContain(told)
    }
    expect(output).toMatch(/^event: result$/m)
    expect(output).toContain('"already_closed":false')
  })

  it("are all of them tried", () => {
    const tried = ["README.md", "ask.mjs", "ask.py", "consumer.test.ts", "embedder.ts", "tour.sh"]
    expect(readdirSync(join(ROOT, "examples")).toSorted()).toEqual(tried)
  })
})

describe("the command, of the package", () => {
  it("has its version, looks at the machine, and asks", async () => {
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
      // Ajv runs in a thread of its own, whose file is another one there.
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
