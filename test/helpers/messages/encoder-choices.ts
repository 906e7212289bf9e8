import fc from 'fast-check';

/** Decides between `options` equivalent encodings. Returns a number from 0 to `options - 1`. */
export type Choose = (options: number) => number;

/** Always decides for the usual encoding: fields in order, defaults omitted, numbers packed. */
export const chooseUsual: Choose = () => 0;

/** The decisions of an encoder as random numbers. fast-check can shrink and print the numbers. */
export const decisions: fc.Arbitrary<readonly number[]> = fc.array(fc.nat(1_000), {
  minLength: 1,
  maxLength: 64,
});

/** Returns a `Choose` that makes the given decisions, again from the start after the last decision. */
export function chooseBy(numbers: readonly number[]): Choose {
  let next = 0;
  return (options) => (numbers[next++ % numbers.length] as number) % options;
}

/** The encoded parts of one field, in order. */
export type Parts = Uint8Array[];

/**
 * Concatenates the parts of all fields. The fields are in any order, but the parts of one field keep their order.
 */
export function interleaved(fields: readonly Parts[], choose: Choose): Buffer {
  const remaining = fields.filter((parts) => parts.length > 0).map((parts) => [...parts]);
  const out: Uint8Array[] = [];
  while (remaining.length > 0) {
    const index = choose(remaining.length);
    out.push(remaining[index]?.shift() as Uint8Array);
    if (remaining[index]?.length === 0) remaining.splice(index, 1);
  }
  return Buffer.concat(out);
}

/** Returns the entries in any order. */
export function shuffled<T>(entries: readonly T[], choose: Choose): T[] {
  const remaining = [...entries];
  return entries.map(() => remaining.splice(choose(remaining.length), 1)[0] as T);
}
