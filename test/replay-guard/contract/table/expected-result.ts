import { type MetadataValue, status } from '@grpc/grpc-js';

/** Entries of metadata; HTTP/2 joins texts of one name. */
export type Entries = Readonly<Record<string, readonly MetadataValue[]>>;

/** What a client gets. Whatever is not said here must not be there either. */
export interface Expected {
  readonly code: status;
  /** Default: any. */
  readonly details?: string;
  /** How many messages, or the ids in them. Default: one of OK, none of a failure. */
  readonly messages?: number | readonly string[];
  /** Whether the key is retained, so that the trailers say until when. */
  readonly kept?: boolean;
  readonly replayed?: boolean;
  readonly refusal?: Refusal;
  /** The handler's own metadata. */
  readonly initial?: Entries;
  readonly trailing?: Entries;
}

/** What the guard says where it answers itself. */
export interface Refusal {
  readonly reason: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** The field that BadRequest names. */
  readonly field?: string;
  /** The least and the most milliseconds of RetryInfo and pushback. */
  readonly retryMs?: readonly [number, number];
}

const refused = (code: status, reason: string, adds: Omit<Refusal, 'reason'> = {}): Expected => ({
  code,
  refusal: { reason: `IDEMPOTENCY_${reason}`, ...adds },
});
const soon = { retryMs: [200, 200] } as const;

/** The table of refusals. */
export const refusals = {
  keyMissing: refused(status.INVALID_ARGUMENT, 'KEY_MISSING', { field: 'idempotency-key' }),
  keyInvalid: refused(status.INVALID_ARGUMENT, 'KEY_INVALID', { field: 'idempotency-key' }),
  firstSentInvalid: refused(status.INVALID_ARGUMENT, 'KEY_INVALID', { field: 'idempotency-first-sent' }),
  fieldInvalid: (field: string) => refused(status.INVALID_ARGUMENT, 'KEY_INVALID', { field }),
  keyReused: refused(status.FAILED_PRECONDITION, 'KEY_REUSED'),
  inProgress: refused(status.UNAVAILABLE, 'KEY_IN_PROGRESS', { retryMs: [200, 5_000] }),
  keyExpired: refused(status.FAILED_PRECONDITION, 'KEY_EXPIRED'),
  /** Of the fields that name a sequence. */
  sequenceInvalid: (field: string) => refused(status.INVALID_ARGUMENT, 'KEY_INVALID', { field }),
  gap: (expected?: number) =>
    refused(
      status.FAILED_PRECONDITION,
      'SEQUENCE_GAP',
      expected === undefined ? {} : { metadata: { expected: String(expected) } },
    ),
  fenced: (epoch: number | bigint) =>
    refused(status.FAILED_PRECONDITION, 'PRODUCER_FENCED', { metadata: { epoch: String(epoch) } }),
  storeUnavailable: refused(status.UNAVAILABLE, 'STORE_UNAVAILABLE', { retryMs: [1_000, 1_000] }),
  leaseLost: refused(status.UNAVAILABLE, 'LEASE_LOST', soon),
  outcomeUnknown: refused(status.UNAVAILABLE, 'OUTCOME_UNKNOWN', soon),
  replyUnreadable: refused(status.DATA_LOSS, 'REPLY_UNREADABLE'),
  replyErased: refused(status.DATA_LOSS, 'REPLY_UNREADABLE', { metadata: { erased: 'true' } }),
  replyTooLarge: (limit: number): Expected => ({
    ...refused(status.RESOURCE_EXHAUSTED, 'REPLY_TOO_LARGE', { metadata: { limit_bytes: String(limit) } }),
    kept: true,
  }),
  scopeMissing: refused(status.UNAUTHENTICATED, 'SCOPE_MISSING'),
  scopeUnavailable: refused(status.UNAVAILABLE, 'SCOPE_UNAVAILABLE', soon),
  quotaExceeded: (quota: 'in_flight' | 'live_keys', limit: number) =>
    refused(status.RESOURCE_EXHAUSTED, 'QUOTA_EXCEEDED', { metadata: { quota, limit: String(limit) } }),
};

/** A live reply that is kept. */
export const ok: Expected = { code: status.OK, kept: true };
/** A reply of a call that was not guarded. */
export const unguarded: Expected = { code: status.OK };
/** A failure of the handler's that is kept, and one that is not. */
export const keeps = (code: status): Expected => ({ code, kept: true });
export const releases = (code: status): Expected => ({ code });
/** What a client sees of a handler that threw. */
export const handlerFailed: Expected = {
  code: status.INTERNAL,
  details: 'the handler failed; nothing was committed',
};
