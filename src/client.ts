/** The package's client: `ForgeClient` for Effect, `Forge` for Promises. */

export * from "./client/Errors.ts"
export { ForgeClient, type ForgeMethods } from "./client/ForgeClient.ts"
export type { ForgeSettings } from "./client/Settings.ts"
export type {
  AnyEnd,
  LogEvent,
  Message,
  Result,
  Resync,
  RunAnswer,
  RunBegun,
  RunEvent,
  TurnEnd,
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
  type UploadOptions,
} from "./client/Forge.ts"
export type { CallOptions, Events } from "./client/Promises.ts"
export { type ForgeSession, type KeyedOptions, textOf, type TurnAnswer } from "./client/Session.ts"
