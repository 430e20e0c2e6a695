import { readFileSync, statSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, type Scope, Stream } from "effect"
import * as ProcessGroups from "../../src/infra/processes/ProcessGroups.ts"
import { Processes } from "../../src/services/agents/Processes.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

/** Child processes of a service with a new data directory. */
const withProcesses = <A, E>(use: (dataDir: string) => Effect.Effect<A, E, Processes | Scope.Scope>) =>
  Effect.scoped(
    Effect.flatMap(temporaryDirectory, (dir) => Effect.provide(use(dir), ProcessGroups.layer(dir))),
  )

/** Starts a shell that ends with the scope. Returns the first line that it prints. */
const shell = (words: string) =>
  Effect.gen(function* () {
    const { spawn } = yield* Processes
    const env = { PATH: process.env["PATH"] ?? "" }
    const { output } = yield* spawn({ command: "sh", args: ["-c", words], cwd: "/", env })
    return Option.getOrThrow(yield* Stream.runHead(Stream.splitLines(Stream.decodeText(output))))
  })

/** Starts a shell that prints a pid, ends the shell, and returns whether a process with that pid is left. */
const survives = (words: string) =>
  withProcesses(() =>
    Effect.map(Effect.scoped(shell(words)), (pid) => {
      expect(pid).toMatch(/^[1-9][0-9]*$/)
      return isAlive(pid)
    }),
  )

const isAlive = (pid: string): boolean => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

/** Executes programs again and again: in the middle of an `exec`, a process has no environment. */
const executing = 'exec sh -c "$0" "$0"'

describe("a process", () => {
  it.live("has a marker in its environment that names its owner and the process", () =>
    withProcesses((dataDir) =>
      Effect.gen(function* () {
        const markers = yield* Effect.replicateEffect(Effect.scoped(shell("echo $CLAWDFORGE_PROCESS")), 2)
        const { dev, ino } = statSync(dataDir)
        for (const marker of markers) expect(marker.split(".")).toEqual([`${dev}-${ino}`, expect.any(String)])
        expect(new Set(markers).size).toBe(2)
      }),
    ),
  )

  // The shell itself stays in the group and only waits for its children.
  it.live.each<[string, string]>([
    ["itself", "echo $$; sleep 600"],
    ["a child", "sleep 600 & echo $!; wait"],
    ["a child of a shell that is gone", "sleep 600 & echo $!"],
    ["a child without an environment", "env -i sleep 600 & echo $!; wait"],
    ["a child in a session of its own", "setsid sleep 600 & echo $!; wait"],
    ["a grandchild that nobody waits for", "setsid sh -c 'sleep 600 & echo $!' & wait"],
    [
      "one that executes one program after the other",
      `setsid sh -c 'echo $$; ${executing}' '${executing}' & wait`,
    ],
    ["one that has a child of its own every moment", "setsid sh -c 'echo $$; while :; do :& done' & wait"],
  ])("leaves no process behind: %s", ([, words]) =>
    Effect.map(survives(words), (alive) => expect(alive).toBe(false)),
  )

  it.live("that has exited has all its error text, although a descendant writes to it for ever", () =>
    withProcesses(() =>
      Effect.gen(function* () {
        const { spawn } = yield* Processes
        const words = "echo first >&2; while :; do echo again; sleep 0.1; done >&2 & exit 3"
        const { exit, errorTail } = yield* spawn({
          command: "sh",
          args: ["-c", words],
          cwd: "/",
          env: { PATH: process.env["PATH"] ?? "" },
        })
        expect((yield* exit).code).toBe(3)
        expect(yield* errorTail).toMatch(/^first\nagain\n/)
      }),
    ),
  )

  it.live("tells a program that is missing from a directory that is", () =>
    withProcesses(() =>
      Effect.gen(function* () {
        const { spawn } = yield* Processes
        const startedIn = (command: string, cwd: string) =>
          Effect.flip(spawn({ command, args: [], cwd, env: {} })).pipe(Effect.map(({ _tag }) => _tag))
        expect(yield* startedIn("/nowhere/claude", "/")).toBe("ExecutableMissing")
        expect(yield* startedIn("/bin/sh", "/nowhere")).toBe("ProcessFailed")
      }),
    ),
  )

  it.live("does not end the descendants of another process", () =>
    withProcesses(() =>
      Effect.gen(function* () {
        const other = yield* shell("setsid sleep 600 & echo $!; wait")
        yield* Effect.scoped(shell("setsid sleep 600 & echo $!; wait"))
        expect(isAlive(other)).toBe(true)
      }),
    ),
  )
})
