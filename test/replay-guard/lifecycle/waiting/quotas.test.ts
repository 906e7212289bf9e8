import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type QuotaOptions, type ReplayGuardOptions, scopeFromMetadata } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { RecordAddress } from 'grpc-replay-guard/store';
import { Registry } from 'prom-client';
import type { Reply } from '../../../helpers/calls/call.js';
import { sharedData } from '../../../helpers/databases/shared-data.js';
import {
  type LedgerSetup,
  type methods,
  onBoth,
  openLedger,
} from '../../../helpers/servers/guarded-ledger.js';
import { RecordingObserver } from '../../../helpers/servers/recording-observer.js';
import { PassingStore } from '../../../helpers/stores/passing-store.js';
import { Barrier } from '../../../helpers/waiting/barrier.js';
import { poll } from '../../../helpers/waiting/poll.js';

const shared = sharedData(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = Object.fromEntries(paths.map((path) => [path, { waitMs: 60_000, leaseMs: 60_000 }]));

/** A ledger whose handlers wait at the barrier, and a function that calls it in the scope of a tenant. */
async function open(
  t: ExecutionContext,
  guard: Partial<ReplayGuardOptions>,
  source: Parameters<typeof openLedger>[1] = 'memory',
  setup: LedgerSetup = {},
) {
  const barrier = new Barrier();
  const ledger = await openLedger(t, source, {
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    ...setup,
    guard: { scope: scopeFromMetadata('x-tenant'), policies, ...guard },
  });
  t.teardown(() => barrier.open());
  const as =
    (tenant: string, own: Record<string, string> = {}, method: (typeof methods)[number] = 'append') =>
    (key: string) =>
      ledger.ask(method, key, '', { metadata: { 'x-tenant': tenant, ...own } });
  const waiting = (count: number) => poll(`${count} calls wait`, () => ledger.outcomes.waiting === count);
  return { barrier, ledger, as, waiting };
}

function assertRefused(t: ExecutionContext, reply: Reply<unknown>, limit?: number) {
  t.is(reply.code, status.UNAVAILABLE);
  t.deepEqual(reply.statusDetails?.types, ['ErrorInfo', 'RetryInfo']);
  t.deepEqual(reply.statusDetails?.errorInfo, {
    reason: 'IDEMPOTENCY_KEY_IN_PROGRESS',
    domain: 'grpc-replay-guard',
    metadata: limit === undefined ? {} : { quota: 'waiting', limit: String(limit) },
  });
  t.true(Number(reply.trailers.get('grpc-retry-pushback-ms')[0]) >= 200);
}

/** Opens the barrier and asserts that the calls get the reply of their first execution. */
async function assertJoined(t: ExecutionContext, calls: readonly Promise<Reply<unknown>>[]) {
  for (const reply of await Promise.all(calls)) t.like(reply, { code: status.OK, replayed: true });
}

test.serial('by default one caller has at most a tenth of all waiting calls', async (t) => {
  const { barrier, ledger, as, waiting } = await open(t, { waitersPerKey: 600 });
  const [alice, bob] = [as('alice'), as('bob')];
  const firsts = [alice('one'), alice('two'), bob('one')];
  await barrier.reached(3);
  const joined = Array.from({ length: 1_000 }, (_, i) => alice(i % 2 ? 'one' : 'two'));
  await waiting(1_000);
  for (const key of ['one', 'two']) assertRefused(t, await alice(key), 1_000);
  joined.push(bob('one'));
  await waiting(1_001);
  t.deepEqual(ledger.outcomes.exceeded, [
    { quota: 'waiting', limit: 1_000 },
    { quota: 'waiting', limit: 1_000 },
  ]);
  t.is(ledger.outcomes.count('in_progress'), 2);
  barrier.open();
  await assertJoined(t, joined);
  for (const first of firsts) t.like(await first, { code: status.OK, replayed: false });
});

const limits: readonly [string, Partial<ReplayGuardOptions>, number][] = [
  ['a tenth of `waiters`', { waiters: 30 }, 3],
  ['ten calls for each call in flight', { quotas: { inFlightPerScope: 1 } }, 10],
  ['`waitingPerScope`', { quotas: { inFlightPerScope: 1, waitingPerScope: 2 } }, 2],
];

for (const [name, options, limit] of limits) {
  test(`a caller that floods its keys leaves room for the duplicates of others: ${name}`, async (t) => {
    const { barrier, ledger, as, waiting } = await open(t, options);
    const [alice, bob] = [as('alice'), as('bob')];
    const firsts = [alice('key'), bob('key')];
    await barrier.reached(2);
    const joined = Array.from({ length: limit }, () => alice('key'));
    await waiting(limit);
    const refused = await alice('key');
    assertRefused(t, refused, limit);
    t.regex(refused.details, new RegExp(`has reached its limit of ${limit} waiting calls`));
    joined.push(bob('key'));
    await waiting(limit + 1);
    barrier.open();
    await assertJoined(t, joined);
    await Promise.all(firsts);
    t.is(ledger.outcomes.waiting, 0);
    // The places are free again.
    t.like(await alice('key'), { code: status.OK, replayed: true });
  });
}

test('an exempt call waits beyond the quota of its scope, and counts in the limit of the server', async (t) => {
  const quotas: QuotaOptions = {
    waitingPerScope: 1,
    exempt: ({ metadata }) => metadata.get('x-own-call')[0] === 'secret',
  };
  const { barrier, as, waiting } = await open(t, { quotas, waiters: 3 });
  const [alice, own] = [as('alice'), as('alice', { 'x-own-call': 'secret' })];
  const first = alice('key');
  await barrier.reached();
  const joined = [own('key'), own('key')];
  await waiting(2);
  joined.push(alice('key'));
  await waiting(3);
  for (const ask of [alice, own]) {
    const refused = await ask('key');
    assertRefused(t, refused);
    t.regex(refused.details, /the server has no room for another waiting call/);
  }
  barrier.open();
  await assertJoined(t, joined);
  await first;
});

test('calls that wait for another server count as waiting calls of their caller', async (t) => {
  const data = await shared(t, 'postgres');
  const alice = randomUUID();
  const setup: LedgerSetup = { engine: { unitLimitMs: 60_000, lockTimeoutMs: 20, maxConnections: 8 } };
  const first = await open(t, {}, data, setup);
  const keys = ['one', 'two', 'three'];
  const running = keys.map((key) => first.as(alice)(key));
  await first.barrier.reached(3);
  const second = await open(t, { quotas: { waitingPerScope: 2 } }, data, setup);
  const waiting = ['one', 'two'].map((key) => second.as(alice)(key));
  const { outcomes } = second.ledger;
  await second.waiting(2);
  assertRefused(t, await second.as(alice)('three'), 2);
  t.deepEqual(outcomes.exceeded, [{ quota: 'waiting', limit: 2 }]);
  first.barrier.open();
  await assertJoined(t, waiting);
  await Promise.all(running);
  t.is(outcomes.waiting, 0);
});

/** A store whose look-ups of keys wait at a barrier. */
class HeldLookUps extends PassingStore {
  readonly lookUp = new Barrier();

  override async find(address: RecordAddress) {
    await this.lookUp.pass();
    return super.find(address);
  }
}

test('a call that waits for another server also counts while it claims again', async (t) => {
  const store = new MemoryStore();
  const held = new HeldLookUps(store);
  t.teardown(() => held.lookUp.open());
  const first = await open(t, { store });
  const running = ['one', 'two'].map((key) => first.as('alice')(key));
  await first.barrier.reached(2);
  const second = await open(t, { store: held, quotas: { waitingPerScope: 1 } });
  const waiting = second.as('alice')('one');
  // Each further claim begins with a look-up.
  await held.lookUp.reached();
  t.is(second.ledger.outcomes.waiting, 1);
  assertRefused(t, await second.as('alice')('two'), 1);
  first.barrier.open();
  await Promise.all(running);
  held.lookUp.open();
  await assertJoined(t, [waiting]);
  t.is(second.ledger.outcomes.waiting, 0);
});

test('a call without a slot waits for another server, and never executes', async (t) => {
  const data = await shared(t, 'postgres');
  const alice = randomUUID();
  const engine = { unitLimitMs: 60_000, lockTimeoutMs: 20, maxConnections: 8 };
  const first = await open(t, {}, data, {
    engine,
    handlers: () =>
      onBoth((_account, callback) => first.barrier.pass().then(() => callback({ code: status.UNAVAILABLE }))),
  });
  // With atomicity LEASE, the other server sees the record of the running call.
  const as = (server: typeof first) => server.as(alice, {}, 'transfer');
  const running = as(first)('key');
  await first.barrier.reached();
  const second = await open(t, { quotas: { inFlightPerScope: 1 } }, data, { engine });
  const slot = as(second)('another');
  await second.barrier.reached();
  const without = as(second)('key');
  await second.waiting(1);
  first.barrier.open();
  t.is((await running).code, status.UNAVAILABLE);
  const refused = await without;
  t.is(refused.code, status.RESOURCE_EXHAUSTED);
  t.is(refused.statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_QUOTA_EXCEEDED');
  t.is(second.ledger.entered, 1);
  second.barrier.open();
  t.is((await slot).code, status.OK);
});

test('the metrics count the waiting calls by method, and the refusals by quota', async (t) => {
  const register = new Registry();
  const prometheus = createPrometheusObserver(register);
  const recording = new RecordingObserver();
  const observer = {
    ...prometheus,
    waitStarted(method: Parameters<typeof prometheus.waitStarted>[0]) {
      recording.waitStarted();
      prometheus.waitStarted(method);
    },
  };
  const { barrier, as } = await open(t, { observer, quotas: { waitingPerScope: 1 } });
  const alice = as('alice');
  const calls = [alice('key')];
  await barrier.reached();
  calls.push(alice('key'));
  await poll('a call waits', () => recording.waiting === 1);
  assertRefused(t, await alice('key'), 1);
  const method = 'service="test.v1.LedgerService",method="Append"';
  const text = await register.metrics();
  t.true(text.includes(`replay_guard_waiting{${method}} 1`), text);
  t.true(text.includes(`replay_guard_quota_refusals_total{${method},quota="waiting"} 1`), text);
  t.false(text.includes('alice'));
  barrier.open();
  await Promise.all(calls);
  t.true((await register.metrics()).includes(`replay_guard_waiting{${method}} 0`));
});
