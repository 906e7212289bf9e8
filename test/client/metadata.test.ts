import { Metadata } from '@grpc/grpc-js';
import test from 'ava';
import {
  createRetryServiceConfig,
  type RetryServiceConfigOptions,
  sendUntilKnown,
  withIdempotencyKey,
} from 'grpc-replay-guard/client';

const key = '01890a5d-ac96-774b-bcce-b302099a8057';

test('withIdempotencyKey sets the key and the time and keeps other metadata', (t) => {
  const own = new Metadata();
  own.set('x-own', '1');
  own.set('idempotency-key', 'old');
  const firstSent = '2026-01-31T08:30:00.125Z';
  t.deepEqual(withIdempotencyKey(key).toJSON(), { 'idempotency-key': [key] });
  for (const time of [firstSent, new Date(firstSent)]) {
    t.deepEqual(withIdempotencyKey(key, { firstSent: time }, own).toJSON(), {
      'x-own': ['1'],
      'idempotency-key': [key],
      'idempotency-first-sent': [firstSent],
    });
  }
  t.deepEqual(own.toJSON(), { 'x-own': ['1'], 'idempotency-key': ['old'] });
  const offset = '2026-01-31T09:30:00+01:00';
  t.deepEqual(withIdempotencyKey('k', { firstSent: offset }).get('idempotency-first-sent'), [offset]);
});

test('withIdempotencyKey refuses a malformed key', (t) => {
  for (const bad of ['', 'a b', 'a,b', 'ä', 'a\n', 'k'.repeat(256)]) {
    t.throws(() => withIdempotencyKey(bad), { instanceOf: TypeError }, bad);
  }
  for (const good of ['a', 'k'.repeat(255), 'AZaz09._~:/+=@-']) t.notThrows(() => withIdempotencyKey(good));
});

test('withIdempotencyKey removes the double quotes of a key that an HTTP client sent', (t) => {
  t.deepEqual(withIdempotencyKey(`"${key}"`).get('idempotency-key'), [key]);
  for (const bad of ['"', '""', '"k', 'k"', '"k";p=1', '"a\\"b"', 'ada:"k"'])
    t.throws(() => withIdempotencyKey(bad), { instanceOf: TypeError }, bad);
});

test('a key that is not text is refused, for example a key that a stored intent lacks', async (t) => {
  const never = () => t.fail('sent') as never;
  for (const intent of [{}, { key: null }, { key: 123 }].map((stored) =>
    JSON.parse(JSON.stringify(stored)),
  )) {
    t.throws(() => withIdempotencyKey(intent.key), { instanceOf: TypeError });
    await t.throwsAsync(sendUntilKnown(never, { intent }), { instanceOf: TypeError });
  }
});

test('withIdempotencyKey refuses a malformed first-sent time', (t) => {
  const never = new Date(Number.NaN);
  for (const bad of ['', 'today', '2026-01-31', '2026-01-31T08:30:00', never, new Date(8.64e15)]) {
    t.throws(() => withIdempotencyKey(key, { firstSent: bad }), { instanceOf: TypeError }, String(bad));
  }
});

test('the service config allows five attempts and retries UNAVAILABLE only', (t) => {
  t.deepEqual(createRetryServiceConfig(), {
    methodConfig: [
      {
        name: [{}],
        retryPolicy: {
          maxAttempts: 5,
          initialBackoff: '0.1s',
          maxBackoff: '2s',
          backoffMultiplier: 2,
          retryableStatusCodes: ['UNAVAILABLE'],
        },
      },
    ],
  });
  const given = { services: ['a.B', 'c.D'], maxAttempts: 2, initialBackoffMs: 5, maxBackoffMs: 1_250 };
  t.like(createRetryServiceConfig(given).methodConfig[0], {
    name: [{ service: 'a.B' }, { service: 'c.D' }],
    retryPolicy: { maxAttempts: 2, initialBackoff: '0.005s', maxBackoff: '1.25s' },
  });
});

test('createRetryServiceConfig refuses values outside the limits of gRPC', (t) => {
  const bad: RetryServiceConfigOptions[] = [
    { maxAttempts: 1 },
    { maxAttempts: 6 },
    { maxAttempts: 2.5 },
    { initialBackoffMs: 0 },
    { maxBackoffMs: Number.NaN },
  ];
  for (const options of bad) t.throws(() => createRetryServiceConfig(options), { instanceOf: TypeError });
});
