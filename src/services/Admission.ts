import { Context, Effect, Layer, Option, type Redacted } from "effect"
import { AddressNotAllowed, type StorageFailed, Unauthorized } from "../domain/Failure.ts"
import type { AppToken } from "../domain/Token.ts"
import { allowlistOf, isLoopback } from "./Allowlist.ts"
import { Secrets } from "./Secrets.ts"
import { TokenStore } from "./TokenStore.ts"

/** Where a request comes from, as the socket and its headers tell it. */
export interface Peer {
  readonly address: string
  /** The request carries an `X-Forwarded-For`. */
  readonly forwarded: boolean
}

/** Who may ask: first the address of every request, then the bearer token. */
export class Admission extends Context.Tag("clawdforge/Admission")<
  Admission,
  {
    /**
     * Loopback and `allowCidrs` pass. A loopback peer that forwards for somebody is a proxy on this host that
     * nobody declared: were it let in, the whole network behind it would count as loopback.
     */
    readonly admitAddress: (peer: Peer) => Effect.Effect<void, AddressNotAllowed>
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
    readonly adminToken: Option.Option<Redacted.Redacted>
  }) =>
    Layer.effect(
      Admission,
      Effect.gen(function* () {
        const tokens = yield* TokenStore
        const secrets = yield* Secrets
        const allowed = allowlistOf(options.allowCidrs)

        return {
          admitAddress: (peer) => {
            if (!isLoopback(peer.address)) return allowed.has(peer.address) ? Effect.void : refuse("service")
            return peer.forwarded ? refuse("undeclared_proxy") : Effect.void
          },
          admitApp: (bearer, address) =>
            Option.match(bearer, {
              onNone: () => new Unauthorized(),
              onSome: (secret) =>
                Effect.filterOrFail(
                  tokens.authenticate(secret),
                  (token) => token.ipCidrs.length === 0 || allowlistOf(token.ipCidrs).has(address),
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
