/**
 * How the claim, the handler's writes and the reply are bound together.
 * TRANSACTION: all three are one transaction. LEASE: the claim commits first, on its own.
 */
export type Atomicity = 'TRANSACTION' | 'LEASE';

/** What a store needs to know of a call to claim its key. */
export interface ClaimRequest {
  /** 32 bytes that name (scope, method, key). */
  readonly id: Buffer;
  readonly scope: string;
  /** Full method path, `/package.Service/Method`. */
  readonly method: string;
  /** 32 bytes, equal for equal requests. */
  readonly fingerprint: Buffer;
  readonly atomicity: Atomicity;
  /** How long the claim is trusted, in milliseconds, at least 1. */
  readonly leaseMs: number;
  /** How long the key is retained, in milliseconds; counted from the claim. */
  readonly ttlMs: number;
}

/**
 * A claimed key: the right to execute the operation once. Exactly one of `complete`, `fail` and
 * `release` ends it.
 */
export interface Claim {
  /** Whether an earlier execution held this key and its lease ran out. */
  readonly takenOver: boolean;
  /** When the key's retention ends, in milliseconds since the epoch, by the store's clock. */
  readonly expiresAtMs: number;
  /** Aborted when the store itself ends the unit of work; its reason says why. */
  readonly lost: AbortSignal;
  /** Runs `work` so that the database handle joins this claim's unit of work. */
  run<T>(work: () => T): T;
  /**
   * Commits the handler's writes and the reply together; resolves when both are durable.
   * @throws LeaseLostError nothing was committed: another execution took the key over
   * @throws CommitInDoubtError the commit was sent and its answer lost
   */
  complete(reply: Buffer): Promise<void>;
  /** Rolls the handler's writes back and commits the reply alone; throws as `complete` does. */
  fail(reply: Buffer): Promise<void>;
  /** Rolls the handler's writes back and gives the key up, if it is still this claim's. */
  release(): Promise<void>;
}

export type ClaimResult =
  | { readonly outcome: 'claimed'; readonly claim: Claim }
  | {
      readonly outcome: 'completed';
      readonly fingerprint: Buffer;
      readonly reply: Buffer;
      readonly expiresAtMs: number;
    }
  /** Somebody else is executing; the fingerprint is absent where an open transaction hides it. */
  | { readonly outcome: 'in-progress'; readonly fingerprint?: Buffer; readonly ageMs: number };

/**
 * Where the records of idempotency keys live. Every method addresses one record by its id, except
 * `purge`. All times are the store's own clock.
 */
export interface IdempotencyStore {
  /**
   * Claims a key in one atomic step: a new record, an expired one, or one whose lease ran out.
   * @throws DatabaseUnavailableError nothing was claimed, or what was keeps the key until its lease runs out
   */
  claim(request: ClaimRequest): Promise<ClaimResult>;
  /** Deletes at most `limit` expired records and returns how many. */
  purge(limit: number): Promise<number>;
  /** How many records there are, roughly and cheaply. */
  estimateRecords(): Promise<number>;
}
