import * as z from 'zod';
import { MOST_PIECES, quantity, sku } from './fields.js';

const MOST_LINES = 100;

export interface Line {
  readonly sku: string;
  readonly quantity: number;
}

/** The lines of a call: one for each sku, in the order in which everybody locks them. */
export const lines = z
  .array(z.unknown())
  .min(1, 'must not be empty')
  .max(MOST_LINES, `must be at most ${MOST_LINES} lines`)
  // Only then are the lines looked at, so that a million bad ones do not cost a million violations.
  .pipe(z.array(z.object({ sku, quantity })).superRefine(checkSums))
  .transform(addedUp);

/** The one order of skus; by code units, so that it does not depend on a database's collation. */
export function bySku(a: { readonly sku: string }, b: { readonly sku: string }): number {
  return a.sku < b.sku ? -1 : a.sku > b.sku ? 1 : 0;
}

function checkSums(given: readonly Line[], context: z.RefinementCtx): void {
  const sums = new Map<string, number>();
  given.forEach((line, index) => {
    // A line that is too much by itself has been named already.
    if (line.quantity > MOST_PIECES) return;
    const sum = (sums.get(line.sku) ?? 0) + line.quantity;
    sums.set(line.sku, sum);
    if (sum <= MOST_PIECES) return;
    const message = `the lines of one sku must add up to at most ${MOST_PIECES}`;
    context.addIssue({ code: 'custom', path: [index, 'quantity'], message });
  });
}

function addedUp(given: readonly Line[]): readonly Line[] {
  const sums = new Map<string, number>();
  for (const line of given) sums.set(line.sku, (sums.get(line.sku) ?? 0) + line.quantity);
  return [...sums].map(([sku, quantity]) => ({ sku, quantity })).sort(bySku);
}
