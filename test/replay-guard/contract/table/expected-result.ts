import { type MetadataValue, status } from '@grpc/grpc-js';

/** Metadata values by name. HTTP/2 joins the text values of one name. */
export type Entries = Readonly<Record<string, readonly MetadataValue[]>>;

/** The expected result of a call. A trailer or detail that is not listed here must be absent. */
export interface Expected {
  readonly code: status;
  /** Default: any text. */
  readonly details?: string;
  /** The number of messages, or their ids. Default: one message for OK, none for a failure. */
  readonly messages?: number | readonly string[];
  /** Whether the reply is stored, so that a trailer gives its expiry. Default: false. */
  readonly stored?: boolean;
  /** Whether a trailer marks the reply as a replay. Default: false. */
  readonly replayed?: boolean;
  readonly refusal?: Refusal;
  /** The metadata that the handler sent. */
  readonly initial?: Entries;
  readonly trailing?: Entries;
}

/** The expected details of a refusal. */
export interface Refusal {
  readonly reason: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** The field that BadRequest names. */
  readonly field?: string;
  /** The minimum and maximum delay of RetryInfo and pushback, in milliseconds. */
  readonly retryMs?: readonly [number, number];
}

const refused = (code: status, reason: string, adds: Omit<Refusal, 'reason'> = {}): Expected => ({
  code,
  refusal: { reason: `IDEMPOTENCY_${reason}`, ...adds },
});
const soon = { retryMs: [200, 200] } as const;

/** The refusals of the contract. */
export const refusals = {
  keyMissing: refused(status.INVALID_ARGUMENT, 'KEY_MISSING', { field: 'idempotency-key' }),
  keyInvalid: refused(status.INVALID_ARGUMENT, 'KEY_INVALID', { field: 'idempotency-key' }),
  firstSentInvalid: refused(status.INVALID_ARGUMENT, 'KEY_INVALID', { field: 'idempotency-first-sent' }),
  fieldInvalid: (field: string) => refused(status.INVALID_ARGUMENT, 'KEY_INVALID', { field }),
  keyReused: refused(status.FAILED_PRECONDITION, 'KEY_REUSED'),
  inProgress: refused(status.UNAVAILABLE, 'KEY_IN_PROGRESS', { retryMs: [200, 5_000] }),
  keyExpired: refused(status.FAILED_PRECONDITION, 'KEY_EXPIRED'),
  /** @param field the metadata entry that is wrong */
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
  replyTooLarge: (limit: number, unit: 'bytes' | 'entries' = 'bytes'): Expected => ({
    ...refused(status.RESOURCE_EXHAUSTED, 'REPLY_TOO_LARGE', {
      metadata: { [`limit_${unit}`]: String(limit) },
    }),
    stored: true,
  }),
  scopeMissing: refused(status.UNAUTHENTICATED, 'SCOPE_MISSING'),
  scopeUnavailable: refused(status.UNAVAILABLE, 'SCOPE_UNAVAILABLE', soon),
  quotaExceeded: (quota: 'in_flight' | 'live_keys', limit: number) =>
    refused(status.RESOURCE_EXHAUSTED, 'QUOTA_EXCEEDED', { metadata: { quota, limit: String(limit) } }),
};

/** OK from an execution, and the reply is stored. */
export const ok: Expected = { code: status.OK, stored: true };
/** OK from a call that the guard did not guard. */
export const unguarded: Expected = { code: status.OK };
/** A failure of the handler that is stored. */
export const stored = (code: status): Expected => ({ code, stored: true });
/** A failure of the handler that is not stored. */
export const notStored = (code: status): Expected => ({ code });
/** The result for the client when the handler throws. */
export const handlerFailed: Expected = {
  code: status.INTERNAL,
  details: 'the handler failed; nothing was committed',
};
