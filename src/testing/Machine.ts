import { Effect, Layer, Option, Stream } from "effect"
import { FileNotFound, StorageFailed } from "../domain/Failure.ts"
import type { FileId, SessionId } from "../domain/Ids.ts"
import type { AgentSessionRef } from "../domain/Session.ts"
import { AcpxRecords } from "../services/agents/acpx/AcpxRecords.ts"
import { type Credential, CredentialFile } from "../services/upkeep/CredentialFile.ts"
import { Disks } from "../services/upkeep/Disks.ts"
import { FileContents } from "../services/files/FileContents.ts"
import { judgedBy } from "../infra/OutputSchemaVerdicts.ts"
import { OutputSchemas } from "../services/runs/OutputSchemas.ts"
import { Processes, type ProcessExit, type ProcessSpec } from "../services/agents/Processes.ts"
import { SessionDirs } from "../services/sessions/SessionDirs.ts"
import { WorkDirs } from "../services/agents/WorkDirs.ts"

/** Processes that print `lines` and exit. They ignore their input. */
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

/** Working directories that exist as paths only. */
export const workDirs = Layer.succeed(WorkDirs, {
  make: (run) => Effect.succeed({ cwd: `/runs/${run}/work`, tmp: `/runs/${run}/tmp` }),
  removeOrphans: Effect.succeed(0),
})

/**
 * Directories of sessions that exist as paths only. `existing` has the sessions with a directory, for a test to
 * inspect.
 */
export const sessionDirs = (existing?: Set<SessionId>) =>
  Layer.suspend(() => sessionDirsIn(existing ?? new Set()))

const sessionDirsIn = (existing: Set<SessionId>) =>
  Layer.succeed(SessionDirs, {
    of: (session) => `/sessions/${session}`,
    make: (session) => Effect.sync(() => void existing.add(session)),
    forFiles: (session, turnIndex) => Effect.succeed(`/sessions/${session}/attached-${turnIndex}`),
    remove: (session) => Effect.sync(() => void existing.delete(session)),
    list: Effect.sync(() => [...existing]),
  })

/** Contents of uploads in memory. `copies` has what runs got, by path. */
export const fileContents = (bytes?: Map<FileId, Uint8Array>, copies?: Map<string, Uint8Array>) =>
  Layer.suspend(() => fileContentsIn(bytes ?? new Map(), copies ?? new Map()))

const fileContentsIn = (bytes: Map<FileId, Uint8Array>, copies: Map<string, Uint8Array>) =>
  Layer.succeed(FileContents, {
    create: (id) =>
      Effect.gen(function* () {
        let isKept = false
        bytes.set(id, new Uint8Array())
        yield* Effect.addFinalizer(() => Effect.sync(() => isKept || bytes.delete(id)))
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
            isKept = true
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

/** Disks with that much free space, which can be written to. */
export const disks = (freeBytes: number) =>
  Layer.succeed(Disks, { freeBytes: Effect.succeed(freeBytes), unwritable: Effect.succeed([]) })

/** The file of a login. `write` replaces it; without a call there is none. */
export class CredentialMemory {
  #credential: Option.Option<Credential> = Option.none()
  #writes = 0

  readonly read = Effect.sync(() => this.#credential)

  /** Writes a login that ends then, in milliseconds since 1970. By default nobody knows when. */
  readonly write = (expiresAt: number | null = null): void => {
    this.#writes += 1
    this.#credential = Option.some({ fingerprint: String(this.#writes), expiresAt })
  }
}

/** The file of a login in memory, for a test to write. */
export const credentialFile = (memory?: CredentialMemory) =>
  Layer.sync(CredentialFile, () => ({ read: (memory ?? new CredentialMemory()).read }))

/** Accepts every schema, and every value as one that fits. */
export const outputSchemas = Layer.succeed(OutputSchemas, {
  check: () => Effect.succeed({ native: true }),
  fits: () => Effect.void,
})

/** The real checks of output schemas, but in this thread: a hostile schema can block it. */
export const jsonSchemas = Layer.succeed(
  OutputSchemas,
  judgedBy((work) => Effect.map(loadJudge, ({ judge }) => judge(work))),
)

/** Loads the compiler of schemas only when a test uses one. */
const loadJudge = Effect.promise(() => import("../infra/OutputSchemaJudge.ts"))

/** The records of acpx in memory: the agent's name of each session. `existing` has them, for a test to inspect. */
export const acpxRecords = (existing?: Map<AgentSessionRef, AgentSessionRef>) =>
  Layer.sync(AcpxRecords, () => {
    const records = existing ?? new Map<AgentSessionRef, AgentSessionRef>()
    return {
      agentRef: (ref) => Effect.sync(() => Option.fromNullable(records.get(ref))),
      prepare: (ref) => Effect.sync(() => records.has(ref)),
      remove: (ref) => Effect.sync(() => void records.delete(ref)),
      dropSettings: () => Effect.void,
    }
  })
