import { Metadata, status } from '@grpc/grpc-js';
import { findCause, isContention, isReadOnly } from '../../database/error-kinds.js';
import { ERROR_DOMAIN } from '../../protocol/headers.js';
import { REASONS, type Reason } from '../../protocol/reasons.js';
import { type StatusDetail, statusDetails } from '../../protocol/status-details.js';
import type { CallOutcome, ExceededQuota } from '../observer.js';

interface RefusalOptions {
  /** The outcome that observers receive for the call. Default: `refused`. */
  readonly outcome?: CallOutcome;
  /** Further details of the status, after the ErrorInfo. */
  readonly details?: readonly StatusDetail[];
  /** The metadata of the ErrorInfo. */
  readonly metadata?: Record<string, string>;
  /** The quota because of which the call is refused. */
  readonly exceeded?: ExceededQuota;
  /** The pause before a retry, in whole milliseconds. Default: the client must not retry. */
  readonly retryAfterMs?: number;
}

/**
 * An answer that the guard sends in place of the handler. A refusal is a status with exactly one ErrorInfo (AIP-193).
 */
export class Refusal extends Error {
  override name = 'Refusal';
  readonly code: status;
  readonly reason: Reason;
  readonly outcome: CallOutcome;
  /** The trailing metadata of the answer: the status details and, for a retry, the pushback. */
  readonly metadata = new Metadata();
  /** The quota because of which the call is refused. Undefined for any other refusal. */
  readonly exceeded: ExceededQuota | undefined;

