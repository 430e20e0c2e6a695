import { Option } from "effect"

type Defined<R> = { readonly [K in keyof R]?: R[K] extends Option.Option<infer A> ? A : never }

/** The values of the options that are set, without the others. */
export const definedOptions = <const R extends Readonly<Record<string, Option.Option<unknown>>>>(
  options: R,
): Defined<R> =>
  Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) =>
      Option.toArray(Option.map(value, (some) => [name, some])),
    ),
  ) as Defined<R>
