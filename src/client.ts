/** The package's client: `ForgeClient` for Effect, `Forge` for Promises. */

export * from "./client/Errors.ts"
export { ForgeClient, type ForgeMethods } from "./client/ForgeClient.ts"
export type { ForgeSettings } from "./client/Settings.ts"
export type { Delta } from "./domain/AnswerText.ts"
export {
  type AnyEnd,
  applyDelta,
  type DeltaEvent,
  type LogEvent,
  type Message,
  type Result,
  type Resync,
  type RunAnswer,
  type RunBegun,
  type RunEvent,
  type SessionMessage,
  type SessionStreamEvent,
  type TurnEnd,
} from "./client/StreamedEvents.ts"
export type {
  EventFilter,
  ReadOptions,
  RunPayload,
  StreamOptions,
  Streams,
  TurnPayload,
} from "./client/Streams.ts"
export type { AnswerHead } from "./client/Transport.ts"
export {
  Forge,
  type ForgeOptions,
  type RunOptions,
  type RunResult,
  type RunStreamOptions,
  type UploadOptions,
} from "./client/Forge.ts"
export type { CallOptions, Events } from "./client/Promises.ts"
export {
  type ForgeSession,
  type KeyedOptions,
  textOf,
  type TurnAnswer,
  type TurnOptions,
} from "./client/Session.ts"
