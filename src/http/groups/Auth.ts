import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "@effect/platform"
import { Context } from "effect"
import type { Origin } from "../../domain/Origin.ts"
import type { AppToken } from "../../domain/Token.ts"
import type { Viewer } from "../../domain/Viewer.ts"
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

/** The app or the operator that reads. */
export class CurrentReader extends Context.Tag("clawdforge/http/CurrentReader")<
  CurrentReader,
  {
    readonly viewer: Viewer
    readonly origin: Origin
  }
>() {}

const bearer = (description: string) =>
  HttpApiSecurity.bearer.pipe(HttpApiSecurity.annotate(OpenApi.Description, description))

const APP = bearer("An app's own token, `cf_…`, minted by the operator.")
const ADMIN = bearer("The operator's token: ADMIN_BOOTSTRAP_TOKEN, or the file DATA_DIR/admin-token.")

/** Lets apps in, by `Authorization: Bearer cf_…`. */
export class AppAuth extends HttpApiMiddleware.Tag<AppAuth>()("clawdforge/http/AppAuth", {
  security: { app: APP },
  failure: problems("Unauthorized", "AddressNotAllowed", "StorageFailed"),
  provides: CurrentApp,
}) {}

/** Lets the operator in, by `Authorization: Bearer <ADMIN_BOOTSTRAP_TOKEN>`. */
export class AdminAuth extends HttpApiMiddleware.Tag<AdminAuth>()("clawdforge/http/AdminAuth", {
  security: { admin: ADMIN },
  failure: problems("Unauthorized"),
  provides: CurrentAdmin,
}) {}

/** Lets apps and the operator in. The operator is looked for first: then the refusal is an app's. */
export class ReaderAuth extends HttpApiMiddleware.Tag<ReaderAuth>()("clawdforge/http/ReaderAuth", {
  security: { admin: ADMIN, app: APP },
  failure: problems("Unauthorized", "AddressNotAllowed", "StorageFailed"),
  provides: CurrentReader,
}) {}
