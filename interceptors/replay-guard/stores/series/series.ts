/** Where an operation stands among those of one producer, which share a record. */
export interface SeriesPlace {
  /** 32 bytes that name (scope, method, producer). */
  readonly id: Buffer;
  /** From 0 to 2^63 - 1, as the sequence. */
  readonly epoch: bigint;
  readonly sequence: bigint;
}

/** The record of a series that is retained. */
export interface FoundSeries {
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
export interface Gap {
  readonly outcome: 'gap';
  readonly expected?: bigint;
  /** That the one that is missing may be executed just now, in a transaction that nobody else can see into. */
  readonly mayBeHidden?: true;
}

/** Why a place in a series cannot be had, where no record of its own tells. */
export type SeriesRefusal =
  /** Not the next one; `expected` is, where one is known. */
  | Gap
  /** Of an epoch that a later one, `epoch`, has ended. */
  | { readonly outcome: 'fenced'; readonly epoch: bigint }
  /** Passed so long ago that its reply is not kept any more. */
  | { readonly outcome: 'outdated' }
  /** What is kept of the series cannot be read. */
  | { readonly outcome: 'unreadable' };
