import { Args, Command, Options } from "@effect/cli"
import { Effect } from "effect"
import { TokenName } from "../../domain/Token.ts"
import { client } from "../Connection.ts"
import { reportErrors } from "../ReportErrors.ts"
import { Output } from "../Output.ts"
import * as Table from "../Table.ts"
import { json } from "./Options.ts"

const tokenName = Args.text({ name: "name" }).pipe(
  Args.withSchema(TokenName),
  Args.withDescription("The app's name: a-z, 0-9, _ and -."),
)

const mint = Command.make(
  "mint",
  {
    json,
    cidr: Options.text("cidr").pipe(
      Options.withDescription("Where it may be used from, such as 192.168.1.7/32; may be given again."),
      Options.repeated,
    ),
    name: tokenName,
  },
  ({ json, cidr, name }) =>
    Effect.gen(function* () {
      const out = yield* Output
      const minted = yield* (yield* client).admin.mintToken({ payload: { name, ip_cidrs: cidr } })
      yield* json ? out.json(minted) : out.line(minted.token)
    }).pipe(reportErrors(json)),
).pipe(Command.withDescription("Mints an app's token, and prints it: the only time that it is shown."))

const COLUMNS = {
  name: "id",
  ip_cidrs: "id",
  created_at: "time",
  last_used_at: "time",
  revoked_at: "time",
} as const

const list = Command.make("list", { json }, ({ json }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const listed = yield* (yield* client).admin.listTokens()
    yield* json ? out.json(listed) : out.line(Table.of(listed.tokens, COLUMNS))
  }).pipe(reportErrors(json)),
).pipe(Command.withDescription("Lists all tokens; never their secrets."))

const revoke = Command.make("revoke", { json, name: tokenName }, ({ json, name }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const done = yield* (yield* client).admin.revokeToken({ path: { name } })
    yield* json ? out.json(done) : out.line(done.already_revoked ? "was revoked already" : "revoked")
  }).pipe(reportErrors(json)),
).pipe(Command.withDescription("Revokes an app's token, at once, with all that it has open."))

/** The operator's: needs CLAWDFORGE_ADMIN_TOKEN, or to be run where the service is. */
export const token = Command.make("token").pipe(
  Command.withDescription("Apps and their tokens, for the operator."),
  Command.withSubcommands([mint, list, revoke]),
)
