import test from 'ava';
import {
  createOutbox,
  createRelay,
  type Destination,
  type OutboxOptions,
  type RelayOptions,
  RetryLaterError,
  SubscriptionEndedError,
  UndeliverableError,
} from 'grpc-replay-guard/outbox';
import { createPostgresWakeUps, type PostgresWakeUpsOptions } from 'grpc-replay-guard/outbox/postgres';
import { createWebhookDestination, type WebhookOptions } from 'grpc-replay-guard/outbox/webhook';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { append, openOutbox, RecordingObserver, relayTo } from '../helpers/databases/outbox.js';
import { WEBHOOK_SECRET } from '../helpers/servers/webhook-receiver.js';

const data = emptiedData(test);

test.serial('routes that are a map are refused', async (t) => {
  const { database } = await openOutbox(await data(t, 'sqlite'));
  const routes = new Map([['placed', ['desk']]]) as never;
  t.throws(() => createOutbox({ database, routes }), {
    instanceOf: TypeError,
    message: /^routes must be an/,
  });
});

test.serial('options out of their bounds are refused by name', async (t) => {
  const outbox = await openOutbox(await data(t, 'sqlite'));
  const wrong: [string, Partial<Destination>][] = [
    ['timeoutMs', { timeoutMs: 0 }],
    ['timeoutMs', { timeoutMs: 1_000.5 }],
    ['concurrency', { concurrency: Number.NaN }],
    // A caller may compute a fraction, for example half of an odd number of processors.
    ['concurrency', { concurrency: 2.5 }],
    ['initialBackoffMs', { retry: { initialBackoffMs: -1 } }],
    ['maxBackoffMs', { retry: { maxBackoffMs: Number.POSITIVE_INFINITY } }],
    ['maxAttempts', { retry: { maxAttempts: 0 } }],
  ];
  for (const [name, options] of wrong) {
    const make = () => createRelay({ outbox, destinations: { desk: { deliveries: {}, ...options } } });
    t.throws(make, { instanceOf: TypeError, message: new RegExp(`^${name} of destination desk`) });
  }
  const never = Number.POSITIVE_INFINITY;
  // Node runs a timer above the maximum at once. A batch of size 0 would repeat for ever.
  const wrongRelayOptions: Partial<RelayOptions>[] = [
    ...[0, never, 2 ** 31].map((pollMs) => ({ pollMs })),
    ...[-1, never, 2 ** 31].map((graceMs) => ({ graceMs })),
    ...[-1, Number.NaN, 0.5].map((retentionMs) => ({ retentionMs })),
    ...[0, 2.5].map((purgeBatch) => ({ purgeBatch })),
  ];
  for (const options of wrongRelayOptions) {
    const [name] = Object.keys(options);
    const make = () => createRelay({ outbox, destinations: {}, ...options });
    t.throws(make, { instanceOf: TypeError, message: new RegExp(`^${name} must be a whole number`) });
  }
  t.notThrows(() => createRelay({ outbox, destinations: {}, graceMs: 0, retentionMs: 0 }));
  // A comparison with NaN is false, so no payload would be too large. SQLite treats a limit of -1 as
  // unlimited.
  for (const number of [0, -1, 1.5, Number.NaN]) {
    const make = () => createOutbox({ database: outbox.database, routes: {}, maxPayloadBytes: number });
    t.throws(make, { instanceOf: TypeError, message: /^maxPayloadBytes must be/ });
    await t.throwsAsync(outbox.deadLetters(number), { instanceOf: TypeError, message: /^limit must be/ });
  }
  for (const routes of [{ '': ['desk'] }, { note: [''] }, { note: ['x'.repeat(256)] }]) {
    t.throws(() => createOutbox({ database: outbox.database, routes }), { instanceOf: RangeError });
  }
});

test.serial('unknown options are refused by name', async (t) => {
  const outbox = await openOutbox(await data(t, 'sqlite'));
  const { database } = outbox;
  const deliveries = {};
  const relayWith = (desk: object) => createRelay({ outbox, destinations: { desk: desk as Destination } });
  const webhook = { url: 'https://example.com', secret: WEBHOOK_SECRET, types: [], timeout: 1 };
  const wrong: [make: () => unknown, message: RegExp][] = [
    [
      () => createOutbox({ database, routes: {}, maxBytes: 1 } as OutboxOptions),
      /^createOutbox: unknown option maxBytes; its options are database, routes, maxPayloadBytes, tracing$/,
    ],
    [
      () => createRelay({ outbox, destinations: {}, poll: 1 } as RelayOptions),
      /^createRelay: unknown option poll; its options are .*\bpollMs\b/,
    ],
    [
      () => createWebhookDestination(webhook as WebhookOptions),
      /^createWebhookDestination: unknown option timeout; its options are .*\btimeoutMs\b/,
    ],
    [
      () => createPostgresWakeUps({ client: {}, onTrouble() {} } as PostgresWakeUpsOptions),
      /^createPostgresWakeUps: unknown option onTrouble; its options are client, onError$/,
    ],
    [
      () => relayWith({ deliveries, parallel: 1 }),
      /^destination desk: unknown option parallel; its options are .*\bconcurrency\b/,
    ],
    [
      () => relayWith({ deliveries, retry: { attempts: 1 } }),
      /^retry of destination desk: unknown option attempts; its options are .*\bmaxAttempts\b/,
    ],
  ];
  for (const [make, message] of wrong) t.throws(make, { instanceOf: TypeError, message });
});

test.serial('a relay works with an observer that has some of the methods', async (t) => {
  const outbox = await openOutbox(await data(t, 'sqlite'));
  await append(outbox, ['a', 1], ['b', 1]);
  const failed: string[] = [];
  const delivery = async ({ aggregate }: { aggregate: string }) => {
    if (aggregate === 'b') throw new Error('down');
  };
  const observer = { failed: ({ aggregate }: { aggregate: string }) => failed.push(aggregate) };
  const relay = relayTo(t, outbox, delivery, { observer, retentionMs: 0 });
  t.is(await relay.runOnce(), 1);
  await relay.runMaintenance();
  t.deepEqual(failed, ['b']);
});

test.serial('createRelay refuses an observer whose method is not a function', async (t) => {
  const outbox = await openOutbox(await data(t, 'sqlite'));
  const observer = Object.assign(new RecordingObserver(), { purged: 1 as never });
  t.throws(() => createRelay({ outbox, destinations: {}, observer }), {
    instanceOf: TypeError,
    message: 'observer: purged must be a function',
  });
});

test('the errors of deliveries have stable codes', (t) => {
  t.is(new UndeliverableError('no').code, 'REPLAY_GUARD_UNDELIVERABLE');
  t.is(new SubscriptionEndedError('no').code, 'REPLAY_GUARD_SUBSCRIPTION_ENDED');
  t.is(new RetryLaterError('later', 1).code, 'REPLAY_GUARD_RETRY_LATER');
});
