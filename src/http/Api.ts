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

/** The problems that every route may answer with. */
export const commonProblems = problems(
  "InvalidRequest",
  "AddressNotAllowed",
  "OriginNotAllowed",
  "NotAcceptable",
  "Internal",
)

/**
 * `HttpApi.make` declares `HttpApiDecodeError` as an error of each route. This replaces it with the contract's problems:
 * the edge turns a decode error into a problem, so the document has to declare the problem.
 */
const base = Object.assign(HttpApi.make("clawdforge"), { errorSchema: commonProblems })

/** The declaration of the whole API. Clients and the OpenAPI document derive from it; `handlers/` implement it. */
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
