import { Metadata, status } from '@grpc/grpc-js';
import { ERROR_DOMAIN } from '../../protocol/headers.js';
import { type StatusDetail, statusDetails } from '../../protocol/status-details.js';
import type { CallOutcome } from '../observer.js';
import type { ExceededQuota } from '../store-access/quotas.js';

interface RefusalOptions {
  /** What the call is counted as. Default: `refused`. */
  readonly outcome?: CallOutcome;
  /** Details besides the ErrorInfo. */
  readonly details?: readonly StatusDetail[];
  readonly metadata?: Record<string, string>;
  /** Where the client is to retry: after how many milliseconds, a whole number. */
  readonly retryAfterMs?: number;
}

/** An answer of the guard's own instead of the handler's: a status with exactly one ErrorInfo. */
export class Refusal extends Error {
  override name = 'Refusal';
  readonly code: status;
  readonly outcome: CallOutcome;
  readonly metadata = new Metadata();

  constructor(code: status, reason: string, message: string, options: RefusalOptions = {}) {
    super(message);
    this.code = code;
    this.outcome = options.outcome ?? 'refused';
    const details: StatusDetail[] = [
      {
        errorInfo: { reason, domain: ERROR_DOMAIN, ...(options.metadata && { metadata: options.metadata }) },
      },
      ...(options.details ?? []),
    ];
    if (options.retryAfterMs !== undefined) {
      details.push({ retryInfo: { retryDelayMs: options.retryAfterMs } });
      this.metadata.set('grpc-retry-pushback-ms', String(options.retryAfterMs));
    }
    this.metadata.set('grpc-status-details-bin', statusDetails(code, message, details));
  }
}

const RETRY_MS = 200;
const LONGEST_RETRY_MS = 5_000;
/** As often as a store that is down is probed: a client's few attempts must not be spent before it is back. */
const OUTAGE_RETRY_MS = 1_000;

function retryable(reason: string, message: string, retryAfterMs = RETRY_MS): Refusal {
  return new Refusal(status.UNAVAILABLE, reason, message, { retryAfterMs });
}

const quotaNames = { in_flight: 'calls in flight', live_keys: 'idempotency keys' } as const;

/** The answers of the wire contract that depend on nothing but their case. */
export const refusals = {
  scopeMissing: () =>
    new Refusal(
      status.UNAUTHENTICATED,
      'IDEMPOTENCY_SCOPE_MISSING',
      'the call carries no identity to which its idempotency key could belong',
    ),
  scopeUnavailable: () =>
    retryable(
      'IDEMPOTENCY_SCOPE_UNAVAILABLE',
      'the identity of the caller cannot be verified for now; nothing was done',
    ),
  keyReused: () =>
    new Refusal(
      status.FAILED_PRECONDITION,
      'IDEMPOTENCY_KEY_REUSED',
      'this idempotency key was used before with another request; use a new key for a new operation',
      { outcome: 'reused' },
    ),
  /**
   * @param ageMs how long the first execution has been running: to wait as long again doubles the time from
   *   retry to retry, so that a client's few attempts span a long execution
   */
  inProgress: (ageMs: number) =>
    new Refusal(
      status.UNAVAILABLE,
      'IDEMPOTENCY_KEY_IN_PROGRESS',
      'the first call with this idempotency key is still running; retry with the same key',
      {
        outcome: 'in_progress',
        retryAfterMs: Math.round(Math.min(Math.max(ageMs, RETRY_MS), LONGEST_RETRY_MS)),
      },
    ),
  quotaExceeded: ({ quota, limit }: ExceededQuota) =>
    new Refusal(
      status.RESOURCE_EXHAUSTED,
      'IDEMPOTENCY_QUOTA_EXCEEDED',
      `the caller has as many ${quotaNames[quota]} as it may have; nothing was done`,
      { metadata: { quota, limit: String(limit) } },
    ),
  storeUnavailable: () =>
    retryable(
      'IDEMPOTENCY_STORE_UNAVAILABLE',
      'the store of idempotency keys cannot be reached; nothing was done',
      OUTAGE_RETRY_MS,
    ),
  leaseLost: () =>
    retryable(
      'IDEMPOTENCY_LEASE_LOST',
      'the execution took longer than it is trusted for and was rolled back; retry with the same key',
    ),
  outcomeUnknown: () =>
    retryable(
      'IDEMPOTENCY_OUTCOME_UNKNOWN',
      'the commit was sent and its answer lost; a retry with the same key finds out what became of it',
    ),
  keyExpired: () =>
    new Refusal(
      status.FAILED_PRECONDITION,
      'IDEMPOTENCY_KEY_EXPIRED',
      'the operation was first sent too long ago to know whether it was executed, or in the future',
      { outcome: 'expired' },
    ),
  sequenceOutdated: () =>
    new Refusal(
      status.FAILED_PRECONDITION,
      'IDEMPOTENCY_KEY_EXPIRED',
      'the producer has passed this sequence, and its reply is not kept any more; it is not executed again',
      { outcome: 'expired' },
    ),
  /** @param expected the next sequence, where one is known */
  sequenceGap: (expected: bigint | undefined) =>
    new Refusal(
      status.FAILED_PRECONDITION,
      'IDEMPOTENCY_SEQUENCE_GAP',
      expected === undefined
        ? 'the producer is not known, or no longer, and this is not its first sequence; begin a new epoch'
        : 'this is not the next sequence of the producer; this attempt did nothing',
      expected === undefined ? {} : { metadata: { expected: String(expected) } },
    ),
  /** @param epoch the one that the producer is in by now */
  producerFenced: (epoch: bigint) =>
    new Refusal(
      status.FAILED_PRECONDITION,
      'IDEMPOTENCY_PRODUCER_FENCED',
      'the producer has begun a later epoch, which ended this one; this attempt did nothing',
      { metadata: { epoch: String(epoch) } },
    ),
  replyErased: () =>
    new Refusal(
      status.DATA_LOSS,
      'IDEMPOTENCY_REPLY_UNREADABLE',
      'the stored reply was erased; the operation was executed and is not executed again',
      { metadata: { erased: 'true' } },
    ),
  replyUnreadable: () =>
    new Refusal(
      status.DATA_LOSS,
      'IDEMPOTENCY_REPLY_UNREADABLE',
      'the stored reply cannot be read; the operation was executed and is not executed again',
    ),
  replyTooLarge: (limitBytes: number) =>
    new Refusal(
      status.RESOURCE_EXHAUSTED,
      'IDEMPOTENCY_REPLY_TOO_LARGE',
      `the reply is larger than ${limitBytes} bytes, so the operation was rolled back`,
      { outcome: 'executed', metadata: { limit_bytes: String(limitBytes) } },
    ),
};
