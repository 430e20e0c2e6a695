import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "@effect/platform"
import { Context } from "effect"
import type { Origin } from "../../domain/Origin.ts"
import type { AppToken } from "../../domain/Token.ts"
import type { Viewer } from "../../domain/Viewer.ts"
import { problems } from "./Problems.ts"

/** The app that sent the request, and the request's origin. */
export class CurrentApp extends Context.Tag("clawdforge/http/CurrentApp")<
  CurrentApp,
  { readonly token: AppToken; readonly origin: Origin }
>() {}

/** The request comes from the operator; and its origin. */
export class CurrentAdmin extends Context.Tag("clawdforge/http/CurrentAdmin")<
  CurrentAdmin,
  { readonly origin: Origin }
>() {}

/** The reader of runs, streams and events: an app reads its own, the operator those of all apps. */
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

/** Admits apps, by `Authorization: Bearer cf_…`. */
export class AppAuth extends HttpApiMiddleware.Tag<AppAuth>()("clawdforge/http/AppAuth", {
  security: { app: APP },
  failure: problems("Unauthorized", "AddressNotAllowed", "StorageFailed"),
  provides: CurrentApp,
}) {}

/** Admits the operator, by `Authorization: Bearer <ADMIN_BOOTSTRAP_TOKEN>`. */
export class AdminAuth extends HttpApiMiddleware.Tag<AdminAuth>()("clawdforge/http/AdminAuth", {
  security: { admin: ADMIN },
  failure: problems("Unauthorized"),
  provides: CurrentAdmin,
}) {}

/** Admits apps and the operator. Checks for the operator first, so that a refusal gives an app's reason. */
export class ReaderAuth extends HttpApiMiddleware.Tag<ReaderAuth>()("clawdforge/http/ReaderAuth", {
  security: { admin: ADMIN, app: APP },
  failure: problems("Unauthorized", "AddressNotAllowed", "StorageFailed"),
  provides: CurrentReader,
}) {}
