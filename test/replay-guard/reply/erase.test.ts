import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { scopeFromMetadata } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { OpenStore } from 'grpc-replay-guard/store';
import type { Reply } from '../../helpers/calls/call.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import {
  type Ledger,
  type LedgerMethod,
  methods,
  onBoth,
  openLedger,
} from '../../helpers/servers/guarded-ledger.js';
import { copyRecord } from '../../helpers/stores/copy-record.js';
import { scopeDigest } from '../../helpers/stores/scope-digest.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

const emptied = emptiedData(test);
const hour = 3_600_000;

function assertErased(t: ExecutionContext, reply: Reply<unknown>) {
  t.is(reply.code, status.DATA_LOSS, reply.details);
  t.false(reply.replayed);
  t.deepEqual(reply.statusDetails?.types, ['ErrorInfo']);
  t.deepEqual(reply.statusDetails?.errorInfo, {
    reason: 'IDEMPOTENCY_REPLY_UNREADABLE',
    domain: 'grpc-replay-guard',
    metadata: { erased: 'true' },
  });
  t.deepEqual(reply.trailers.get('grpc-retry-pushback-ms'), []);
}

async function open(t: ExecutionContext, source: Parameters<typeof openLedger>[1], opened?: OpenStore) {
  const barrier = new Barrier();
  const ledger = await openLedger(t, source, {
    ...(opened && { opened }),
    guard: { scope: scopeFromMetadata('x-tenant'), retentionMs: hour },
    handlers: () =>
      onBoth(async (account, callback) => {
        if (account === 'held') await barrier.pass();
        if (account === 'fails') callback({ code: status.NOT_FOUND });
        else callback(null, { entryId: account });
      }),
  });
  // A failed test must not wait for the held handlers.
  t.teardown(() => barrier.open());
  const ask = (tenant: string, key: string, account = 'alice', method: LedgerMethod = 'append') =>
    ledger.ask(method, key, account, { metadata: { 'x-tenant': tenant } });
  return { ledger, ask, barrier };
}

/** Makes every record one hour older. */
const age = ({ database }: Ledger) =>
  database.query('UPDATE replay_guard_records SET expires_at = expires_at - CAST($1 AS BIGINT)', [hour]);

for (const engine of engines) {
  test.serial(
    `${engine}: an erased scope has no stored replies, and its keys do not execute again`,
    async (t) => {
      const { ledger, ask, barrier } = await open(t, await emptied(t, engine));
      for (const method of methods) await ask('a', method, 'alice', method);
      await ask('a', 'failed', 'fails');
      await ask('b', 'append');
      const running = ask('a', 'running', 'held', 'transfer');
      await barrier.reached();
      t.is((await ledger.guard.eraseScope('a')).erased, 3);
      t.is((await ledger.guard.eraseScope('a')).erased, 0);
      t.is((await ledger.guard.eraseScope('nobody')).erased, 0);
      for (const method of methods)
        for (const account of ['alice', 'another payload'])
          for (const _ of [1, 2]) assertErased(t, await ask('a', method, account, method));
      assertErased(t, await ask('a', 'failed', 'fails'));
      const rows = await ledger.database.query('SELECT * FROM replay_guard_records WHERE state = 2');
      t.is(rows.length, 3);
      for (const { reply, scope, fingerprint } of rows)
        t.deepEqual([reply, String(scope), fingerprint], [null, scopeDigest('a'), Buffer.alloc(32)]);
      t.like(await ask('b', 'append'), { code: status.OK, replayed: true });
      barrier.open();
      t.like(await running, { code: status.OK, replayed: false });
      t.like(await ask('a', 'running', 'held', 'transfer'), { code: status.OK, replayed: true });
      t.is(ledger.entered, 5);
      t.is((await ledger.guard.eraseScope('a')).erased, 1, 'a completed record is erased');

      await age(ledger);
      t.like(await ask('a', 'append', 'new payload'), { code: status.OK, replayed: false });
      t.is((await ledger.store.purge(100)).purged, 4, 'erased records are purged when they have expired');
      t.like(await ask('a', 'transfer', 'alice', 'transfer'), { code: status.OK, replayed: false });
      t.like(await ask('a', 'append', 'new payload'), { code: status.OK, replayed: true });
    },
  );

  test.serial(`${engine}: a scope with many records is erased in batches`, async (t) => {
    const { ledger, ask } = await open(t, await emptied(t, engine));
    await ask('a', 'key');
    const { database } = ledger;
    await copyRecord(database, engine, 1_199);
    await ask('b', 'key');
    t.is((await ledger.guard.eraseScope('a')).erased, 1_200);
    t.is(ledger.outcomes.did('erase'), 3);
    const [remaining] = await database.query(
      'SELECT count(*) AS records FROM replay_guard_records WHERE reply IS NOT NULL',
    );
    t.is(remaining?.records, 1n);
    t.like(await ask('b', 'key'), { code: status.OK, replayed: true });
  });
}

test.serial('memory: the keys of an erased scope stay known until they expire', async (t) => {
  let now = Date.now();
  const store = new MemoryStore({ clock: () => now });
  const { ledger, ask } = await open(t, 'memory', { store } as unknown as OpenStore);
  await ask('a', 'key');
  await ask('b', 'key');
  t.is((await ledger.guard.eraseScope('a')).erased, 1);
  for (const account of ['alice', 'another payload']) assertErased(t, await ask('a', 'key', account));
  t.like(await ask('b', 'key'), { code: status.OK, replayed: true });
  now += hour;
  t.like(await ask('a', 'key', 'new payload'), { code: status.OK, replayed: false });
});
