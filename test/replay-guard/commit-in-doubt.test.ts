import { status } from '@grpc/grpc-js';
import test from 'ava';
import { emptiedData } from '../helpers/emptied-data.js';
import { methods, openLedger } from '../helpers/guarded-ledger.js';
import { openUrl } from '../helpers/open-url.js';
import { startProxy } from '../helpers/proxy.js';
import { assertRefused } from '../helpers/refused.js';
import { listenAlone } from '../helpers/rejections.js';

const emptied = emptiedData(test);
const guardOnly = listenAlone(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = Object.fromEntries(paths.map((path) => [path, { leaseMs: 1_000, waitMs: 10_000 }]));

async function behindProxy(t: Parameters<typeof emptied>[0]) {
  const data = await emptied(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const opened = await openUrl(proxy.url);
  t.teardown(opened.close);
  return { proxy, ledger: await openLedger(t, data, { opened, guard: { policies } }) };
}

for (const method of methods) {
  for (const when of ['before', 'after'] as const) {
    test.serial(`postgres, ${method}: cut off ${when} the COMMIT, a retry finds out`, async (t) => {
      const { proxy, ledger } = await behindProxy(t);
      await ledger.ask(method, 'warm', 'warm');
      proxy.cutAt(/^COMMIT/, when);
      const unknown = await ledger.ask(method, 'key', 'alice');
      assertRefused(t, unknown, status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN', 'RetryInfo');
      const retry = await ledger.ask(method, 'key', 'alice');
      t.like(retry, { code: status.OK, replayed: when === 'after' });
      t.is(ledger.entered, when === 'after' ? 2 : 3);
      t.deepEqual(await ledger.effects(), ['alice', 'warm']);
      // Rolled back with its claim, or with its lease still running: taken over.
      const tookOver = when === 'before' && method === 'transfer';
      t.is(ledger.outcomes.takenOver.filter(Boolean).length, tookOver ? 1 : 0);
      t.like(await ledger.ask(method, 'key', 'alice'), { bytes: retry.bytes, replayed: true });
    });

    test.serial(`postgres, ${method}: cut off ${when} the claim, nothing is executed`, async (t) => {
      const { proxy, ledger } = await behindProxy(t);
      await ledger.ask(method, 'warm', 'warm');
      proxy.cutAt(/^INSERT INTO replay_guard_records/, when);
      const refused = await ledger.ask(method, 'key', 'alice');
      assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      t.is(ledger.entered, 1);
      t.like(await ledger.ask(method, 'key', 'alice'), { code: status.OK, replayed: false });
      t.deepEqual(await ledger.effects(), ['alice', 'warm']);
    });
  }

  test.serial(`postgres, ${method}: a write that is cut off is not lost on the retry`, async (t) => {
    const { proxy, ledger } = await behindProxy(t);
    await ledger.ask(method, 'warm', 'warm');
    proxy.cutAt(/^INSERT INTO effects/, 'after');
    t.not((await ledger.ask(method, 'key', 'alice')).code, status.OK);
    t.deepEqual(guardOnly.takeEscaped(), []);
    t.like(await ledger.ask(method, 'key', 'alice'), { code: status.OK, replayed: false });
    t.deepEqual(await ledger.effects(), ['alice', 'warm']);
  });
}
