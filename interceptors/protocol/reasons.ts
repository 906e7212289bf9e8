/**
 * The `reason` of the ErrorInfo in each refusal of the guard. Clients branch on the reason, so a reason never
 * changes. Each comment names the status code of the refusal.
 */
export const REASONS = {
  /** INVALID_ARGUMENT: the method requires a key and the call has none. */
  KEY_MISSING: 'IDEMPOTENCY_KEY_MISSING',
  /** INVALID_ARGUMENT: the key, the first-sent time or the sequence of the call is malformed. */
  KEY_INVALID: 'IDEMPOTENCY_KEY_INVALID',
  /** UNAUTHENTICATED: the call has no verified identity, so the key has no scope. */
  SCOPE_MISSING: 'IDEMPOTENCY_SCOPE_MISSING',
  /** UNAVAILABLE: the identity of the caller cannot be verified at present. */
  SCOPE_UNAVAILABLE: 'IDEMPOTENCY_SCOPE_UNAVAILABLE',
  /** FAILED_PRECONDITION: the key was used before with another request. */
  KEY_REUSED: 'IDEMPOTENCY_KEY_REUSED',
  /** FAILED_PRECONDITION: the operation was first sent too long ago or in the future. */
  KEY_EXPIRED: 'IDEMPOTENCY_KEY_EXPIRED',
  /** FAILED_PRECONDITION: an earlier sequence was never completed, or the producer is unknown. */
  SEQUENCE_GAP: 'IDEMPOTENCY_SEQUENCE_GAP',
  /** FAILED_PRECONDITION: the producer has begun a later epoch. */
  PRODUCER_FENCED: 'IDEMPOTENCY_PRODUCER_FENCED',
  /** UNAVAILABLE: the first execution still runs, and the wait for its reply has ended. */
  KEY_IN_PROGRESS: 'IDEMPOTENCY_KEY_IN_PROGRESS',
  /** UNAVAILABLE: the store or the database is unavailable, read-only or busy. Nothing was committed. */
  STORE_UNAVAILABLE: 'IDEMPOTENCY_STORE_UNAVAILABLE',
  /** UNAVAILABLE: the execution lost its lease and was rolled back. */
  LEASE_LOST: 'IDEMPOTENCY_LEASE_LOST',
  /** UNAVAILABLE: the commit was sent and its answer was lost. */
  OUTCOME_UNKNOWN: 'IDEMPOTENCY_OUTCOME_UNKNOWN',
  /** RESOURCE_EXHAUSTED: the reply exceeds the limit of the method. The execution was rolled back. */
  REPLY_TOO_LARGE: 'IDEMPOTENCY_REPLY_TOO_LARGE',
  /** RESOURCE_EXHAUSTED: the caller has too many retained keys or in-flight calls. */
  QUOTA_EXCEEDED: 'IDEMPOTENCY_QUOTA_EXCEEDED',
  /** DATA_LOSS: the stored reply is corrupt, erased or encrypted with another key. */
  REPLY_UNREADABLE: 'IDEMPOTENCY_REPLY_UNREADABLE',
} as const;

/** One of the reasons in `REASONS`. */
export type Reason = (typeof REASONS)[keyof typeof REASONS];
