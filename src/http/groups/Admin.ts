import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { expected } from "../../domain/Failure.ts"
import { TokenName } from "../../domain/Token.ts"
import { parseCidr } from "../../services/access/Allowlist.ts"
import { KnownQuery } from "./KnownQuery.ts"
import { problems } from "./Problems.ts"
import { AdminAuth } from "./Auth.ts"
import { body, optional, UnixSeconds } from "./Wire.ts"

const Cidr = Schema.String.pipe(
  Schema.filter((text) => parseCidr(text) !== undefined),
  Schema.annotations({ examples: ["192.168.0.0/16"] }),
)

const Cidrs = Schema.Array(Cidr)
  .annotations({ parseOptions: { errors: "first" } })
  .pipe(
    Schema.maxItems(256),
    Schema.annotations({
      message: expected("must be a list of at most 256 CIDRs such as 192.168.0.0/16 or fd00::/8"),
      description: "Where the token may be used from; empty or absent: no limit of its own.",
    }),
  )

const MintPayload = body({ name: TokenName, ip_cidrs: optional(Cidrs) }).annotations({
  identifier: "MintTokenRequest",
  examples: [{ name: TokenName.make("recipes"), ip_cidrs: ["192.168.0.0/16"] }],
})

const MintedToken = Schema.Struct({
  ok: Schema.Literal(true),
  name: TokenName,
  token: Schema.String.annotations({ description: "The secret. It is shown here and never again." }),
  ip_cidrs: Schema.Array(Schema.String),
  created_at: UnixSeconds,
}).annotations({
  identifier: "MintedToken",
  examples: [
    {
      ok: true,
      name: TokenName.make("recipes"),
      token: "cf_2Vt0Vx1yW3yVJ8m0x1y2z3a4b5c6d7e8f9g0h1i2j3k",
      ip_cidrs: ["192.168.0.0/16"],
      created_at: 1_790_000_000,
    },
  ],
})

const TokenList = Schema.Struct({
  ok: Schema.Literal(true),
  tokens: Schema.Array(
    Schema.Struct({
      name: TokenName,
      ip_cidrs: Schema.Array(Schema.String),
      created_at: UnixSeconds,
      last_used_at: Schema.NullOr(UnixSeconds),
      revoked_at: Schema.NullOr(UnixSeconds),
    }),
  ),
}).annotations({
  identifier: "TokenList",
  examples: [
    {
      ok: true,
      tokens: [
        {
          name: TokenName.make("recipes"),
          ip_cidrs: [],
          created_at: 1_790_000_000,
          last_used_at: null,
          revoked_at: null,
        },
      ],
    },
  ],
})

const RevokedToken = Schema.Struct({
  ok: Schema.Literal(true),
  name: Schema.String,
  already_revoked: Schema.Boolean,
}).annotations({
  identifier: "RevokedToken",
  examples: [{ ok: true, name: "recipes", already_revoked: false }],
})

export class AdminGroup extends HttpApiGroup.make("admin")
  .add(
    HttpApiEndpoint.post("mintToken", "/admin/tokens")
      .setPayload(MintPayload)
      .addSuccess(MintedToken)
      .addError(
        problems(
          "TokenNameTaken",
          "StorageFailed",
          "BodyTooLarge",
          "RequestTooSlow",
          "Overloaded",
          "UnsupportedMediaType",
        ),
      )
      .annotate(OpenApi.Summary, "Mint a token for an app"),
  )
  .add(
    HttpApiEndpoint.get("listTokens", "/admin/tokens")
      .addSuccess(TokenList)
      .addError(problems("StorageFailed"))
      .annotate(OpenApi.Summary, "List tokens, revoked ones too"),
  )
  .add(
    HttpApiEndpoint.del("revokeToken", "/admin/tokens/:name")
      .setPath(Schema.Struct({ name: Schema.String.annotations({ description: "The token's name." }) }))
      .addSuccess(RevokedToken)
      .addError(problems("TokenNotFound", "StorageFailed"))
      .annotate(OpenApi.Summary, "Revoke a token at once"),
  )
  .middleware(KnownQuery)
  .middleware(AdminAuth)
  .annotate(OpenApi.Description, "The operator's routes.") {}
