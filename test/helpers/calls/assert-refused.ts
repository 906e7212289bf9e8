import type { ExecutionContext } from 'ava';
import type { Reply } from './call.js';

/**
 * Asserts that the guard itself refused: with one ErrorInfo of its own, and with a time to retry after, the
 * same in RetryInfo and pushback, where and only where it is RetryInfo that is added.
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
