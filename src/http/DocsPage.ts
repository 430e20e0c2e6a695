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

/** Scalar's options. Everything that contacts scalar.com is off: fonts, client, sharing, telemetry. */
const SCALAR_OPTIONS = {
  withDefaultFonts: false,
  hideClientButton: true,
  showToolbar: "never",
  telemetry: false,
  documentDownloadType: "json",
  // Readers look for a route by its path, in the order of the document.
  operationTitleSource: "path",
  orderSchemaPropertiesBy: "preserve",
  defaultOpenAllTags: true,
  // Scalar sends one token to every route. Most readers are apps; an operator selects `admin` on the page.
  authentication: { preferredSecurityScheme: "app" },
}

/** The page shows the document of /openapi.json, not the one that the framework derives by itself. */
const scalarRoute = HttpApiScalar.layerHttpLayerRouter({
  api: Api.annotate(OpenApi.Transform, () => openApiDocument),
  path: "/docs",
  scalar: SCALAR_OPTIONS,
})

/** Renders the page's HTML. The package offers the page only as a route, so a separate router serves it once. */
const renderPage = Effect.gen(function* () {
  const router = yield* HttpLayerRouter.make
  yield* Layer.build(Layer.provide(scalarRoute, Layer.succeed(HttpLayerRouter.HttpRouter, router)))
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
 * The page's Content-Security-Policy: it may contact this service only, and run its own scripts only.
 * `wasm-unsafe-eval` is there because Scalar hashes in WebAssembly, `unsafe-inline` because it adds styles at run time.
 */
const contentSecurityPolicy = (scripts: ReadonlyArray<string>): string =>
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

const buildPage = Effect.gen(function* () {
  const html = yield* renderPage
  const encoder = new TextEncoder()
  const bytes = encoder.encode(html)
  const etag = `"${yield* sha256(bytes)}"`
  const scripts = yield* Effect.forEach(html.matchAll(/<script>([\s\S]*?)<\/script>/g), ([, script]) =>
    sha256(encoder.encode(script)),
  )
  const headers = {
    "content-security-policy": contentSecurityPolicy(scripts),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
    etag,
  }
  const page = HttpServerResponse.uint8Array(bytes, { contentType: "text/html; charset=utf-8", headers })
  const notModified = HttpServerResponse.empty({ status: 304, headers })
  return (request: HttpServerRequest.HttpServerRequest) =>
    (request.headers["if-none-match"] ?? "").includes(etag) ? notModified : page
})

/**
 * Makes the API reference: a function that answers a request with the whole page, or with 304 if the browser has it.
 *
 * The page is a few MB. It is built once, on the first request, in a background fiber: a client that hangs up does not
 * interrupt the build for the others.
 */
export const makeDocsPage = Effect.gen(function* () {
  const page = yield* Deferred.make<Effect.Effect.Success<typeof buildPage>>()
  const buildOnce = yield* Effect.once(
    Effect.forkIn(Effect.intoDeferred(buildPage, page), yield* Effect.scope),
  )
  return Effect.zipRight(Effect.uninterruptible(buildOnce), Deferred.await(page))
})
