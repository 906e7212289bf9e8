import test from 'ava';
import { readStatusDetails, statusDetails } from 'grpc-replay-guard/protocol';

test('the reason, the domain and the retry delay of encoded details are read back', (t) => {
  const bytes = statusDetails(14, 'retry', [
    { errorInfo: { reason: 'REASON', domain: 'domain', metadata: { limit: '5' } } },
    { badRequest: { fieldViolations: [{ field: 'key', description: 'is missing' }] } },
    { retryInfo: { retryDelayMs: 1_250 } },
  ]);
  t.deepEqual(readStatusDetails(bytes), {
    errorInfo: { reason: 'REASON', domain: 'domain' },
    retryDelayMs: 1_250,
  });
});

test('details without an ErrorInfo or a RetryInfo give neither', (t) => {
  t.deepEqual(readStatusDetails(statusDetails(3, 'invalid', [])), {});
});

test('bytes that are not a google.rpc.Status give no details', (t) => {
  t.deepEqual(readStatusDetails(Buffer.from([0xff, 0xff, 0xff])), {});
});