  constructor(code: status, reason: Reason, message: string, options: RefusalOptions = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.outcome = options.outcome ?? 'refused';
    this.exceeded = options.exceeded;
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

/** A limit that a reply exceeds. */
export interface ExceededLimit {
  /**
   * The part that is too large: the whole reply, one message, the metadata with the status message, or the number of
   * metadata entries.
   */
  readonly part: 'reply' | 'message' | 'metadata' | 'entries';
  /** The limit: a number of entries for `entries`, otherwise bytes. */
  readonly limit: number;
}

const MIN_RETRY_MS = 200;
const MAX_RETRY_MS = 5_000;
/**
 * The pause before a retry while the store is down, in milliseconds. The store is probed at this interval. A shorter
 * pause would only exhaust the attempts of the client.
 */
const OUTAGE_RETRY_MS = 1_000;

function retryable(reason: Reason, message: string, retryAfterMs = MIN_RETRY_MS): Refusal {
  return new Refusal(status.UNAVAILABLE, reason, message, { retryAfterMs });
}

/** Describes a store by its error. The text of the error itself may contain addresses and names of users. */
function stateOfStore(cause: unknown): string {
  if (findCause(cause, isReadOnly)) return 'read-only';
  return findCause(cause, isContention) ? 'busy' : 'unavailable';
}

function pauseAfter(cause: unknown): number {
  return findCause(cause, isContention) ? MIN_RETRY_MS : OUTAGE_RETRY_MS;
}

const quotaNames = {
  in_flight: 'in-flight calls',
  live_keys: 'retained idempotency keys',
  waiting: 'waiting calls',
} as const;

const STILL_RUNNING = 'the first call with this idempotency key is still running';

function inProgress(message: string, ageMs: number, exceeded?: ExceededQuota): Refusal {
  return new Refusal(status.UNAVAILABLE, REASONS.KEY_IN_PROGRESS, `${message}; retry with the same key`, {
    outcome: 'in_progress',
    retryAfterMs: Math.round(Math.min(Math.max(ageMs, MIN_RETRY_MS), MAX_RETRY_MS)),
    ...(exceeded && { exceeded, metadata: quotaMetadata(exceeded) }),
  });
}

function quotaMetadata({ quota, limit }: ExceededQuota): Record<string, string> {
  return { quota, limit: String(limit) };
}

const tooLarge: Readonly<Record<ExceededLimit['part'], (limit: number) => string>> = {
  reply: (limit) => `the reply is larger than ${limit} bytes`,
  message: (limit) => `a message of the reply is larger than ${limit} bytes, the limit of the server`,
  metadata: (limit) => `the metadata or the status message of the reply is larger than ${limit} bytes`,
  entries: (limit) => `the metadata of the reply has more than ${limit} entries`,
};

/** Creates the refusals of the wire contract (docs/contract.md). */
export const refusals = {
  scopeMissing: () =>
    new Refusal(
      status.UNAUTHENTICATED,
      REASONS.SCOPE_MISSING,
      'the call has an idempotency key, but its caller has no verified identity',
    ),
  scopeUnavailable: () =>
    retryable(
      REASONS.SCOPE_UNAVAILABLE,
      'the identity of the caller cannot be verified at present; the call had no effect',
    ),
  keyReused: () =>
    new Refusal(
      status.FAILED_PRECONDITION,
      REASONS.KEY_REUSED,
      'this idempotency key was used before with another request; use a new key for a new operation',
      { outcome: 'reused' },
    ),
  /**
   * @param ageMs how long the first execution has been running, in milliseconds. The client pauses for the same time,
   *   so the time between retries doubles. A few attempts then cover a long execution.
   * @param exceeded the quota because of which the call could not wait
   */
  inProgress: (ageMs: number, exceeded?: ExceededQuota) =>
    inProgress(
      exceeded
        ? `${STILL_RUNNING}, and the caller has reached its limit of ${exceeded.limit} ${quotaNames[exceeded.quota]}`
        : STILL_RUNNING,
      ageMs,
      exceeded,
    ),
  /** Refuses a duplicate, because too many calls of all callers wait. @param ageMs as for `inProgress` */
  tooManyWaiting: (ageMs: number) =>
    inProgress(`${STILL_RUNNING}, and the server has no room for another waiting call`, ageMs),
  /** Refuses a call of a producer, because `limit` calls wait behind its running call. @param ageMs as for `inProgress` */
  tooManyBehind: (ageMs: number, limit: number) =>
    inProgress(`${limit} calls of this producer already wait for its running call`, ageMs),
  /** Refuses a duplicate that has waited without keeping its request. The key may be free. */
  waitedInVain: () =>
    inProgress('the call waited for an execution with this idempotency key, which stored no reply', 0),
  quotaExceeded: (exceeded: ExceededQuota) =>
    new Refusal(
      status.RESOURCE_EXHAUSTED,
      REASONS.QUOTA_EXCEEDED,
      `the caller has reached its limit of ${exceeded.limit} ${quotaNames[exceeded.quota]}; the call had no effect`,
      { exceeded, metadata: quotaMetadata(exceeded) },
    ),
  /** Refuses a call whose handler has not started. @param cause the error of the store */
  storeUnavailable: (cause?: unknown) =>
    retryable(
      REASONS.STORE_UNAVAILABLE,
      `the store of idempotency keys is ${stateOfStore(cause)} at present; the call had no effect`,
      pauseAfter(cause),
    ),
  /** Refuses a call whose handler could not use the database. @param cause the error of the database */
  databaseFailed: (cause: unknown) =>
    retryable(
      REASONS.STORE_UNAVAILABLE,
      `the database was ${stateOfStore(cause)} during the execution, which was rolled back`,
      pauseAfter(cause),
    ),
  leaseLost: () =>
    retryable(
      REASONS.LEASE_LOST,
      'the execution lost its lease and was rolled back; retry with the same key',
    ),
  outcomeUnknown: () =>
    retryable(
      REASONS.OUTCOME_UNKNOWN,
      'the commit was sent and its answer was lost; a retry with the same key returns the outcome',
    ),
  keyExpired: () =>
    new Refusal(
      status.FAILED_PRECONDITION,
      REASONS.KEY_EXPIRED,
      'the operation was first sent in the future, or was first sent too long ago to determine whether it was executed',
      { outcome: 'expired' },
    ),
  sequenceOutdated: () =>
    new Refusal(
      status.FAILED_PRECONDITION,
      REASONS.KEY_EXPIRED,
      'the producer has completed later sequences, and the reply of this sequence is no longer retained; ' +
        'the operation is not executed again',
      { outcome: 'expired' },
    ),
  /** @param expected the next sequence of the producer; undefined when the store has no record of the producer */
  sequenceGap: (expected: bigint | undefined) =>
    new Refusal(
      status.FAILED_PRECONDITION,
      REASONS.SEQUENCE_GAP,
      expected === undefined
        ? 'the producer is unknown or expired and this is not a first sequence; begin a new epoch'
        : 'this is not the next sequence of the producer; this attempt had no effect',
      expected === undefined ? {} : { metadata: { expected: String(expected) } },
    ),
  /** @param epoch the current epoch of the producer */
  producerFenced: (epoch: bigint) =>
    new Refusal(
      status.FAILED_PRECONDITION,
      REASONS.PRODUCER_FENCED,
      'the producer has begun a later epoch, which ended the epoch of this call; this attempt had no effect',
      { metadata: { epoch: String(epoch) } },
    ),
  replyErased: () =>
    new Refusal(
      status.DATA_LOSS,
      REASONS.REPLY_UNREADABLE,
      'the stored reply was erased; the operation was executed and is not executed again',
      { metadata: { erased: 'true' } },
    ),
  replyUnreadable: () =>
    new Refusal(
      status.DATA_LOSS,
      REASONS.REPLY_UNREADABLE,
      'the stored reply cannot be read; the operation was executed and is not executed again',
    ),
  replyUnsendable: () =>
    new Refusal(
      status.DATA_LOSS,
      REASONS.REPLY_UNREADABLE,
      'the stored reply exceeds what this server can send; the operation was executed and is not executed again',
      { metadata: { unsendable: 'true' } },
    ),
  replyTooLarge: ({ part, limit }: ExceededLimit) =>
    new Refusal(
      status.RESOURCE_EXHAUSTED,
      REASONS.REPLY_TOO_LARGE,
      `${tooLarge[part](limit)}, so the operation was rolled back`,
      {
        outcome: 'executed',
        metadata: { [part === 'entries' ? 'limit_entries' : 'limit_bytes']: String(limit) },
      },
    ),
};
