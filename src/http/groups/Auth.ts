import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "@effect/platform"
import { Context } from "effect"
import type { AppToken, Origin } from "../../domain/Token.ts"
import { problems } from "./Problems.ts"

/** The app that asks, and where from. */
export class CurrentApp extends Context.Tag("clawdforge/http/CurrentApp")<
  CurrentApp,
  { readonly token: AppToken; readonly origin: Origin }
>() {}

/** The operator, and where from. */
export class CurrentAdmin extends Context.Tag("clawdforge/http/CurrentAdmin")<
  CurrentAdmin,
  { readonly origin: Origin }
>() {}

const bearer = (description: string) =>
  HttpApiSecurity.bearer.pipe(HttpApiSecurity.annotate(OpenApi.Description, description))

/** Lets apps in, by `Authorization: Bearer cf_…`. */
export class AppAuth extends HttpApiMiddleware.Tag<AppAuth>()("clawdforge/http/AppAuth", {
  security: { app: bearer("An app's own token, `cf_…`, minted by the operator.") },
  failure: problems("Unauthorized", "AddressNotAllowed", "StorageFailed"),
  provides: CurrentApp,
}) {}

/** Lets the operator in, by `Authorization: Bearer <ADMIN_BOOTSTRAP_TOKEN>`. */
export class AdminAuth extends HttpApiMiddleware.Tag<AdminAuth>()("clawdforge/http/AdminAuth", {
  security: {
    admin: bearer("The operator's token: ADMIN_BOOTSTRAP_TOKEN, or the file DATA_DIR/admin-token."),
  },
  failure: problems("Unauthorized"),
  provides: CurrentAdmin,
}) {}
