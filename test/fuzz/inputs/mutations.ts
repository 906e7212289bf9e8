import fc from 'fast-check';

/** A change of bytes or of a text. Positions and lengths are fractions of its size, so that they fit every size. */
export interface Mutation {
  readonly kind: (typeof kinds)[number];
  /** Where the change begins, from 0 to 1. */
  readonly at: number;
  /** How much is changed: the share of the rest, from 0 to 1. */
  readonly share: number;
  /** The new values, or a number of repeats. */
  readonly values: readonly number[];
}

const kinds = ['flip', 'set', 'insert', 'remove', 'repeat', 'move', 'truncate', 'lengthen'] as const;

/** Values at which parsers often fail: limits of lengths, tags, signs and characters. */
const edges = [0, 1, 9, 10, 13, 32, 34, 39, 44, 45, 46, 58, 59, 92, 127, 128, 192, 254, 255];
const value = fc.oneof(fc.constantFrom(...edges), fc.nat(255));
const fraction = fc.nat(1_000).map((thousandths) => thousandths / 1_000);

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom(...kinds),
  at: fraction,
  share: fc.oneof(fc.constant(0), fraction),
  values: fc.array(value, { minLength: 1, maxLength: 6 }),
});

/** Random changes: flipped bits, wrong lengths, splices, repeats, truncations. */
export const mutations: fc.Arbitrary<readonly Mutation[]> = fc.array(mutation, {
  minLength: 1,
  maxLength: 4,
});

/** Changes bytes. */
export const mutateBytes = (bytes: Uint8Array, changes: readonly Mutation[]): Buffer =>
  Buffer.from(mutated([...bytes], changes));

/** Changes the characters of a text. */
export const mutateText = (text: string, changes: readonly Mutation[]): string =>
  String.fromCharCode(
    ...mutated(
      Array.from(text, (_, index) => text.charCodeAt(index)),
      changes,
    ),
  );

/** The maximum size of a changed input. */
const MAX_SIZE = 20_000;

function mutated(units: readonly number[], changes: readonly Mutation[]): number[] {
  return changes.reduce(apply, [...units]).slice(0, MAX_SIZE);
}

function apply(units: number[], { kind, at, share, values }: Mutation): number[] {
  const start = Math.min(units.length, Math.floor(at * (units.length + 1)));
  const end = Math.min(units.length, start + 1 + Math.floor(share * (units.length - start)));
  const [before, part, after] = [units.slice(0, start), units.slice(start, end), units.slice(end)];
  const first = values[0] as number;
  switch (kind) {
    case 'flip':
      return [
        ...before,
        ...part.slice(0, 1).map((unit) => unit ^ (1 << (first % 8))),
        ...units.slice(start + 1),
      ];
    case 'set':
      return [...before, ...values.slice(0, part.length), ...units.slice(start + values.length)];
    case 'insert':
      return [...before, ...values, ...units.slice(start)];
    case 'remove':
      return [...before, ...after];
    case 'repeat':
      return [...before, ...Array.from({ length: 2 + (first % 64) }, () => part).flat(), ...after];
    case 'move':
      return [...part, ...before, ...after];
    case 'truncate':
      return before;
    case 'lengthen':
      // Changes a length in front of a part, such as a string, by a small number.
      return [
        ...before,
        ...part.slice(0, 1).map((unit) => (unit + (first % 5) - 2) & 255),
        ...units.slice(start + 1),
      ];
  }
}
