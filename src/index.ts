/** The entry for embedders: the services with their layers, the domain types, and the composed layers of `app.ts`. */
export * as Answer from "./domain/Answer.ts"
export * as Event from "./domain/Event.ts"
export * as Failure from "./domain/Failure.ts"
export type { FileId, RequestId, RunId, SessionId, TokenId } from "./domain/Ids.ts"
export type { Refusal, RefusalReason } from "./domain/Refusal.ts"
export * as File from "./domain/File.ts"
export * as Origin from "./domain/Origin.ts"
export * as Outcome from "./domain/Outcome.ts"
export * as Run from "./domain/Run.ts"
export * as Session from "./domain/Session.ts"
export type { StreamEnd, StreamEvent, StreamGap, StreamKind } from "./domain/Stream.ts"
export * as Token from "./domain/Token.ts"
export * as Viewer from "./domain/Viewer.ts"
export {
  AcpxClient,
  type AcpMessage,
  type AgentInfo,
  type AgentSession,
  type LeftOff,
} from "./services/agents/AcpxClient.ts"
export * as DirectAgents from "./services/agents/acp/DirectAgents.ts"
export { Admission } from "./services/access/Admission.ts"
export type { ClaudeAnswer } from "./services/agents/claude/ClaudeAnswer.ts"
export type { ClaudeRequest } from "./services/agents/claude/ClaudeRequest.ts"
export { ClaudeRunner } from "./services/agents/ClaudeRunner.ts"
export { Disks } from "./services/upkeep/Disks.ts"
export { FileContents, type FileWriter } from "./services/files/FileContents.ts"
export { type Consumer } from "./services/journal/Consumer.ts"
export {
  Journal,
  type JournalScope,
  type LogScope,
  logScope,
  type RunScope,
  runScope,
} from "./services/journal/Journal.ts"
export { Files } from "./services/files/Files.ts"
export type { Arriving, Upload } from "./services/files/Uploads.ts"
export { type Credential, CredentialFile } from "./services/upkeep/CredentialFile.ts"
export type { LoginState } from "./domain/Login.ts"
export { type Attempt, LoginMonitor, type LoginStatus } from "./services/upkeep/LoginMonitor.ts"
export { type Check, Readiness } from "./services/upkeep/Readiness.ts"
export { type Cli, Clis, type CliVersions } from "./services/agents/Clis.ts"
export type { Client, Peer } from "./services/access/ClientAddress.ts"
export {
  Idempotency,
  type IdempotentAnswer,
  type KeyOfRequest,
  type RequestFields,
} from "./services/runs/Idempotency.ts"
export { Ids } from "./services/access/Ids.ts"
export {
  type EventRecords,
  type FileRecords,
  type KeyRecords,
  Ledger,
  type LedgerRecords,
  type RefusalRecords,
  type RetentionRecords,
  type RunRecords,
  type StreamRecords,
  type TokenRecords,
} from "./services/journal/Ledger.ts"
export { holdChanges } from "./services/journal/HeldChanges.ts"
export { OutputSchemas } from "./services/runs/OutputSchemas.ts"
export {
  type Executable,
  Processes,
  type ProcessExit,
  type ProcessSpec,
  type RunningProcess,
} from "./services/agents/Processes.ts"
export { type EndOfApp, Revocation } from "./services/access/Revocation.ts"
export { type Refused, Refusals } from "./services/access/Refusals.ts"
export { type Maintained, Retention, type RetentionSettings } from "./services/journal/Retention.ts"
export type { Executor, QueueEntrance, RunKinds, StartedRun } from "./services/runs/executors/Executor.ts"
export { type LiveRun, RunEngine } from "./services/runs/RunEngine.ts"
export { type OpenRun, Runs, type RunsOptions } from "./services/runs/Runs.ts"
export type { RunReport, TurnReport } from "./services/runs/Report.ts"
export { type Digest, Secrets } from "./services/access/Secrets.ts"
export { SessionDirs } from "./services/sessions/SessionDirs.ts"
export { type OpenTurn, SessionPool, type SessionPoolOptions } from "./services/sessions/SessionPool.ts"
export { Sweeper, type SweepReport } from "./services/upkeep/Sweeper.ts"
export { TokenStore } from "./services/access/TokenStore.ts"
export { type WorkDir, WorkDirs } from "./services/agents/WorkDirs.ts"
export { Api } from "./http/Api.ts"
export { type AppConfig, explain as explainConfig, load as loadConfig } from "./infra/Config.ts"
export { agent, api, app, machine, services, sessionAgents } from "./app.ts"
