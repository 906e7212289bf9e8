/**
 * How the claim, the handler's writes and the reply are bound together.
 * TRANSACTION: all three are one transaction. LEASE: the claim commits first, on its own.
 */
export type Atomicity = 'TRANSACTION' | 'LEASE';

/** What a store needs to know of a call to claim its key. */
export interface ClaimRequest {
  /** 32 bytes that name the operation: (scope, method, key), or its place in a series. */
  readonly id: Buffer;
  /** Present where the operation has a place in a producer's series instead of a key. */
  readonly series?: SeriesPosition;
  readonly scope: string;
  /** Full method path, `/package.Service/Method`. */
  readonly method: string;
  /** 32 bytes, equal for equal requests. */
  readonly fingerprint: Buffer;
  readonly atomicity: Atomicity;
  /** How long the claim is trusted, in milliseconds, at least 1. */
  readonly leaseMs: number;
  /** How long the key is retained, in milliseconds; counted from the claim. */
  readonly retentionMs: number;
  /** When the operation was first sent, where that is known: judged before a new execution begins. */
  readonly sent?: FirstSent;
}

/**
 * What a call says of the time of its operation's first attempt, in milliseconds since the epoch. Several
 * sources may say it, a header and the key itself: the earliest and the latest that was said.
 */
export interface FirstSent {
  readonly earliestMs: number;
  readonly latestMs: number;
}

/** How far ahead of the store's clock a first attempt may claim to have been sent, in milliseconds. */
export const MAX_FIRST_SENT_AHEAD_MS = 5 * 60 * 1_000;

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
  /**
   * Has the claim trusted for another lease from now on. Nothing to do, and no statement, while an open
   * transaction keeps the record locked.
   * @throws LeaseLostError another execution took the key over; its unit of work was rolled back
   */
  renew(): Promise<void>;
}

/** What the store knows of a key that is retained. */
export type FoundRecord =
  | {
      readonly outcome: 'completed';
      readonly fingerprint: Buffer;
      readonly reply: Buffer;
      readonly expiresAtMs: number;
    }
  /** Executed once, and everything but that was erased. */
  | { readonly outcome: 'erased'; readonly expiresAtMs: number }
  | {
      readonly outcome: 'in-progress';
      /** Absent where an open transaction hides it. */
      readonly fingerprint?: Buffer;
      readonly ageMs: number;
      /** How much longer the execution is trusted; 0 or less where it may be taken over. */
      readonly leaseLeftMs: number;
    };

/** Why a key, or a place in a series, was not claimed. */
export type NotClaimed =
  | FoundRecord
  | SequenceRefusal
  /** First sent too long ago, with no record to answer it, or in the future: see `ClaimRequest.sent`. */
  | { readonly outcome: 'expired' };

export type ClaimResult = NotClaimed | { readonly outcome: 'claimed'; readonly claim: Claim };

/**
 * Where the records of idempotency keys live. Every method addresses one record by its id, except
 * `purge`. All times are the store's own clock.
 */
export interface IdempotencyStore {
  /**
   * Claims a key in one atomic step: a new record, an expired one, or one whose lease ran out. For a request with
   * a place in a series it claims that: see `decideSequence` for what may be claimed and what is answered otherwise.
   * @throws DatabaseUnavailableError nothing was claimed, or what was keeps the key until its lease runs out
   */
  claim(request: ClaimRequest): Promise<ClaimResult>;
  /** What is known of a key, without claiming it; undefined where nothing is retained or committed yet. */
  find(id: Buffer): Promise<FoundRecord | undefined>;
  /** The record of a series, by the id of the series; undefined where none is retained or committed yet. */
  findProducer(id: Buffer): Promise<FoundProducer | undefined>;
  /** Deletes at most `limit` expired records, of keys and series, and returns how many. */
  purge(limit: number): Promise<number>;
  /** How many records there are, roughly and cheaply. */
  estimateRecords(): Promise<number>;
  /** How many records of a scope are retained; stops counting at `atMost`. */
  countLive(scope: string, atMost: number): Promise<number>;
  /**
   * Erases at most `limit` completed records of a scope and returns how many: what is left of each is that its
   * key was executed, of a series how far it came. Records in progress stay.
   */
  erase(scope: string, limit: number): Promise<number>;
  /** Resolves when the store answers. @throws DatabaseUnavailableError */
  ping(): Promise<void>;
}

/** Where an operation stands among those of one producer, which share a record. */
export interface SeriesPosition {
  /** 32 bytes that name (scope, method, producer). */
  readonly id: Buffer;
  /** From 0 to 2^63 - 1, as the sequence. */
  readonly epoch: bigint;
  readonly sequence: bigint;
}

/** The record of a series that is retained. */
export interface FoundProducer {
  readonly epoch: bigint;
  /** The last sequence of the epoch that was completed; -1 where none was. */
  readonly completed: bigint;
  /** The window: the last replies, as `SequenceWindow` writes them. */
  readonly replies: Buffer;
  readonly expiresAtMs: number;
  /** Present while a sequence is executed. */
  readonly running?: {
    readonly sequence: bigint;
    readonly fingerprint: Buffer;
    readonly ageMs: number;
    /** How much longer the execution is trusted; 0 or less where it may be taken over. */
    readonly leaseLeftMs: number;
  };
}

/** Sequences between the last one and the one that was asked for were never completed. */
export interface SequenceGap {
  readonly outcome: 'gap';
  readonly expected?: bigint;
  /** That the one that is missing may be executed just now, in a transaction that nobody else can see into. */
  readonly mayBeHidden?: true;
}

/** Why a place in a series cannot be had, where no record of its own tells. */
export type SequenceRefusal =
  /** Not the next one; `expected` is, where one is known. */
  | SequenceGap
  /** Of an epoch that a later one, `epoch`, has ended. */
  | { readonly outcome: 'fenced'; readonly epoch: bigint }
  /** Passed so long ago that its reply is not kept any more. */
  | { readonly outcome: 'outdated' }
  /** What is kept of the series cannot be read. */
  | { readonly outcome: 'unreadable' };
