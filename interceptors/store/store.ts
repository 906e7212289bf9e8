import type { MaybePromise } from '../timing/maybe-promise.js';

/**
 * How the claim, the handler's writes and the reply depend on each other.
 * - TRANSACTION: one transaction holds all three.
 * - LEASE: the claim commits first. A second transaction holds the writes and the reply.
 */
export type Atomicity = 'TRANSACTION' | 'LEASE';

/** The address of a record. Records of different scopes are different records, also if they have the same id. */
export interface RecordAddress {
  readonly scope: string;
  /** 32 bytes that name the record: a digest of (scope, method, key), or of (scope, method, producer). */
  readonly id: Buffer;
}

/** The input of a claim: an operation and the rules of its method. */
export interface ClaimRequest extends RecordAddress {
  /** 32 bytes that name the operation: a digest of (scope, method, key), or of its position in a series. */
  readonly id: Buffer;
  /** Present if the operation is named by a producer and a sequence instead of a key. */
  readonly series?: SeriesPosition;
  /** The digest of the canonical request, 32 bytes. */
  readonly fingerprint: Buffer;
  readonly atomicity: Atomicity;
  /** How long the claim is valid without a renewal, in milliseconds. At least 1. */
  readonly leaseMs: number;
  /** How long the key is retained, in milliseconds, counted from the claim. */
  readonly retentionMs: number;
  /**
   * When the operation was first sent, if known. The store checks the time before it grants a claim. A retained record
   * answers without this check.
   */
  readonly firstSent?: FirstSent;
  /**
   * Names of marks of the store. While one of them is set, no claim is granted: the result is the retained record, or
   * `superseded`. The store decides this after the claim, so that it sees each mark that was set before. Only a store with
   * `marks` reads them.
   */
  readonly unless?: readonly string[];
}

/**
 * The time of the operation's first attempt, in milliseconds since the epoch. A header and the key may state
 * different times. The two bounds then differ.
 */
export interface FirstSent {
  readonly earliestMs: number;
  readonly latestMs: number;
}

/** How far the first-sent time may be ahead of the store's clock, in milliseconds. */
export const MAX_FIRST_SENT_AHEAD_MS = 5 * 60 * 1_000;

/**
 * A claim: the right to execute an operation once. Exactly one of `complete`, `fail` and `release` ends the claim.
 */
export interface Claim {
  /** Whether this claim took the operation over from an execution whose lease ran out. */
  readonly takenOver: boolean;
  /**
   * The expiry of the record, in milliseconds since the epoch by the store's clock. After `fail`, the expiry of the record
   * that stores the failure.
   */
  readonly expiresAtMs: number;
  /**
   * The error of the statement that failed in the unit of work, or in the last of its nested transactions that were rolled
   * back. Absent while no statement has failed, and in a store without a unit of work.
   */
  readonly failure?: Error | undefined;
  /** Aborted when the store itself ends the unit of work. The reason of the signal is the error. */
  readonly lost: AbortSignal;
  /**
   * Runs `work` with the database handle joined to the unit of work of this claim.
   * @param onLost called at most once, with the reason of `lost`, when the store itself ends the unit of work
   * @param onAfterCommitFailed called with the error of each `afterCommit` action of the work that throws or rejects
   */
  run<T>(work: () => T, onLost?: (reason: Error) => void, onAfterCommitFailed?: (error: unknown) => void): T;
  /**
   * Commits the handler's writes and the reply together. Resolves when both are durable.
   * @throws LeaseLostError when another execution has taken the key over; nothing was committed
   * @throws CommitInDoubtError when the commit was sent and its answer was lost
   */
  complete(reply: Buffer): Promise<void>;
  /**
   * Rolls the handler's writes back and commits the reply alone. With TRANSACTION the rollback undoes the claim as well,
   * and the reply is stored under a new claim. Resolves to undefined when the reply is stored. Resolves to the result of
   * the new claim when another execution has taken the key in between.
   * @throws LeaseLostError in the same case as `complete`
   * @throws CommitInDoubtError in the same case as `complete`
   */
  fail(reply: Buffer): Promise<NotClaimed | undefined>;
  /** Rolls the handler's writes back and gives up the key, if this claim still owns the key. */
  release(): MaybePromise<void>;
  /**
   * Extends the lease to its full length from now. While a transaction is open, `renew` sends no statement, because
   * the transaction keeps the record locked.
   * @throws LeaseLostError when another execution has taken the key over; the unit of work was rolled back
   */
  renew(): Promise<void>;
}

