import { type Metadata, status } from '@grpc/grpc-js';
import { ERROR_DOMAIN, EXPIRES_TRAILER } from '../protocol/headers.js';
import { REASONS, type Reason } from '../protocol/reasons.js';
import { type FailureDetails, readStatusDetails } from '../protocol/status-details.js';

/**
 * The meaning of a failed attempt for the operation:
 * - `refused`: no attempt executed the operation, and no attempt with this key will execute the operation.
 * - `closed`: this attempt did not execute the operation, and no later attempt will. An earlier attempt may have
 *   executed the operation.
 * - `not-done`: this attempt did not execute the operation, but an earlier attempt may have. A retry would fail.
 * - `retry`: the operation may be executed already, or still be running. A retry can determine the outcome.
 * - `fault`: like `retry`, but the fault may be permanent. Only a few attempts are useful.
 * - `later`: the operation may be executed already. A retry now would not determine the outcome.
 * - `lost`: the operation may be executed already. No attempt with this key can determine the outcome.
 */
export type FailureKind = 'refused' | 'closed' | 'not-done' | 'retry' | 'fault' | 'later' | 'lost';

const kindByCode: Partial<Record<status, FailureKind>> = {
  [status.OK]: 'fault',
  [status.CANCELLED]: 'retry',
  [status.UNKNOWN]: 'fault',
  // A new version of a server may validate more strictly than the version that an earlier attempt reached.
  [status.INVALID_ARGUMENT]: 'not-done',
  [status.DEADLINE_EXCEEDED]: 'retry',
  [status.NOT_FOUND]: 'not-done',
  [status.ALREADY_EXISTS]: 'not-done',
  [status.PERMISSION_DENIED]: 'not-done',
  // A gRPC client itself also produces this status, if a reply exceeds its receive limit.
  [status.RESOURCE_EXHAUSTED]: 'later',
  [status.FAILED_PRECONDITION]: 'not-done',
  [status.ABORTED]: 'not-done',
  [status.OUT_OF_RANGE]: 'not-done',
  [status.UNIMPLEMENTED]: 'not-done',
  // The source is a handler, a proxy or the connection.
  [status.INTERNAL]: 'fault',
  [status.UNAVAILABLE]: 'retry',
  [status.DATA_LOSS]: 'lost',
  [status.UNAUTHENTICATED]: 'not-done',
};

/** The status code of each refusal, and its meaning if the reason is more precise than the code. */
const refusals: Readonly<Record<Reason, { readonly code: status; readonly kind?: FailureKind }>> = {
  [REASONS.KEY_MISSING]: { code: status.INVALID_ARGUMENT },
  [REASONS.KEY_INVALID]: { code: status.INVALID_ARGUMENT },
  [REASONS.SCOPE_MISSING]: { code: status.UNAUTHENTICATED },
  [REASONS.SCOPE_UNAVAILABLE]: { code: status.UNAVAILABLE },
  // An earlier attempt of this operation may have sent a different request under this key.
  [REASONS.KEY_REUSED]: { code: status.FAILED_PRECONDITION, kind: 'closed' },
  [REASONS.KEY_EXPIRED]: { code: status.FAILED_PRECONDITION, kind: 'closed' },
  [REASONS.SEQUENCE_GAP]: { code: status.FAILED_PRECONDITION },
  [REASONS.PRODUCER_FENCED]: { code: status.FAILED_PRECONDITION },
  [REASONS.KEY_IN_PROGRESS]: { code: status.UNAVAILABLE },
  [REASONS.STORE_UNAVAILABLE]: { code: status.UNAVAILABLE },
  [REASONS.LEASE_LOST]: { code: status.UNAVAILABLE },
  [REASONS.OUTCOME_UNKNOWN]: { code: status.UNAVAILABLE },
  [REASONS.REPLY_TOO_LARGE]: { code: status.RESOURCE_EXHAUSTED },
  [REASONS.QUOTA_EXCEEDED]: { code: status.RESOURCE_EXHAUSTED, kind: 'not-done' },
  [REASONS.REPLY_UNREADABLE]: { code: status.DATA_LOSS },
};

/** The codes of failures that no guard stores. The client itself may also produce them, after a reply that it lost. */
const neverStored: readonly status[] = [
  status.OK,
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.UNAVAILABLE,
];

/** A classified failure of one attempt. */
export interface Failure {
  readonly kind: FailureKind;
  /** The reason of the ErrorInfo, of any domain. Undefined if the guard has the reason, but with another status code. */
  readonly reason: string | undefined;
  /** The pause that the server asks for, in milliseconds. Negative if the server asks the client not to retry. */
  readonly retryAfterMs: number | undefined;
}

/**
 * Classifies the failure of an attempt. A refusal counts only with the status code of its reason, and a stored reply only
 * with a code that a guard stores. Otherwise a server between the client and the guard has copied the entry from a call of
 * its own.
 * @param code OK if the call succeeded and its response was lost
 */
export function classifyFailure(code: status, trailers: Metadata): Failure {
  const [packed] = trailers.get('grpc-status-details-bin');
  const { errorInfo, retryDelayMs }: FailureDetails = Buffer.isBuffer(packed)
    ? readStatusDetails(packed)
    : {};
  const refusal = errorInfo?.domain === ERROR_DOMAIN ? refusalOf(errorInfo.reason) : undefined;
  const isForeign = refusal !== undefined && refusal.code !== code;
  const reason = isForeign ? undefined : errorInfo?.reason;
  const retryAfterMs = pushbackMs(trailers) ?? retryDelayMs;
  // The server stored this reply, so every attempt receives the same reply.
  const isStored = !neverStored.includes(code) && trailers.get(EXPIRES_TRAILER).length > 0;
  const ofReason = isForeign ? undefined : refusal?.kind;
  const kind = isStored ? 'refused' : (ofReason ?? kindByCode[code] ?? 'fault');
  return { kind: withPushback(kind, retryAfterMs), reason, retryAfterMs };
}

function refusalOf(reason: string) {
  return Object.hasOwn(refusals, reason) ? refusals[reason as Reason] : undefined;
}

/**
 * Applies the pushback of the server (gRFC A6). A pushback of 0 or more requests a retry. A negative pushback forbids
 * a retry.
 */
function withPushback(kind: FailureKind, retryAfterMs: number | undefined): FailureKind {
  const isFinal = kind === 'refused' || kind === 'closed' || kind === 'lost';
  if (retryAfterMs === undefined || isFinal) return kind;
  if (retryAfterMs >= 0) return 'retry';
  return kind === 'not-done' ? kind : 'later';
}

/** Reads the pushback trailer. A value that is not a number also forbids a retry (gRFC A6). */
function pushbackMs(trailers: Metadata): number | undefined {
  const values = trailers.get('grpc-retry-pushback-ms');
  if (values.length === 0) return undefined;
  const text = String(values[0]);
  return values.length === 1 && /^\d{1,15}$/.test(text) ? Number(text) : -1;
}
