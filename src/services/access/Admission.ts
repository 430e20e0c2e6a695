import { Context, Effect, Layer, Option, type Redacted } from "effect"
import { AddressNotAllowed, type StorageFailed, Unauthorized } from "../../domain/Failure.ts"
import type { RefusalReason } from "../../domain/Refusal.ts"
import type { AppToken, Origin } from "../../domain/Token.ts"
import { allowlistOf, rememberingAllowlists } from "./Allowlist.ts"
import { type Client, clientOf, type Peer } from "./ClientAddress.ts"
import { Refusals } from "./Refusals.ts"
import { Secrets } from "./Secrets.ts"
import { TokenStore } from "./TokenStore.ts"

/** How many tokens' own lists of networks are kept parsed: more than a network has apps. */
const TOKEN_LISTS_MAX = 1000

/** Admits requests: first by their address, then by their bearer token. Records each refusal in {@link Refusals}. */
export class Admission extends Context.Tag("clawdforge/Admission")<
  Admission,
  {
    /** Returns the client of a request: its peer, or the client that a peer in `trustedProxies` forwards for. */
    readonly clientOf: (peer: Peer) => Client
    /** Admits this host and `allowCidrs`. A client whose address is not known is refused. */
    readonly admitAddress: (client: Client, requestId: string) => Effect.Effect<void, AddressNotAllowed>
    /** Returns the app whose token it is, if the token may be used from that address. */
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
  static readonly layer = (options: {
    readonly allowCidrs: ReadonlyArray<string>
    readonly trustedProxies: ReadonlyArray<string>
    readonly adminToken: Option.Option<Redacted.Redacted>
  }) =>
    Layer.effect(
      Admission,
      Effect.gen(function* () {
        const tokens = yield* TokenStore
        const secrets = yield* Secrets
        const refusals = yield* Refusals
        const allowed = allowlistOf(options.allowCidrs)
        const trusted = allowlistOf(options.trustedProxies)
        const ofToken = rememberingAllowlists(TOKEN_LISTS_MAX)

        /** Records the refusal and fails. */
        const refuse = <F extends Unauthorized | AddressNotAllowed>(
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
          Option.exists(Option.all([bearer, options.adminToken]), ([given, wanted]) =>
            secrets.equal(given, wanted),
          )

        return {
          isAdmin,
          clientOf: (peer) => clientOf(peer, trusted),
          admitAddress: ({ address, local, unknown }, requestId) =>
            unknown === undefined && (local || allowed.has(address))
              ? Effect.void
              : refuseAddress(unknown ?? "service", { address, requestId }),
          admitApp: (bearer, origin) =>
            Effect.mapError(bearer, () => new Unauthorized()).pipe(
              Effect.flatMap(tokens.authenticate),
              Effect.catchTag("Unauthorized", (failure) => refuse(failure, "bearer", origin)),
              Effect.tap((token) =>
                token.ipCidrs.length === 0 || ofToken(token.ipCidrs).has(origin.address)
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
