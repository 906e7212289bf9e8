/** The object itself is the fence: a claim owns the key while the store still holds its very record. */
export interface MemoryRecord {
  readonly fingerprint: Buffer;
  readonly createdAtMs: number;
  readonly leaseUntilMs: number;
  readonly expiresAtMs: number;
  /** Absent while the execution runs. */
  reply?: Buffer;
}
