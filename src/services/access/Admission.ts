import { Context, Effect, Layer, Option, type Redacted } from "effect"
import {
  AddressNotAllowed,
  InvalidRequest,
  OriginNotAllowed,
  type StorageFailed,
  Unauthorized,
} from "../../domain/Failure.ts"
import type { Origin } from "../../domain/Origin.ts"
import type { RefusalReason } from "../../domain/Refusal.ts"
import type { AppToken } from "../../domain/Token.ts"
import { allowlistOf, cachedAllowlists } from "./Allowlist.ts"
import { type Client, clientOf, type Peer } from "./ClientAddress.ts"
import { Refusals } from "./Refusals.ts"
import { Secrets } from "./Secrets.ts"
import { type Site, type SiteHeaders, siteJudge, type SiteSettings } from "./Site.ts"
import { TokenStore } from "./TokenStore.ts"

/** How many parsed `ip_cidrs` of tokens are cached: more than a network has apps. */
const TOKEN_ALLOWLISTS_MAX = 1000

/**
 * Admits requests: by their address, by the web page and the host that they name, and by their bearer token. Records each
 * refusal in {@link Refusals}.
 */
export class Admission extends Context.Tag("clawdforge/Admission")<
  Admission,
  {
    /** Returns the client of a request: its peer, or the client that a peer in `trustedProxies` forwards for. */
    readonly clientOf: (peer: Peer) => Client
    /** Admits clients on this host and in `allowCidrs`. Refuses a client whose address is not known. */
    readonly admitAddress: (client: Client, requestId: string) => Effect.Effect<void, AddressNotAllowed>
    /** Judges the page and the host of a request. Ignores what `peer` forwards, unless it is in `trustedProxies`. */
    readonly siteOf: (peer: string, headers: SiteHeaders) => Site
    /** Admits programs, the service's own pages, and those of `corsOrigins`; under a host name that is the service's. */
    readonly admitSite: (
      site: Site,
      client: Client,
      requestId: string,
    ) => Effect.Effect<void, OriginNotAllowed | InvalidRequest>
    /** Returns the app's token. Fails if there is no such token, or if it may not be used from the origin's address. */
    readonly admitApp: (
      bearer: Option.Option<Redacted.Redacted>,
      origin: Origin,
    ) => Effect.Effect<AppToken, Unauthorized | AddressNotAllowed | StorageFailed>
    /** Whether it is the operator's bearer. Records no refusal. */
    readonly isAdmin: (bearer: Option.Option<Redacted.Redacted>) => boolean
    /** Admits the operator's bearer only, and nobody if the operator has none. */
    readonly admitAdmin: (
      bearer: Option.Option<Redacted.Redacted>,
      origin: Origin,
    ) => Effect.Effect<void, Unauthorized>
  }
>() {
  static readonly layer = (
    options: SiteSettings & {
      readonly allowCidrs: ReadonlyArray<string>
      readonly trustedProxies: ReadonlyArray<string>
      readonly adminToken: Option.Option<Redacted.Redacted>
    },
  ) =>
    Layer.effect(
      Admission,
      Effect.gen(function* () {
        const tokens = yield* TokenStore
        const secrets = yield* Secrets
        const refusals = yield* Refusals
        const allowed = allowlistOf(options.allowCidrs)
        const trusted = allowlistOf(options.trustedProxies)
        const judge = siteJudge(options)
        const allowlistOfToken = cachedAllowlists(TOKEN_ALLOWLISTS_MAX)

        /** Records a refusal, and fails with it. */
        const refuse = <F extends Unauthorized | AddressNotAllowed | OriginNotAllowed>(
          failure: F,
          reason: RefusalReason,
          origin: Origin,
          token?: AppToken,
        ): Effect.Effect<never, F> =>
          Effect.zipRight(
            refusals.record({ code: failure.code, reason, tokenId: token?.id ?? null, origin }),
            Effect.fail(failure),
          )
        const refuseAddress = (by: AddressNotAllowed["by"], origin: Origin, token?: AppToken) =>
          refuse(new AddressNotAllowed({ by }), by, origin, token)

        const isAdmin = (bearer: Option.Option<Redacted.Redacted>) =>
          Option.exists(Option.all([bearer, options.adminToken]), ([actual, expected]) =>
            secrets.equal(actual, expected),
          )

        return {
          isAdmin,
          clientOf: (peer) => clientOf(peer, trusted),
          admitAddress: ({ address, local, unknown }, requestId) =>
            unknown === undefined && (local || allowed.has(address))
              ? Effect.void
              : refuseAddress(unknown ?? "service", { address, requestId }),
          siteOf: (peer, headers) =>
            judge(
              trusted.has(peer)
                ? headers
                : { ...headers, forwardedHost: undefined, forwardedProto: undefined },
            ),
          admitSite: ({ refused }, { address }, requestId) => {
            if (refused === undefined) return Effect.void
            return refused === "host_unreadable"
              ? new InvalidRequest({
                  issues: [{ path: ["Host"], message: "must be one host name or address" }],
                })
              : refuse(new OriginNotAllowed({ by: refused }), refused, { address, requestId })
          },
          admitApp: (bearer, origin) =>
            Effect.mapError(bearer, () => new Unauthorized()).pipe(
              Effect.flatMap(tokens.authenticate),
              Effect.catchTag("Unauthorized", () =>
                refuse(
                  isAdmin(bearer) ? new Unauthorized({ wanted: "app" }) : new Unauthorized(),
                  "bearer",
                  origin,
                ),
              ),
              Effect.tap((token) =>
                token.ipCidrs.length === 0 || allowlistOfToken(token.ipCidrs).has(origin.address)
                  ? Effect.void
                  : refuseAddress("token", origin, token),
              ),
            ),
          admitAdmin: (bearer, origin) =>
            isAdmin(bearer) ? Effect.void : refuse(new Unauthorized(), "admin_bearer", origin),
        }
      }),
    )
}
