import { createHash } from 'node:crypto';

/** The stored form of a scope in a SQL store, as a decimal number. */
export function scopeDigest(scope: string): string {
  return createHash('sha256').update(scope).digest().readBigInt64BE().toString();
}
