import type { ExecutionContext } from 'ava';
import type { Reply } from './call.js';

/**
 * Asserts that a reply is a refusal of the guard with this code and reason. The reply has one ErrorInfo. The pushback
 * trailer is present only with RetryInfo, and both give the same delay.
 * @param other the detail that the refusal has besides ErrorInfo
 */
export function assertRefused(
  t: ExecutionContext,
  reply: Reply<unknown>,
  code: number,
  reason: string,
  other: 'BadRequest' | 'RetryInfo' | 'nothing' = 'nothing',
): void {
  t.is(reply.code, code, reply.details);
  t.false(reply.replayed);
  t.is(reply.statusDetails?.code, code);
  t.is(reply.statusDetails?.message, reply.details);
  t.deepEqual(reply.statusDetails?.types, other === 'nothing' ? ['ErrorInfo'] : ['ErrorInfo', other]);
  t.deepEqual(reply.statusDetails?.errorInfo, { reason, domain: 'grpc-replay-guard', metadata: {} });
  const pushback = reply.trailers.get('grpc-retry-pushback-ms');
  if (other === 'RetryInfo') {
    t.regex(String(pushback), /^[0-9]+$/);
    t.is(reply.statusDetails?.retryInfo?.retryDelayMs, Number(pushback[0]));
  } else {
    t.deepEqual(pushback, []);
  }
}
