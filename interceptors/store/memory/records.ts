/**
 * The record of a key. The object serves as the fence: a claim owns the key while the store holds the object of the
 * claim.
 */
export interface MemoryRecord {
  /** Absent if the record was erased. */
  readonly scope?: string;
  readonly fingerprint: Buffer;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  leaseUntilMs: number;
  /** Absent while the execution runs, and after an erasure. */
  reply?: Buffer;
}

/** The records of keys by id. An index by scope avoids a scan of all records for one scope. */
export class MemoryRecords {
  readonly #byId = new Map<string, MemoryRecord>();
  readonly #idsByScope = new Map<string, Set<string>>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): MemoryRecord | undefined {
    return this.#byId.get(id);
  }

  /** Stores a record in place of the earlier record with this id. */
  set(id: string, record: MemoryRecord): void {
    this.delete(id);
    this.#byId.set(id, record);
    if (record.scope === undefined) return;
    const ids = this.#idsByScope.get(record.scope) ?? new Set();
    this.#idsByScope.set(record.scope, ids.add(id));
  }

  delete(id: string): void {
    const scope = this.#byId.get(id)?.scope;
    this.#byId.delete(id);
    if (scope === undefined) return;
    const ids = this.#idsByScope.get(scope);
    ids?.delete(id);
    if (ids?.size === 0) this.#idsByScope.delete(scope);
  }

  /** Iterates over all records. Records may be set and deleted during the iteration. */
  [Symbol.iterator](): Iterator<[string, MemoryRecord]> {
    return this.#byId.entries();
  }

  /** Iterates over the records of a scope. Records may be set and deleted during the iteration. */
  *ofScope(scope: string): Generator<[string, MemoryRecord]> {
    for (const id of this.#idsByScope.get(scope) ?? []) yield [id, this.#byId.get(id) as MemoryRecord];
  }
}
