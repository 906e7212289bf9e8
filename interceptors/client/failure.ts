import { type Metadata, status } from '@grpc/grpc-js';
import { ERROR_DOMAIN, EXPIRES_TRAILER } from '../protocol/headers.js';
import { REASONS } from '../protocol/reasons.js';
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

/** The refusals of the guard whose reason is more precise than their status code. */
const kindByReason: ReadonlyMap<string, FailureKind> = new Map([
  // An earlier attempt of this operation may have sent a different request under this key.
  [REASONS.KEY_REUSED, 'closed'],
  [REASONS.KEY_EXPIRED, 'closed'],
  [REASONS.QUOTA_EXCEEDED, 'not-done'],
]);

/** A classified failure of one attempt. */
export interface Failure {
  readonly kind: FailureKind;
  /** The reason of the ErrorInfo, from any domain. */
  readonly reason: string | undefined;
  /** The pause that the server asks for, in milliseconds. Negative if the server asks the client not to retry. */
  readonly retryAfterMs: number | undefined;
}

/**
 * Classifies the failure of an attempt.
 * @param code OK if the call succeeded and its response was lost
 */
export function classifyFailure(code: status, trailers: Metadata): Failure {
  const [packed] = trailers.get('grpc-status-details-bin');
  const { errorInfo, retryDelayMs }: FailureDetails = Buffer.isBuffer(packed)
    ? readStatusDetails(packed)
    : {};
  const reason = errorInfo?.reason;
  const ofReason = errorInfo?.domain === ERROR_DOMAIN ? kindByReason.get(errorInfo.reason) : undefined;
  const retryAfterMs = pushbackMs(trailers) ?? retryDelayMs;
  // The server stored this reply, so every attempt receives the same reply.
  const isStored = code !== status.OK && trailers.get(EXPIRES_TRAILER).length > 0;
  const kind = isStored ? 'refused' : (ofReason ?? kindByCode[code] ?? 'fault');
  return { kind: withPushback(kind, retryAfterMs), reason, retryAfterMs };
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
