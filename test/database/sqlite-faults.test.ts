import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import Sqlite from 'better-sqlite3';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { freshData, freshFolder } from '../helpers/databases/engines.js';
import { LedgerProcess } from '../helpers/processes/ledger-process.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../helpers/servers/ledger.js';

for (const method of methods) {
  test(`sqlite, ${method}: a reply that does not fit on the disk rolls the execution back`, async (t) => {
    const path = join(await freshFolder(t), 'test.db');
    const handle = new Sqlite(path);
    t.teardown(() => {
      handle.close();
    });
    const opened = await openSqlite({ database: handle });
    t.teardown(opened.close);
    const ledger = await openLedger(t, await freshData(t, 'sqlite'), {
      opened,
      handlers: (database) =>
        onBoth(async (account, callback) => {
          await writeEffect(database, account);
          callback(null, { entryId: 'e'.repeat(100_000), transferId: 't'.repeat(100_000) });
        }),
    });
    const pages = Number(handle.pragma('page_count', { simple: true }));
    handle.pragma(`max_page_count = ${pages + 8}`);
    const full = await ledger.ask(method, 'key', 'alice');
    assertRefused(t, full, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
    t.deepEqual(await ledger.effects(), []);
    t.deepEqual(handle.prepare('SELECT state FROM replay_guard_records').all(), []);
    handle.pragma('max_page_count = 1000000');
    const retry = await ledger.ask(method, 'key', 'alice');
    t.like(retry, { code: status.OK, replayed: false });
    t.like(await ledger.ask(method, 'key', 'alice'), { replayed: true, bytes: retry.bytes });
    t.deepEqual(await ledger.effects(), ['alice']);
    t.is(ledger.outcomes.takenOver.includes(true), false);
  });

  test(`sqlite, ${method}: a COMMIT that fails while it is written is in doubt, and the claim is not released`, async (t) => {
    const data = await freshData(t, 'sqlite');
    // Another server on the same file, without a limit on its file size.
    const other = await openLedger(t, data, { engine: { lockTimeoutMs: 5_000 } });
    const { Append, Transfer } = loadLedger();
    const settings = { url: data.url, leaseMs: 60_000, waitMs: 0 };
    const limited = await new LedgerProcess(t, settings, 600).connect();
    const account = 'a'.repeat(400_000);
    const first =
      method === 'append'
        ? await limited.call(Append, { account }, { key: 'key' })
        : await limited.call(Transfer, { from: account }, { key: 'key' });
    assertRefused(t, first, status.UNAVAILABLE, 'IDEMPOTENCY_OUTCOME_UNKNOWN', 'RetryInfo');
    const records = await other.database.query('SELECT state FROM replay_guard_records');
    // With TRANSACTION the claim was rolled back with the writes.
    t.deepEqual(records, method === 'append' ? [] : [{ state: -2n }]);
    t.deepEqual(await other.effects(), []);
    await other.database.query('UPDATE replay_guard_records SET lease_until = 0');
    const retry = await other.ask(method, 'key', account);
    t.like(retry, { code: status.OK, replayed: false });
    t.like(await other.ask(method, 'key', account), { replayed: true, bytes: retry.bytes });
    t.is((await other.effects()).length, 1);
    t.is(other.outcomes.takenOver.includes(true), method === 'transfer');
  });
}
