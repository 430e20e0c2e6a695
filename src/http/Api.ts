import { HttpApi, OpenApi } from "@effect/platform"
import { AdminGroup } from "./groups/Admin.ts"
import { EventsGroup } from "./groups/Events.ts"
import { FilesGroup } from "./groups/Files.ts"
import { MaintenanceGroup } from "./groups/Maintenance.ts"
import { RunGroup } from "./groups/Run.ts"
import { RunsGroup } from "./groups/Runs.ts"
import { SessionsGroup } from "./groups/Sessions.ts"
import { StreamsGroup } from "./groups/Streams.ts"
import { SystemGroup } from "./groups/System.ts"
import { problems } from "./groups/Problems.ts"

/** What any route may answer with. */
export const everywhere = problems("InvalidRequest", "AddressNotAllowed", "NotAcceptable", "Internal")

/**
 * Every HttpApi starts with `HttpApiDecodeError` as the error of each route. Ours is the contract's problem
 * object: the edge makes one of a decode error that nobody here can encode, and so the document says so too.
 */
const base = Object.assign(HttpApi.make("clawdforge"), { errorSchema: everywhere })

/** The whole API, declared. Clients and the OpenAPI document derive from it; `handlers/` implement it. */
export class Api extends base
  .add(RunGroup)
  .add(RunsGroup)
  .add(FilesGroup)
  .add(SessionsGroup)
  .add(EventsGroup)
  .add(MaintenanceGroup)
  .add(StreamsGroup)
  .add(AdminGroup)
  .add(SystemGroup)
  .annotate(OpenApi.Title, "clawdforge")
  .annotate(OpenApi.Version, "0.3.0")
  .annotate(OpenApi.Description, "One logged-in coding agent, served safely to every app on the network.")
  .annotate(OpenApi.License, { name: "MIT", url: "https://spdx.org/licenses/MIT.html" })
  .annotate(OpenApi.Servers, [{ url: "/", description: "The service that serves this document." }]) {}
