/** The declaration of the HTTP API, for clients and generators. It contains no server, and runs in a browser. */

export { Api } from "./http/Api.ts"
export { AdminGroup } from "./http/groups/Admin.ts"
export { EventsGroup } from "./http/groups/Events.ts"
export { FilesGroup } from "./http/groups/Files.ts"
export { MaintenanceGroup } from "./http/groups/Maintenance.ts"
export { RunGroup } from "./http/groups/Run.ts"
export { RunsGroup } from "./http/groups/Runs.ts"
export { SessionsGroup } from "./http/groups/Sessions.ts"
export { StreamsGroup } from "./http/groups/Streams.ts"
export { SystemGroup } from "./http/groups/System.ts"
export { AdminAuth, AppAuth, ReaderAuth } from "./http/groups/Auth.ts"
export { problems } from "./http/groups/Problems.ts"
/** The body of every error answer, by its failure's tag, and the table from failures to answers. */
export { MEDIA_TYPE, type Problem, TABLE, type Tag } from "./http/Problem.ts"
export type { Code, ErrorOf } from "./client/Errors.ts"
