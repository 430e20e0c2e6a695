import { Command } from "@effect/cli"
import { Effect } from "effect"
import { openApiDocument } from "../../http/OpenApiDocument.ts"
import { Output } from "../Output.ts"

/** Prints the document that the service of this version serves at /openapi.json. */
export const openapi = Command.make("openapi", {}, () =>
  Effect.flatMap(Output, ({ line }) => line(JSON.stringify(openApiDocument, undefined, 2))),
).pipe(Command.withDescription("Prints the API's OpenAPI 3.1 document. Needs no running service."))
