import { type Duration, Effect, Layer, Logger } from "effect"
import { type AgentRefusal, TurnFailed } from "../../src/domain/Failure.ts"
import type { SessionId, TokenId } from "../../src/domain/Ids.ts"
import type { AgentName, AgentSessionRef, SessionRequest, TurnRequest } from "../../src/domain/Session.ts"
import { AcpxClient } from "../../src/services/agents/AcpxClient.ts"
import { holdChanges } from "../../src/services/journal/HeldChanges.ts"
import { Ledger, type RunRecords, type SessionRecords } from "../../src/services/journal/Ledger.ts"
import { Journal } from "../../src/services/journal/Journal.ts"
import { RunEngine } from "../../src/services/runs/RunEngine.ts"
import { SessionDirs } from "../../src/services/sessions/SessionDirs.ts"
import { SessionPool, type SessionPoolOptions } from "../../src/services/sessions/SessionPool.ts"
import {
  acpxClient,
  ids,
  LedgerMemory,
  ledger,
  loginMonitor,
  type MockPrompt,
  noFiles,
  revocation,
  sessionDirs,
} from "../../src/testing.ts"

export const owner = "0".repeat(26) as TokenId
export const stranger = "1".padStart(26, "0") as TokenId
export const origin = { requestId: "r", address: "127.0.0.1" }
export const wanted: SessionRequest = {
  agent: "claude" as AgentName,
  model: null,
  meta: null,
  permissionMode: "approve-all",
}

const turnOf = (prompt: string, more: Partial<TurnRequest> = {}): TurnRequest => ({
  prompt,
  timeoutSecs: 60,
  files: [],
  ...more,
})

type Client = AcpxClient["Type"]

/** What is real of sessions when nothing is: the rows, the directories, and what agents keep. */
export class Machine {
  readonly memory = new LedgerMemory()
  readonly dirs = new Set<SessionId>()
  /** Sessions that an agent has open. */
  readonly attached = new Set<AgentSessionRef>()
  /** What agents were asked, in order. */
  readonly asked: Array<string> = []

  /** Each turn's status and code, in the order in which they were accepted. */
  get outcomes() {
    return [...this.memory.runs.values()].map(({ status, end }) => [status, end?.code])
  }

  get left() {
    return {
      rows: this.memory.sessions.size,
      dirs: this.dirs.size,
      attached: this.attached.size,
    }
  }
}

export const nothing = { rows: 0, dirs: 0, attached: 0 }

/** What differs from sessions on which all goes well. */
export interface Scene extends Partial<SessionPoolOptions> {
  readonly reply?: (prompt: MockPrompt) => Effect.Effect<string, AgentRefusal | TurnFailed>
  readonly client?: (whole: Client) => Partial<Client>
  readonly sessions?: (whole: SessionRecords) => Partial<SessionRecords>
  readonly runs?: (whole: RunRecords) => Partial<RunRecords>
  readonly dirs?: (whole: SessionDirs["Type"]) => Partial<SessionDirs["Type"]>
  readonly files?: typeof noFiles
  readonly shutdownGraceSecs?: number
}

const noting = (machine: Machine, what: string) => Effect.sync(() => void machine.asked.push(what))

/** An agent that takes that long to answer. */
export const after =
  (duration: Duration.DurationInput): Scene["reply"] & {} =>
  ({ prompt }) =>
    Effect.delay(Effect.succeed(`you said ${prompt}`), duration)

/** An agent that does to a turn what its prompt says: `fail`, `defect`, `wait` for ever, `hang`, 3 s longer. */
export const obeying: Scene["reply"] & {} = ({ prompt }) => {
  switch (prompt) {
    case "fail":
      return new TurnFailed({ reason: "its process ended" })
    case "defect":
      return Effect.die("a bug")
    case "wait":
      return Effect.never
    case "hang":
      return Effect.onInterrupt(Effect.never, () => Effect.sleep("3 seconds"))
    default:
      return Effect.succeed(`you said ${prompt}`)
  }
}

/** The pool on mocks; a second one on the same machine is the service after a restart. */
export const poolOn = (machine: Machine, scene: Scene = {}) => {
  const { reply = ({ prompt }) => Effect.succeed(`you said ${prompt}`), shutdownGraceSecs = 10 } = scene
  const client = Layer.effect(
    AcpxClient,
    Effect.map(AcpxClient, (mock) => {
      const whole = { ...mock, ...scene.client?.(mock) }
      return AcpxClient.of({
        ...whole,
        open: (session, left) =>
          Effect.tap(whole.open(session, left), (ref) => Effect.sync(() => machine.attached.add(ref))),
        cancel: (session, ref) => Effect.zipRight(noting(machine, "cancel"), whole.cancel(session, ref)),
        close: (session, ref) =>
          noting(machine, `close ${ref}`).pipe(
            Effect.zipRight(whole.close(session, ref)),
            Effect.tap(() => Effect.sync(() => machine.attached.delete(ref))),
          ),
        erase: (session, ref) => Effect.zipRight(noting(machine, `erase ${ref}`), whole.erase(session, ref)),
        endOf: (token) => Effect.zipRight(noting(machine, `endOf ${token}`), whole.endOf(token)),
        endAll: Effect.zipRight(noting(machine, "endAll"), whole.endAll),
      })
    }),
  ).pipe(Layer.provide(acpxClient(reply)))
  const records = Layer.scoped(
    Ledger,
    Effect.flatMap(Ledger, (whole) =>
      holdChanges({
        ...whole,
        runs: { ...whole.runs, ...scene.runs?.(whole.runs) },
        sessions: { ...whole.sessions, ...scene.sessions?.(whole.sessions) },
      }),
    ),
  ).pipe(Layer.provide(ledger(machine.memory)))
  const dirs = Layer.effect(
    SessionDirs,
    Effect.map(SessionDirs, (whole) => ({ ...whole, ...scene.dirs?.(whole) })),
  ).pipe(Layer.provide(sessionDirs(machine.dirs)))
  return SessionPool.layer({ agents: new Set([wanted.agent]), ...scene }).pipe(
    Layer.provideMerge(RunEngine.layer({ shutdownGraceSecs })),
    Layer.provideMerge(Layer.merge(Journal.layer, revocation)),
    Layer.provide([client, records, dirs, ids, loginMonitor(), scene.files ?? noFiles]),
    Layer.provide(Logger.remove(Logger.defaultLogger)),
  )
}

/** A session of that app's, opened. */
export const opened = (app = owner) =>
  Effect.flatMap(SessionPool, (pool) => Effect.map(pool.open(wanted, app, origin), ({ id }) => id))

/** A turn, accepted. */
export const accepted = (id: SessionId, prompt: string, more?: Partial<TurnRequest>, app = owner) =>
  Effect.flatMap(SessionPool, (pool) => pool.turn(id, turnOf(prompt, more), app, origin))

/** A turn, answered. */
export const taken = (id: SessionId, prompt: string, more?: Partial<TurnRequest>) =>
  Effect.flatMap(accepted(id, prompt, more), ({ answer }) => answer)

export const closed = (id: SessionId, app = owner) =>
  Effect.flatMap(SessionPool, (pool) => pool.close(id, app, origin))

/** What the agent said in a turn. */
export const textOf = (report: { readonly events: ReadonlyArray<unknown> }): string =>
  report.events
    .map((event) => (event as { params?: { update?: { content?: { text?: string } } } }).params)
    .map((params) => params?.update?.content?.text ?? "")
    .join("")
