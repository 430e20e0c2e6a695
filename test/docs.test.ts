import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { settingNames } from "../src/infra/Config.ts"
import { RUN_STATES } from "../src/domain/Run.ts"

/** The texts for people, against the repository that they describe. */

const ROOT = join(import.meta.dirname, "..")
const FILES = [
  "README.md",
  "AGENTS.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
]

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8")
const withoutCodeBlocks = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, "")
const isFile = (path: string): boolean => existsSync(join(ROOT, path)) && statSync(join(ROOT, path)).isFile()

const FOLDERS = /^(?:src|test|docs|demo|bench|examples|clients|scripts|bin|\.ci)(?:\/|$)/
const FILE_NAME = /^[\w.@/-]+\.(?:ts|mjs|sh|md|json|yml|toml|py)$/
/** A file that agents look for in their own directories. */
const FOREIGN: ReadonlySet<string> = new Set(["CLAUDE.md"])

/** The code spans of a text that name a file or a folder of this repository. */
const pathsIn = (text: string): ReadonlyArray<string> =>
  [...withoutCodeBlocks(text).matchAll(/`([^`\s]+)`/g)]
    .map(([, code = ""]) => code)
    .filter((code) => (FOLDERS.test(code) || FILE_NAME.test(code)) && !FOREIGN.has(code))

/** The anchors that GitHub gives to the headings of a text. A repeated heading gets a number. */
const anchorsOf = (text: string): ReadonlySet<string> => {
  const seen = new Map<string, number>()
  const anchors = [...withoutCodeBlocks(text).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) => {
    const anchor = heading
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-")
    const before = seen.get(anchor) ?? 0
    seen.set(anchor, before + 1)
    return before === 0 ? anchor : `${anchor}-${before}`
  })
  return new Set(anchors)
}

const linksIn = (text: string): ReadonlyArray<string> =>
  [...withoutCodeBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))

describe.each(FILES)("%s", (file) => {
  const text = read(file)

  it("names files and folders that exist, from the root of the repository", () => {
    expect(pathsIn(text).filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  })

  it("names identifiers that are in the file that it names with them", () => {
    const named = [...withoutCodeBlocks(text).matchAll(/`([A-Za-z_$][\w$]*)`\s+in\s+`([^`\s]+)`/g)]
    const wrong = named
      .map(([, name = "", path = ""]) => ({ name, path }))
      .filter(({ path }) => FOLDERS.test(path) || FILE_NAME.test(path))
      .filter(({ name, path }) => !isFile(path) || !new RegExp(`\\b${name}\\b`).test(read(path)))
    expect(wrong).toEqual([])
  })

  it("has links to files and headings that exist", () => {
    const broken = linksIn(text).filter((link) => {
      const [path = "", anchor] = link.split("#")
      const target = path === "" ? file : join(dirname(file), path)
      if (!existsSync(join(ROOT, target))) return true
      return anchor !== undefined && !anchorsOf(read(target)).has(anchor)
    })
    expect(broken).toEqual([])
  })
})

describe("commands", () => {
  it("are scripts of package.json, wherever a text names one", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Readonly<Record<string, string>> }
    const named = FILES.flatMap((file) =>
      [...read(file).matchAll(/npm run (?:-s )?([\w:]+)/g)].map(([, name = ""]) => ({ file, name })),
    )
    expect(named.filter(({ name }) => !(name in scripts))).toEqual([])
  })
})

describe("README.md", () => {
  it("has at most 160 lines", () => {
    expect(read("README.md").trimEnd().split("\n").length).toBeLessThanOrEqual(160)
  })

  it("has a link to every page of docs", () => {
    const links = new Set(linksIn(read("README.md")).map((link) => link.split("#")[0]))
    expect(FILES.filter((file) => file.startsWith("docs/") && !links.has(file))).toEqual([])
  })
})

describe("docs/configuration.md", () => {
  it("has every variable that the service reads, and .env.example has no other", () => {
    const known = [...settingNames]
    expect(known.length).toBeGreaterThan(30)
    const documented = new Set(
      [...read("docs/configuration.md").matchAll(/`([A-Z][A-Z_]+)`/g)].map(([, name]) => name),
    )
    expect(known.filter((name) => !documented.has(name))).toEqual([])
    const examples = [...read(".env.example").matchAll(/^#?([A-Z_]+)=/gm)].map(([, name = ""]) => name)
    expect(examples.filter((name) => !known.includes(name) && name !== "ANTHROPIC_API_KEY")).toEqual([])
  })
})

it("draws the moves between states that the state table has", () => {
  const [, diagram = ""] = /```mermaid\nstateDiagram-v2\n([^]*?)```/.exec(read("docs/lifecycle.md")) ?? []
  const drawn = [...diagram.matchAll(/^ *(\w+) --> (\w+)/gm)].map(([, from, to]) => `${from} -> ${to}`)
  const moves = Object.entries(RUN_STATES).flatMap(([from, { next }]) => next.map((to) => `${from} -> ${to}`))
  expect([...drawn].sort()).toEqual(moves.sort())
})
