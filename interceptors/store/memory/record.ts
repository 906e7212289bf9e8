/** The object itself is the fence: a claim owns the key while the store still holds its very record. */
export interface MemoryRecord {
  /** Absent where the reply was erased: that the key was executed is all that is left. */
  readonly scope?: string;
  readonly fingerprint: Buffer;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  leaseUntilMs: number;
  /** Absent while the execution runs, and where it was erased. */
  reply?: Buffer;
}
