import { Option } from "effect"

type Given<R> = { readonly [K in keyof R]?: R[K] extends Option.Option<infer A> ? A : never }

/** Of what may be given, what was given. */
export const definedOptions = <const R extends Readonly<Record<string, Option.Option<unknown>>>>(
  options: R,
): Given<R> =>
  Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) =>
      Option.toArray(Option.map(value, (some) => [name, some])),
    ),
  ) as Given<R>
