import type { RecordAddress } from '../store.js';

/**
 * The record of a key. The object serves as the fence: a claim owns the key while the store holds the object of the
 * claim.
 */
export interface MemoryRecord {
  readonly scope: string;
  readonly isErased?: true;
  readonly fingerprint: Buffer;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  leaseUntilMs: number;
  /** Absent while the execution runs, and after an erasure. */
  reply?: Buffer;
}

/** Returns the address of a record as the key of a map. */
export function addressKey({ scope, id }: RecordAddress): string {
  // Base64 contains no colon.
  return `${id.toString('base64')}:${scope}`;
}

/** The records of keys by address. An index by scope avoids a scan of all records for one scope. */
export class MemoryRecords {
  readonly #byAddress = new Map<string, MemoryRecord>();
  readonly #unerasedByScope = new Map<string, Set<string>>();

  get size(): number {
    return this.#byAddress.size;
  }

  get(address: string): MemoryRecord | undefined {
    return this.#byAddress.get(address);
  }

  /** Stores a record in place of the earlier record at this address. */
  set(address: string, record: MemoryRecord): void {
    this.delete(address);
    this.#byAddress.set(address, record);
    if (record.isErased) return;
    const addresses = this.#unerasedByScope.get(record.scope) ?? new Set();
    this.#unerasedByScope.set(record.scope, addresses.add(address));
  }

  delete(address: string): void {
    const record = this.#byAddress.get(address);
    this.#byAddress.delete(address);
    if (!record) return;
    const addresses = this.#unerasedByScope.get(record.scope);
    addresses?.delete(address);
    if (addresses?.size === 0) this.#unerasedByScope.delete(record.scope);
  }

  /** Iterates over all records. Records may be set and deleted during the iteration. */
  [Symbol.iterator](): Iterator<[string, MemoryRecord]> {
    return this.#byAddress.entries();
  }

  /**
   * Iterates over the records of a scope that were not erased. Records may be set and deleted during the iteration.
   */
  *ofScope(scope: string): Generator<[string, MemoryRecord]> {
    for (const address of this.#unerasedByScope.get(scope) ?? [])
      yield [address, this.#byAddress.get(address) as MemoryRecord];
  }
}
