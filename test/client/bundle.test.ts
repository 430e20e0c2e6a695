import { join } from "node:path"
import { createContext, runInContext } from "node:vm"
import { describe, expect, it } from "vitest"
import { build } from "esbuild"

/** The browser bundles of `./api` and `./client`. */

/** The modules that may be in a bundle: the declaration, its parts, and the parser of addresses. */
const ALLOWED =
  /^src\/(api\.ts|client\.ts|client\/.*|domain\/.*|http\/groups\/.*|http\/(Api|Problem|sse\/EventStream)\.ts|services\/access\/Allowlist\.ts)$/

const root = join(import.meta.dirname, "../..")

const bundle = async (entry: string) => {
  const { metafile, outputFiles } = await build({
    entryPoints: [join(root, entry)],
    absWorkingDir: root,
    bundle: true,
    format: "iife",
    globalName: "client",
    platform: "browser",
    metafile: true,
    write: false,
    // A module that cannot be bundled for a browser stays an import, which the test then finds.
    external: ["node:*"],
    logLevel: "silent",
  })
  const [output] = Object.values(metafile.outputs)
  return {
    inputs: Object.keys(metafile.inputs),
    imports: output?.imports.map(({ path }) => path),
    text: outputFiles[0]?.text ?? "",
  }
}

const bundles = new Map<string, ReturnType<typeof bundle>>()

/** The bundle of that entry, made once. */
const bundled = (entry: string) => {
  const made = bundles.get(entry) ?? bundle(entry)
  bundles.set(entry, made)
  return made
}

describe.each(["src/api.ts", "src/client.ts"])("%s", (entry) => {
  it("bundles for browsers: no Node module, no driver, no code of the service", async () => {
    const { inputs, imports, text } = await bundled(entry)
    expect(imports).toEqual([])
    expect(text).not.toMatch(/["']node:/)
    expect(
      inputs.filter((path) =>
        /^\(disabled\)|better-sqlite3|platform-node|\/ajv\/|busboy|negotiator/.test(path),
      ),
    ).toEqual([])
    const own = inputs.filter((path) => path.startsWith("src/"))
    expect(own).toContain("src/http/Api.ts")
    expect(own.filter((path) => !ALLOWED.test(path))).toEqual([])
  })
})

it("works without the globals of Node", async () => {
  const { text } = await bundled("src/client.ts")
  const asked: Array<string> = []
  const health = {
    ok: true,
    claude_present: true,
    claude_version: null,
    acpx_present: true,
    acpx_version: null,
  }
  const fetch = (url: URL) => {
    asked.push(String(url))
    return Promise.resolve(Response.json({ ...health, open_sessions: 0 }))
  }
  const web = { AbortController, Blob, Event, EventTarget, File, FormData, Headers, ReadableStream, Response }
  const more = {
    TextDecoder,
    TextEncoder,
    URL,
    URLSearchParams,
    clearTimeout,
    crypto,
    performance,
    setTimeout,
  }
  const context = createContext({ ...web, ...more, fetch })
  runInContext(text, context)
  const answer = await runInContext(
    'new client.Forge({ baseUrl: "http://forge.test", token: "cf_some" }).healthz()',
    context,
  )
  expect(answer).toMatchObject(health)
  expect(asked).toEqual(["http://forge.test/healthz"])
})