/** A retained record of an operation. */
export type FoundRecord =
  | {
      readonly outcome: 'completed';
      readonly fingerprint: Buffer;
      readonly reply: Buffer;
      readonly expiresAtMs: number;
    }
  /** The operation was executed. Its fingerprint and reply were erased. */
  | { readonly outcome: 'erased'; readonly expiresAtMs: number }
  | {
      readonly outcome: 'in-progress';
      /** Absent if an open transaction hides the fingerprint. */
      readonly fingerprint?: Buffer;
      readonly ageMs: number;
      /**
       * The remaining time of the lease. The key may be taken over if this is 0 or less, or if it shows that the clock was
       * set back: see `hasRunOut`.
       */
      readonly leaseLeftMs: number;
    };

/** Why an operation was not claimed. */
export type NotClaimed =
  | FoundRecord
  | SequenceRefusal
  /** No record is retained, and the first-sent time is too far ahead or too old. See `ClaimRequest.firstSent`. */
  | { readonly outcome: 'expired' }
  /** A mark of `ClaimRequest.unless` is set. */
  | { readonly outcome: 'superseded' };

/** The result of `IdempotencyStore.claim`. */
export type ClaimResult = NotClaimed | { readonly outcome: 'claimed'; readonly claim: Claim };

/**
 * The port of a store, which keeps the records of operations. Every time is a time of the store's own clock. `claim`,
 * `find` and `findProducer` are on one record, at its address.
 */
export interface IdempotencyStore {
  /**
   * Claims an operation in one atomic step. The claim is granted if there is no record, the record has expired, or
   * its lease has run out. `decideSequence` gives the rules for a position in a series.
   * @throws DatabaseUnavailableError when the database is unavailable; a claim may be stored, and then keeps the key
   *   for one lease
   */
  claim(request: ClaimRequest): MaybePromise<ClaimResult>;
  /** Returns or resolves to the record of an operation, or to undefined if no committed record is retained. */
  find(address: RecordAddress): MaybePromise<FoundRecord | undefined>;
  /** Returns or resolves to the record of a series, or to undefined if no committed record is retained. */
  findProducer(address: RecordAddress): MaybePromise<FoundProducer | undefined>;
  /**
   * Deletes at most `limit` expired records of keys and series. A record that a claim renews meanwhile is not deleted.
   * @param after where to start: `next` of the previous batch. Default: the beginning. A run of batches may miss a
   *   record that expires meanwhile. A run that starts from the beginning finds every expired record.
   */
  purge(limit: number, after?: string): Promise<PurgedBatch>;
  /** Resolves to an estimate of the number of records. The estimate must be cheap. */
  estimateRecords(): Promise<number>;
  /** Resolves to the number of retained records of a scope that were not erased. Counting stops at `max`. */
  countLive(scope: string, max: number): Promise<number>;
  /**
   * Erases at most `limit` completed records of a scope. An erasure removes the reply and the fingerprint, and keeps the
   * address. An erased record of a key still shows that the key was executed. An erased record of a series still shows
   * the last completed sequence. A record with a valid lease is not erased.
   * @param after where to start: `next` of the previous batch. Default: the beginning. A run of batches erases each
   *   record that was completed before the run began, except records that another transaction holds meanwhile.
   */
  erase(scope: string, limit: number, after?: string): Promise<ErasedBatch>;
  /**
   * Removes the bytes of erased and deleted records from the files of the store. Resolves to false if the files may still
   * contain such bytes, for example because a reader needs an earlier state. Absent if the store cannot tell.
   */
  removeTraces?(): Promise<boolean>;
  /** Absent in a store that cannot keep marks. Its records then keep the form of earlier versions: see `Peppers.covers`. */
  readonly marks?: StoreMarks;
  /**
   * Resolves when the store can store a claim and its reply.
   * @throws DatabaseUnavailableError when a claim would fail
   */
  ping(): Promise<void>;
}

