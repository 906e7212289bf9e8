import { status } from '@grpc/grpc-js';
import type { Attempt } from './history.js';

/** Whether the answer is a stored result: OK, or the failure that the handler of the load ends with on purpose. */
export function isResult({ code, reason }: Attempt): boolean {
  return reason === '' && (code === status.OK || code === status.NOT_FOUND);
}

/** Whether the answer is an OK reply. */
export const isOk = ({ code }: Attempt) => code === status.OK;

const refusedBeforeStart = new Set([
  'IDEMPOTENCY_KEY_MISSING',
  'IDEMPOTENCY_KEY_INVALID',
  'IDEMPOTENCY_SCOPE_MISSING',
  'IDEMPOTENCY_KEY_REUSED',
  'IDEMPOTENCY_SEQUENCE_GAP',
  'IDEMPOTENCY_PRODUCER_FENCED',
  'IDEMPOTENCY_QUOTA_EXCEEDED',
]);

/** Whether the contract says that the handler was not entered for this call. */
export const isRefusedBeforeStart = ({ reason }: Attempt) => refusedBeforeStart.has(reason);

/** Whether the answer says that this call left no effect. */
export function saysNothingDone(attempt: Attempt): boolean {
  const { code, reason, details } = attempt;
  if (isRefusedBeforeStart(attempt) || code === status.NOT_FOUND) return true;
  // A key may expire while its handler runs. The failure of that handler is then not stored any more.
  if (reason === 'IDEMPOTENCY_KEY_EXPIRED') return true;
  if (reason === 'IDEMPOTENCY_STORE_UNAVAILABLE' || reason === 'IDEMPOTENCY_LEASE_LOST') return true;
  // A handler that throws without a status ends its call as UNKNOWN, and its writes roll back.
  if (code === status.UNKNOWN && reason === '') return true;
  return code === status.INTERNAL && /nothing was committed|was rolled back/.test(details);
}

/** Whether a client that gets this answer for an operation of its own may retry. */
export function isTransient({ code, reason, details }: Attempt): boolean {
  if (code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED || code === status.CANCELLED)
    return true;
  // A connection that is cut in the middle of a reply, or a handler that failed on purpose.
  if (reason !== '') return false;
  return code === status.INTERNAL || code === status.UNKNOWN || /RST_STREAM/.test(details);
}
