import { mock } from 'node:test';
import test from 'ava';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { OpenStore } from 'grpc-replay-guard/store';
import { Registry } from 'prom-client';
import { openLedger } from '../helpers/servers/guarded-ledger.js';
import { poll } from '../helpers/waiting/poll.js';

test.serial('expired records are purged every minute, and the remaining records are counted', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  let now = Date.now();
  const store = new MemoryStore({ clock: () => now });
  const register = new Registry();
  const guard = { observer: createPrometheusObserver(register), retentionMs: 60_000 };
  const opened = { store } as unknown as OpenStore;
  const ledger = await openLedger(t, 'memory', { opened, guard });
  for (let i = 0; i < 501; i++) await ledger.append(`old-${i}`);
  now += 60_000;
  for (let i = 0; i < 3; i++) await ledger.append(`new-${i}`);
  mock.timers.tick(60_000);
  await poll('the purge', async () => /^replay_guard_records 3$/m.test(await register.metrics()));
  t.regex(await register.metrics(), /^replay_guard_purged_total 501$/m);
  t.is(await store.estimateRecords(), 3);
});
