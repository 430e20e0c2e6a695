import { Schema } from "effect"

/**
 * What is known of the login of `claude`. `missing`: there is none, or the provider does not accept it. `limited`: a limit
 * of the whole login is reached. `expiring`: it ends within a day. `unknown`: nobody has said yet.
 */
export const LoginState = Schema.Literal("ok", "expiring", "missing", "limited", "unknown")
export type LoginState = typeof LoginState.Type
