import { Schema } from "effect"

/** What can be in the event log. The log is append-only and has one sequence for all types. */
export const EventType = Schema.Literal(
  "run.queued",
  "run.started",
  "run.completed",
  "run.failed",
  "run.cancelled",
  "run.timed_out",
  "run.lost",
  "session.create",
  "session.turn",
  "session.close",
  "session.sweep_close",
  "session.hard_delete",
  "token.mint",
  "token.revoke",
  "file.upload",
  "file.expire",
  "admission.refused",
  "login.changed",
)
export type EventType = typeof EventType.Type
