import { Effect, Layer, Option, Stream } from "effect"
import { FileNotFound, StorageFailed } from "../domain/Failure.ts"
import type { FileId, SessionId } from "../domain/Ids.ts"
import type { AgentSessionRef } from "../domain/Session.ts"
import { AcpxRecords } from "../services/agents/acpx/Records.ts"
import { Disks } from "../services/upkeep/Disks.ts"
import { FileContents } from "../services/files/FileContents.ts"
import { judgedBy } from "../infra/OutputSchemaVerdicts.ts"
import { OutputSchemas } from "../services/runs/OutputSchemas.ts"
import { Processes, type ProcessExit, type ProcessSpec } from "../services/agents/Processes.ts"
import { SessionDirs } from "../services/sessions/SessionDirs.ts"
import { WorkDirs } from "../services/agents/WorkDirs.ts"

/** Processes that print `lines` and exit, whatever is written to them. */
export const processes = (
  script: (spec: ProcessSpec) => { readonly lines: ReadonlyArray<string>; readonly exit: ProcessExit },
) =>
  Layer.succeed(Processes, {
    spawn: (spec) =>
      Effect.sync(() => {
        const { lines, exit } = script(spec)
        return {
          write: () => Effect.void,
          endInput: Effect.void,
          output: Stream.encodeText(Stream.make(...lines.map((line) => `${line}\n`))),
          errorTail: Effect.succeed(""),
          exit: Effect.succeed(exit),
        }
      }),
  })

export const workDirs = Layer.succeed(WorkDirs, {
  make: (run) => Effect.succeed({ cwd: `/runs/${run}/work`, tmp: `/runs/${run}/tmp` }),
})

/** Directories of sessions that are in a set only; keep it to look into it. */
export const sessionDirs = (made?: Set<SessionId>) => Layer.suspend(() => sessionDirsIn(made ?? new Set()))

const sessionDirsIn = (made: Set<SessionId>) =>
  Layer.succeed(SessionDirs, {
    of: (session) => `/sessions/${session}`,
    make: (session) => Effect.sync(() => void made.add(session)),
    forFiles: (session, turnIndex) => Effect.succeed(`/sessions/${session}/attached-${turnIndex}`),
    remove: (session) => Effect.sync(() => void made.delete(session)),
    list: Effect.sync(() => [...made]),
  })

/** Bytes of uploads in memory, and of the copies of them that runs got, by their paths. */
export const fileContents = (bytes?: Map<FileId, Uint8Array>, copies?: Map<string, Uint8Array>) =>
  Layer.suspend(() => fileContentsIn(bytes ?? new Map(), copies ?? new Map()))

const fileContentsIn = (bytes: Map<FileId, Uint8Array>, copies: Map<string, Uint8Array>) =>
  Layer.succeed(FileContents, {
    create: (id) =>
      Effect.gen(function* () {
        let kept = false
        bytes.set(id, new Uint8Array())
        yield* Effect.addFinalizer(() => Effect.sync(() => kept || bytes.delete(id)))
        return {
          write: (more) =>
            Effect.sync(() => {
              const before = bytes.get(id) ?? new Uint8Array()
              const after = new Uint8Array(before.length + more.length)
              after.set(before)
              after.set(more, before.length)
              bytes.set(id, after)
            }),
          sync: Effect.void,
          keep: Effect.sync(() => {
            kept = true
          }),
        }
      }),
    copy: (id, dir, name) =>
      Effect.suspend(() => {
        const content = bytes.get(id)
        if (content === undefined) return new FileNotFound()
        return Effect.sync(() => {
          const path = `${dir}/${name}`
          copies.set(path, content)
          return path
        })
      }),
    remove: (id) =>
      Effect.try({
        try: () => void bytes.delete(id),
        catch: (cause) => new StorageFailed({ during: "removing an upload", cause }),
      }),
    list: Effect.sync(() => [...bytes.keys()]),
  })

export const disks = (freeBytes: number) => Layer.succeed(Disks, { freeBytes: Effect.succeed(freeBytes) })

/** Takes every schema, and finds that every answer fits. */
export const outputSchemas = Layer.succeed(OutputSchemas, {
  check: () => Effect.succeed({ native: true }),
  fits: () => Effect.void,
})

/** Output schemas as they really are checked, but in this thread: a hostile one may hang it. */
export const jsonSchemas = Layer.succeed(
  OutputSchemas,
  judgedBy((work) => Effect.map(loadJudge, ({ judge }) => judge(work))),
)

/** Who never asks for a schema need not load what compiles it. */
const loadJudge = Effect.promise(() => import("../infra/OutputSchemaJudge.ts"))

/** What acpx keeps: of each of its records, what the agent calls the session. Keep the map to look into it. */
export const acpxRecords = (kept?: Map<AgentSessionRef, AgentSessionRef>) =>
  Layer.sync(AcpxRecords, () => {
    const records = kept ?? new Map<AgentSessionRef, AgentSessionRef>()
    return {
      agentSession: (ref) => Effect.sync(() => Option.fromNullable(records.get(ref))),
      requireResume: (ref) => Effect.sync(() => records.has(ref)),
      remove: (ref) => Effect.sync(() => void records.delete(ref)),
      dropSettings: () => Effect.void,
    }
  })
