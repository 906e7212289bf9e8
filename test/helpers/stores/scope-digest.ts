import { createHash } from 'node:crypto';

/** What a SQL store keeps of a scope, as a decimal number. */
export function scopeDigest(scope: string): string {
  return createHash('sha256').update(scope).digest().readBigInt64BE().toString();
}
