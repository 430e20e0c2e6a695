/** Returns the first rows that have at most `max` bytes together; at least one, if there is any. */
export const firstWithin = <A extends { readonly bytes: number }>(
  rows: ReadonlyArray<A>,
  max: number,
): ReadonlyArray<A> => {
  let bytes = 0
  const tooMuch = rows.findIndex((row, n) => (bytes += row.bytes) > max && n > 0)
  return tooMuch < 0 ? rows : rows.slice(0, tooMuch)
}
