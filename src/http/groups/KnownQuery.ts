import { HttpApiMiddleware } from "@effect/platform"
import { problems } from "./Problems.ts"

/**
 * Refuses query parameters that the route does not declare, and those that are there twice. Every group has it, before its
 * authentication in the declaration, so that it runs after it: who has no token learns nothing else.
 */
export class KnownQuery extends HttpApiMiddleware.Tag<KnownQuery>()("clawdforge/http/KnownQuery", {
  failure: problems("InvalidRequest"),
}) {}
