/** What embedders import: the services, their layers, and the domain that they speak. */
export * as Answer from "./domain/Answer.ts"
export * as Event from "./domain/Event.ts"
export * as Failure from "./domain/Failure.ts"
export type { FileId, RequestId, RunId, SessionId, TokenId } from "./domain/Ids.ts"
export type { Refusal, RefusalReason } from "./domain/Refusal.ts"
export * as File from "./domain/File.ts"
export * as Outcome from "./domain/Outcome.ts"
export * as Run from "./domain/Run.ts"
export * as Session from "./domain/Session.ts"
export type { StreamEnd, StreamEvent, StreamGap, StreamKind } from "./domain/Stream.ts"
export * as Token from "./domain/Token.ts"
export {
  AcpxClient,
  type AcpMessage,
  type AgentInfo,
  type AgentSession,
  type LeftOff,
} from "./services/AcpxClient.ts"
export * as DirectAgents from "./services/acp/Direct.ts"
export { Admission } from "./services/Admission.ts"
export type { ClaudeAnswer } from "./services/claude/Outcome.ts"
export type { ClaudeRequest } from "./services/claude/Request.ts"
export { ClaudeRunner, type Executable } from "./services/ClaudeRunner.ts"
export { Disks } from "./services/Disks.ts"
export { FileContents, type FileWriter } from "./services/FileContents.ts"
export { EventFeed } from "./services/EventFeed.ts"
export { EventLog } from "./services/EventLog.ts"
export { Files } from "./services/Files.ts"
export type { Arriving, Upload } from "./services/files/Receiving.ts"
export { type Check, Readiness } from "./services/Readiness.ts"
export { type Cli, Clis, type CliVersions } from "./services/Clis.ts"
export type { Client, Peer } from "./services/ClientAddress.ts"
export { type Answered, type Asked, Idempotency, type Keyed } from "./services/Idempotency.ts"
export { Ids } from "./services/Ids.ts"
export {
  type EventRecords,
  type FileRecords,
  type KeyRecords,
  Ledger,
  type RefusalRecords,
  type RetentionRecords,
  type RunRecords,
  type StreamRecords,
  type TokenRecords,
} from "./services/Ledger.ts"
export { OutputSchemas } from "./services/OutputSchemas.ts"
export { Processes, type ProcessExit, type ProcessSpec, type RunningProcess } from "./services/Processes.ts"
export { type Refused, Refusals } from "./services/Refusals.ts"
export { type Maintained, Retention, type RetentionSettings } from "./services/Retention.ts"
export { LiveRuns, type LiveRun, type NewRun } from "./services/LiveRuns.ts"
export { type OpenRun, Runs, type RunsOptions } from "./services/Runs.ts"
export type { RunReport } from "./services/runs/Report.ts"
export { type Digest, Secrets } from "./services/Secrets.ts"
export { SessionDirs } from "./services/SessionDirs.ts"
export { SessionPool, type SessionPoolOptions } from "./services/SessionPool.ts"
export type { OpenTurn, TurnReport } from "./services/sessions/Report.ts"
export { Sweeper, type SweepReport } from "./services/Sweeper.ts"
export { TokenStore } from "./services/TokenStore.ts"
export { type WorkDir, WorkDirs } from "./services/WorkDirs.ts"
export { Api } from "./http/Api.ts"
export { type AppConfig, explain as explainConfig, load as loadConfig } from "./infra/Config.ts"
export { agent, api, app, machine, services, sessionAgents } from "./app.ts"