/**
 * Facts about a whole store, which the servers on the store agree on. A mark is a name with a number. It is set once, is
 * never changed, and does not expire.
 */
export interface StoreMarks {
  /** Returns or resolves to the number of a mark, or to undefined if the mark is not set. */
  find(name: string): MaybePromise<number | undefined>;
  /** Sets a mark, unless it is set. Resolves to the number that the store has, after its commit. */
  set(name: string, value: number): Promise<number>;
  /** Resolves to whether the store has no record at all. The answer is exact. */
  isEmpty(): Promise<boolean>;
  /**
   * Refuses the claims of versions of this library that know no marks, from now on and also after a restart. Waits for
   * their running transactions. Resolves to the latest expiry of the existing records, in milliseconds since the epoch,
   * or to 0 if there is no record.
   */
  refuseEarlierVersions(): Promise<number>;
}

/** The result of one batch of a purge. */
export interface PurgedBatch {
  /** The number of deleted records. */
  readonly purged: number;
  /** Where the next batch starts. Absent if the batch has reached the last expired record. */
  readonly next?: string;
  /**
   * How long the statements of the batch occupied the database, in milliseconds. The time in a queue does not count.
   */
  readonly busyMs: number;
  /** Whether calls wait while the statements of a batch run. If so, the batches must be short. */
  readonly blocksCalls: boolean;
}

/** The result of one batch of an erasure. */
export interface ErasedBatch {
  /** The number of erased records. */
  readonly erased: number;
  /**
   * The number of records of the scope that the run did not erase: locked records of this batch and, in the last batch,
   * records whose execution still runs. An execution in a transaction that is not visible does not count.
   */
  readonly skipped: number;
  /** Where the next batch starts. Absent if the batch has reached the last record of the scope. */
  readonly next?: string;
}

/** The position of an operation in the series of one producer. The operations of a series share one record. */
export interface SeriesPosition {
  /** 32 bytes that name (scope, method, producer). The scope of the request and this id are the address of the record. */
  readonly id: Buffer;
  /** From 0 to 2^63 - 1. */
  readonly epoch: bigint;
  /** From 0 to 2^63 - 1. */
  readonly sequence: bigint;
}

/** A retained record of a series. */
export interface FoundProducer {
  readonly epoch: bigint;
  /** The last completed sequence of the epoch, or -1. */
  readonly completed: bigint;
  /** The last replies, in the stored form of `SequenceWindow`. */
  readonly replies: Buffer;
  readonly expiresAtMs: number;
  /** Present while a sequence is executed. */
  readonly running?: {
    readonly sequence: bigint;
    readonly fingerprint: Buffer;
    readonly ageMs: number;
    /** The remaining time of the lease. The rule for a takeover is the same as for keys. */
    readonly leaseLeftMs: number;
  };
}

/** An earlier sequence was never completed. */
export interface SequenceGap {
  readonly outcome: 'gap';
  /** The next sequence of the series, if known. */
  readonly expected?: bigint;
  /** Present if the missing sequence may be executing in a transaction that other connections cannot see. */
  readonly mayBeHidden?: true;
}

/** Why a position in a series was refused. */
export type SequenceRefusal =
  | SequenceGap
  /** The series has a later epoch, `epoch`. The epoch of the request has ended. */
  | { readonly outcome: 'fenced'; readonly epoch: bigint }
  /** The series has a later sequence, and the window has no reply of the requested sequence. */
  | { readonly outcome: 'outdated' }
  /** The stored window of the series is not readable. */
  | { readonly outcome: 'unreadable' };
