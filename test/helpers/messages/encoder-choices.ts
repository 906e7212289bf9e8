import fc from 'fast-check';
import type { Choose } from './append-wire.js';

/** A way through the choices of an encoder, which fast-check can shrink and print. */
export const ways: fc.Arbitrary<readonly number[]> = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 64 });

export function choosing(picks: readonly number[]): Choose {
  let at = 0;
  return (options) => (picks[at++ % picks.length] as number) % options;
}
