import { mock } from 'node:test';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import type { OpenStore } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import { Registry } from 'prom-client';
import { Barrier } from '../helpers/barrier.js';
import { openEngine } from '../helpers/engines.js';
import { onBoth, openLedger } from '../helpers/guarded-ledger.js';
import { poll } from '../helpers/poll.js';

const service = 'test.v1.LedgerService';
const opened = (store: MemoryStore) => ({ store }) as unknown as OpenStore;

function observed() {
  const register = new Registry();
  const observer = createPrometheusObserver(register);
  /** The lines of one metric, without its name's prefix and without zeros. */
  const scrape = async (name: string) =>
    (await register.metrics())
      .split('\n')
      .filter((line) => line.startsWith(`replay_guard_${name}`) && !line.endsWith(' 0'))
      .map((line) => line.replace(`service="${service}",`, ''))
      .sort();
  return { observer, scrape, register };
}

test.serial('every way a call can end is counted, by service and method only', async (t) => {
  const { observer, scrape, register } = observed();
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    guard: { observer, policies: { [`/${service}/Transfer`]: { waitMs: 0 } } },
    handlers: () =>
      onBoth(async (account, callback) => {
        if (account === 'held') await barrier.pass();
        if (account === 'fails') callback({ code: status.UNAVAILABLE });
        else callback(null, { entryId: 'x'.repeat(100) });
      }),
  });
  await ledger.append('done', { account: 'a' });
  for (const _ of [1, 2]) await ledger.append('done', { account: 'a' });
  await ledger.append('done', { account: 'b' });
  await ledger.append('fails', { account: 'fails' });
  await ledger.append(undefined);
  await ledger.append('not a key');
  await ledger.connection.call(ledger.definition.Touch, {});
  const held = ledger.transfer('held', { from: 'held' });
  await barrier.reached();
  await ledger.transfer('held', { from: 'held' });
  t.deepEqual(await scrape('in_flight'), ['replay_guard_in_flight{method="Transfer"} 1']);
  barrier.open();
  await held;
  const count = (method: string, outcome: string, number: number) =>
    `replay_guard_calls_total{method="${method}",outcome="${outcome}"} ${number}`;
  t.deepEqual(await scrape('calls_total'), [
    count('Append', 'executed', 1),
    count('Append', 'key_invalid', 1),
    count('Append', 'key_missing', 1),
    count('Append', 'released', 1),
    count('Append', 'replayed', 2),
    count('Append', 'reused', 1),
    count('Touch', 'bypassed', 1),
    count('Transfer', 'executed', 1),
    count('Transfer', 'in_progress', 1),
  ]);
  t.deepEqual(await scrape('in_flight'), []);
  t.deepEqual(await scrape('suppressed'), ['replay_guard_suppressed_side_effects_total{method="Append"} 2']);
  t.deepEqual(await scrape('store_seconds_count'), [
    'replay_guard_store_seconds_count{operation="claim"} 6',
    'replay_guard_store_seconds_count{operation="complete"} 2',
    'replay_guard_store_seconds_count{operation="release"} 1',
  ]);
  t.deepEqual(await scrape('store_errors'), []);
  t.deepEqual(
    (await scrape('reply_bytes_count')).map((line) => line.slice(-21)),
    ['{method="Append"} 1', '{method="Transfer"} 1'].map((end) => `_count${end}`.slice(-21)),
  );
  const [bytes] = (await scrape('reply_bytes_sum')).map((line) => Number(line.split(' ').at(-1)));
  t.true(Number(bytes) > 100 && Number(bytes) < 150, String(bytes));
  t.notRegex(await register.metrics(), /single|done|fails|held/, 'no key and no scope');
});

test.serial('a duplicate that waited is counted as joined', async (t) => {
  const { observer, scrape } = observed();
  const [barrier, scoped] = [new Barrier(), new Barrier()];
  scoped.open();
  const ledger = await openLedger(t, 'memory', {
    guard: { observer, scope: () => scoped.pass().then(() => 'alice') },
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
  });
  const calls = [ledger.append('key'), ledger.append('key'), ledger.append('key')];
  await scoped.reached(3);
  await barrier.reached();
  barrier.open();
  await Promise.all(calls);
  t.deepEqual(await scrape('calls_total'), [
    'replay_guard_calls_total{method="Append",outcome="executed"} 1',
    'replay_guard_calls_total{method="Append",outcome="joined"} 2',
  ]);
  t.deepEqual(await scrape('suppressed'), ['replay_guard_suppressed_side_effects_total{method="Append"} 2']);
});

test.serial('a takeover is counted at the server that takes over', async (t) => {
  let now = Date.now();
  const store = new MemoryStore({ clock: () => now });
  const barrier = new Barrier();
  const handlers = () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {})));
  const dying = await openLedger(t, 'memory', { opened: opened(store), handlers });
  const { observer, scrape } = observed();
  const heir = await openLedger(t, 'memory', { opened: opened(store), guard: { observer } });
  const lost = dying.transfer('key');
  await barrier.reached();
  now += 30_001;
  t.like(await heir.transfer('key'), { code: status.OK, replayed: false });
  t.deepEqual(await scrape('takeovers'), ['replay_guard_takeovers_total{method="Transfer"} 1']);
  barrier.open();
  t.is((await lost).statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_LEASE_LOST');
});

test.serial('an operation on the store that fails is counted', async (t) => {
  const { observer, scrape } = observed();
  const engine = await openEngine(t, 'sqlite');
  const ledger = await openLedger(t, 'sqlite', { opened: engine, guard: { observer } });
  await engine.close();
  t.is((await ledger.append('key')).code, status.UNAVAILABLE);
  t.deepEqual(await scrape('store_errors'), ['replay_guard_store_errors_total 1']);
  t.deepEqual(await scrape('calls_total'), ['replay_guard_calls_total{method="Append",outcome="refused"} 1']);
});

test.serial('expired records are purged every minute, and the rest is counted', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  let now = Date.now();
  const store = new MemoryStore({ clock: () => now });
  const { observer, scrape } = observed();
  const guard = { observer, ttlMs: 60_000 };
  const ledger = await openLedger(t, 'memory', { opened: opened(store), guard });
  for (let i = 0; i < 501; i++) await ledger.append(`old-${i}`);
  now += 60_000;
  for (let i = 0; i < 3; i++) await ledger.append(`new-${i}`);
  mock.timers.tick(60_000);
  await poll('the purge', async () => (await scrape('records')).length === 1);
  t.deepEqual(await scrape('purged'), ['replay_guard_purged_total 501']);
  t.deepEqual(await scrape('records'), ['replay_guard_records 3']);
  t.is(await store.estimateRecords(), 3);
});
