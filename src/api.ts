/** The HTTP API as it is declared: for clients and generators. It brings no server, and runs in a browser. */

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
/** The body of every failure, by what failed, and the one table of what is answered to each. */
export { MEDIA_TYPE, type Problem, TABLE, type Tag } from "./http/Problem.ts"
export type { Code, ErrorOf } from "./client/Errors.ts"
