import { sha256, storedId } from '../record-id.js';
import type { RecordAddress } from '../store.js';

/** The stored form of the address of a record: the parameters `$1` and `$2` of each statement on one record. */
export type StoredAddress = readonly [scope: bigint, id: Buffer];

/** SQL for the record at the address `$1`, `$2`. The primary key of both tables is the address. */
export const atAddress = 'scope = $1 AND id = $2';

/** Computes the stored form of an address. An operation computes it once. */
export function storedAddress({ scope, id }: RecordAddress): StoredAddress {
  return [scopeDigest(scope), storedId(id)];
}

/** The stored form of a scope. It hides the name of the scope from readers of the database. */
export function scopeDigest(scope: string): bigint {
  return sha256(scope).readBigInt64BE();
}
