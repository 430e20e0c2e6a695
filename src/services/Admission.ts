import { Context, Effect, Layer, Option, type Redacted } from "effect"
import { AddressNotAllowed, type StorageFailed, Unauthorized } from "../domain/Failure.ts"
import type { AppToken } from "../domain/Token.ts"
import { allowlistOf, rememberingAllowlists } from "./Allowlist.ts"
import { type Client, clientOf, type Peer } from "./ClientAddress.ts"
import { Secrets } from "./Secrets.ts"
import { TokenStore } from "./TokenStore.ts"

/** How many tokens' own lists of addresses are kept ready: more than there are apps on a network. */
const TOKEN_LISTS_MAX = 1000

/** Who may ask: first the address of every request, then the bearer token. */
export class Admission extends Context.Tag("clawdforge/Admission")<
  Admission,
  {
    /** Whom a request is from: its peer, or whom a peer in `trustedProxies` forwards for. */
    readonly clientOf: (peer: Peer) => Client
    /** This host and `allowCidrs` pass; nobody passes of whom it cannot be said where they are. */
    readonly admitAddress: (client: Client) => Effect.Effect<void, AddressNotAllowed>
    /** The app whose token it is, if the token may be used from that address. */
    readonly admitApp: (
      bearer: Option.Option<Redacted.Redacted>,
      address: string,
    ) => Effect.Effect<AppToken, Unauthorized | AddressNotAllowed | StorageFailed>
    /** Passes the operator's bearer only; nobody when there is none. */
    readonly admitAdmin: (bearer: Option.Option<Redacted.Redacted>) => Effect.Effect<void, Unauthorized>
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
        const allowed = allowlistOf(options.allowCidrs)
        const trusted = allowlistOf(options.trustedProxies)
        const ofToken = rememberingAllowlists(TOKEN_LISTS_MAX)

        return {
          clientOf: (peer) => clientOf(peer, trusted),
          admitAddress: ({ address, local, unknown }) => {
            if (unknown !== undefined) return refuse(unknown)
            return local || allowed.has(address) ? Effect.void : refuse("service")
          },
          admitApp: (bearer, address) =>
            Option.match(bearer, {
              onNone: () => new Unauthorized(),
              onSome: (secret) =>
                Effect.filterOrFail(
                  tokens.authenticate(secret),
                  (token) => token.ipCidrs.length === 0 || ofToken(token.ipCidrs).has(address),
                  () => refuse("token"),
                ),
            }),
          admitAdmin: (bearer) =>
            Option.exists(Option.all([bearer, options.adminToken]), ([given, wanted]) =>
              secrets.equal(given, wanted),
            )
              ? Effect.void
              : new Unauthorized(),
        }
      }),
    )
}

const refuse = (by: AddressNotAllowed["by"]) => new AddressNotAllowed({ by })
