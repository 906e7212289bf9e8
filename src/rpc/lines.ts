import * as z from 'zod';
import { MAX_QUANTITY, quantity, sku } from './fields.js';

const MAX_LINES = 100;

/** A quantity of one item. */
export interface Line {
  readonly sku: string;
  readonly quantity: number;
}

/** The lines of a call: one line for each sku, in the order in which transactions lock items. */
export const lines = z
  .array(z.unknown())
  .min(1, 'must not be empty')
  .max(MAX_LINES, `must be at most ${MAX_LINES} lines`)
  // The lines are checked after their number, so that a million bad lines do not cause a million violations.
  .pipe(z.array(z.object({ sku, quantity })).superRefine(checkSums))
  .transform(mergeLines);

/** Compares skus by code units. This order does not depend on the collation of a database. */
export function bySku(a: { readonly sku: string }, b: { readonly sku: string }): number {
  return a.sku < b.sku ? -1 : a.sku > b.sku ? 1 : 0;
}

function checkSums(given: readonly Line[], context: z.RefinementCtx): void {
  const sums = new Map<string, number>();
  given.forEach((line, index) => {
    // The check of the single line has already reported this quantity.
    if (line.quantity > MAX_QUANTITY) return;
    const sum = (sums.get(line.sku) ?? 0) + line.quantity;
    sums.set(line.sku, sum);
    if (sum <= MAX_QUANTITY) return;
    const message = `the lines of one sku must add up to at most ${MAX_QUANTITY}`;
    context.addIssue({ code: 'custom', path: [index, 'quantity'], message });
  });
}

function mergeLines(given: readonly Line[]): readonly Line[] {
  const sums = new Map<string, number>();
  for (const line of given) sums.set(line.sku, (sums.get(line.sku) ?? 0) + line.quantity);
  return [...sums].map(([sku, quantity]) => ({ sku, quantity })).sort(bySku);
}
