import type { ExecutionContext } from 'ava';
import fc from 'fast-check';

/** Checks a property with a new seed in every run. The test logs the seed. FAST_CHECK_SEED sets the seed. */
export async function assertProperty<T>(
  t: ExecutionContext,
  property: fc.IAsyncProperty<T> | fc.IProperty<T>,
  numRuns: number,
): Promise<void> {
  const given = process.env.FAST_CHECK_SEED;
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  t.log(`FAST_CHECK_SEED=${seed}`);
  await t.notThrowsAsync(async () => fc.assert(property, { seed, numRuns, includeErrorInReport: true }));
}
