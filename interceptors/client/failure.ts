import { type Metadata, status } from '@grpc/grpc-js';
import { ERROR_DOMAIN, EXPIRES_TRAILER } from '../protocol/headers.js';
import { type FailureDetails, readStatusDetails } from '../protocol/status-details.js';

/**
 * What a failure says of the operation:
 * - `refused`: it was not done by any attempt, and will not be under this key.
 * - `closed`: this attempt did nothing, and none with this key will; of earlier ones it says nothing.
 * - `not-done`: this attempt did nothing; of earlier ones it says nothing, and a retry now would not help.
 * - `retry`: it may have been done, or be done yet; the next attempt can tell.
 * - `broken`: as `retry`, but it may as well be a fault that stays: only a few attempts are worth it.
 * - `later`: it may have been done, and a retry now would not tell.
 * - `lost`: it may have been done, and no attempt with this key will ever tell.
 */
export type FailureKind = 'refused' | 'closed' | 'not-done' | 'retry' | 'broken' | 'later' | 'lost';

const byCode: Partial<Record<status, FailureKind>> = {
  [status.OK]: 'broken',
  [status.CANCELLED]: 'retry',
  [status.UNKNOWN]: 'broken',
  // Servers grow stricter: an earlier attempt may have met one that took the request.
  [status.INVALID_ARGUMENT]: 'not-done',
  [status.DEADLINE_EXCEEDED]: 'retry',
  [status.NOT_FOUND]: 'not-done',
  [status.ALREADY_EXISTS]: 'not-done',
  [status.PERMISSION_DENIED]: 'not-done',
  // A client too answers so, to a reply that is larger than it takes.
  [status.RESOURCE_EXHAUSTED]: 'later',
  [status.FAILED_PRECONDITION]: 'not-done',
  [status.ABORTED]: 'not-done',
  [status.OUT_OF_RANGE]: 'not-done',
  [status.UNIMPLEMENTED]: 'not-done',
  // A handler that failed, but also a proxy or a connection that did.
  [status.INTERNAL]: 'broken',
  [status.UNAVAILABLE]: 'retry',
  [status.DATA_LOSS]: 'lost',
  [status.UNAUTHENTICATED]: 'not-done',
};

/** Where the guard's own answers say more than their code. */
const byReason: ReadonlyMap<string, FailureKind> = new Map([
  // The request that came first may have been this operation's, built otherwise.
  ['IDEMPOTENCY_KEY_REUSED', 'closed'],
  ['IDEMPOTENCY_KEY_EXPIRED', 'closed'],
  ['IDEMPOTENCY_QUOTA_EXCEEDED', 'not-done'],
]);

/** A failure as the server gave it. */
export interface Failure {
  readonly verdict: FailureKind;
  /** The ErrorInfo's, whoever gave it. */
  readonly reason: string | undefined;
  /** How long the server asks to wait before a retry, in milliseconds; negative where it asks for none. */
  readonly retryAfterMs: number | undefined;
}

/**
 * Judges a failure.
 * @param code OK where the response of a success was lost
 */
export function judge(code: status, trailers: Metadata): Failure {
  const [packed] = trailers.get('grpc-status-details-bin');
  const { errorInfo, retryDelayMs }: FailureDetails = Buffer.isBuffer(packed)
    ? readStatusDetails(packed)
    : {};
  const reason = errorInfo?.reason;
  const said = errorInfo?.domain === ERROR_DOMAIN ? byReason.get(errorInfo.reason) : undefined;
  const retryAfterMs = pushbackMs(trailers) ?? retryDelayMs;
  // Every attempt gets the same answer.
  const isStored = code !== status.OK && trailers.get(EXPIRES_TRAILER).length > 0;
  const verdict = isStored ? 'refused' : (said ?? byCode[code] ?? 'broken');
  return { verdict: heeding(retryAfterMs, verdict), reason, retryAfterMs };
}

/** A server may ask for a retry, or for none, which a negative pushback does (gRPC proposal A6). */
function heeding(retryAfterMs: number | undefined, verdict: FailureKind): FailureKind {
  const isFinal = verdict === 'refused' || verdict === 'closed' || verdict === 'lost';
  if (retryAfterMs === undefined || isFinal) return verdict;
  if (retryAfterMs >= 0) return 'retry';
  return verdict === 'not-done' ? verdict : 'later';
}

/** A pushback that is no number asks for no retry as well. */
function pushbackMs(trailers: Metadata): number | undefined {
  const values = trailers.get('grpc-retry-pushback-ms');
  if (values.length === 0) return undefined;
  const text = String(values[0]);
  return values.length === 1 && /^\d{1,15}$/.test(text) ? Number(text) : -1;
}
