import {
  HttpApiScalar,
  HttpLayerRouter,
  HttpServerRequest,
  HttpServerResponse,
  OpenApi,
} from "@effect/platform"
import { Deferred, Effect, Encoding, Layer } from "effect"
import { Api } from "./Api.ts"
import { openApiDocument } from "./OpenApiDocument.ts"

/** Scalar without whatever needs scalar.com: its fonts, its client, its sharing, its telemetry. */
const SCALAR = {
  withDefaultFonts: false,
  hideClientButton: true,
  showToolbar: "never",
  telemetry: false,
  documentDownloadType: "json",
  // A reader looks for a route, in the order of the document.
  operationTitleSource: "path",
  orderSchemaPropertiesBy: "preserve",
  defaultOpenAllTags: true,
  // It sends one token whatever the route; most who read are apps. The operator picks the other one.
  authentication: { preferredSecurityScheme: "app" },
}

/** Shows what /openapi.json says, not what the framework makes of the API by itself. */
const reference = HttpApiScalar.layerHttpLayerRouter({
  api: Api.annotate(OpenApi.Transform, () => openApiDocument),
  path: "/docs",
  scalar: SCALAR,
})

/** The package gives its page as a route only: asked for on a router of its own, apart from the service's. */
const rendered = Effect.gen(function* () {
  const router = yield* HttpLayerRouter.make
  yield* Layer.build(Layer.provide(reference, Layer.succeed(HttpLayerRouter.HttpRouter, router)))
  const response = yield* router.asHttpEffect()
  return yield* Effect.promise(() => HttpServerResponse.toWeb(response).text())
}).pipe(
  Effect.provideService(
    HttpServerRequest.HttpServerRequest,
    HttpServerRequest.fromWeb(new Request("http://localhost/docs")),
  ),
  Effect.scoped,
  Effect.orDie,
)

const sha256 = (bytes: Uint8Array<ArrayBuffer>): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", bytes)),
    (digest) => Encoding.encodeBase64(new Uint8Array(digest)),
  )

/**
 * Nothing but this service can be contacted, and no script runs but the page's own. Scalar hashes in WebAssembly,
 * and puts its styles into the page as it goes.
 */
const policy = (scripts: ReadonlyArray<string>): string =>
  [
    "default-src 'none'",
    `script-src 'wasm-unsafe-eval' ${scripts.map((hash) => `'sha256-${hash}'`).join(" ")}`,
    "style-src 'unsafe-inline'",
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ")

const build = Effect.gen(function* () {
  const html = yield* rendered
  const encoder = new TextEncoder()
  const bytes = encoder.encode(html)
  const etag = `"${yield* sha256(bytes)}"`
  const scripts = yield* Effect.forEach(html.matchAll(/<script>([\s\S]*?)<\/script>/g), ([, script]) =>
    sha256(encoder.encode(script)),
  )
  const headers = {
    "content-security-policy": policy(scripts),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
    etag,
  }
  const page = HttpServerResponse.uint8Array(bytes, { contentType: "text/html; charset=utf-8", headers })
  const unchanged = HttpServerResponse.empty({ status: 304, headers })
  return (request: HttpServerRequest.HttpServerRequest) =>
    (request.headers["if-none-match"] ?? "").includes(etag) ? unchanged : page
})

/**
 * The API reference: answers a request with the whole page, or with 304 to a browser that has it. The page is a few
 * MB, so it is made once, when somebody first asks; in the background, so that it does not matter who hangs up.
 */
export const makeDocsPage = Effect.gen(function* () {
  const page = yield* Deferred.make<Effect.Effect.Success<typeof build>>()
  const making = yield* Effect.once(Effect.forkIn(Effect.intoDeferred(build, page), yield* Effect.scope))
  return Effect.zipRight(Effect.uninterruptible(making), Deferred.await(page))
})
