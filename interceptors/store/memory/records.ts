import type { MemoryRecord } from './record.js';

/** The records by id, and the ids of each scope, so that no question about a scope looks at them all. */
export class MemoryRecords {
  readonly #byId = new Map<string, MemoryRecord>();
  readonly #ids = new Map<string, Set<string>>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): MemoryRecord | undefined {
    return this.#byId.get(id);
  }

  set(id: string, record: MemoryRecord): void {
    this.delete(id);
    this.#byId.set(id, record);
    if (record.scope === undefined) return;
    const ids = this.#ids.get(record.scope) ?? new Set();
    this.#ids.set(record.scope, ids.add(id));
  }

  delete(id: string): void {
    const scope = this.#byId.get(id)?.scope;
    this.#byId.delete(id);
    if (scope === undefined) return;
    const ids = this.#ids.get(scope);
    ids?.delete(id);
    if (ids?.size === 0) this.#ids.delete(scope);
  }

  /** Safe to go on with while records are set and deleted. */
  [Symbol.iterator](): Iterator<[string, MemoryRecord]> {
    return this.#byId.entries();
  }

  *ofScope(scope: string): Generator<[string, MemoryRecord]> {
    for (const id of this.#ids.get(scope) ?? []) yield [id, this.#byId.get(id) as MemoryRecord];
  }
}
