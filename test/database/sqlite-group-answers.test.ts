import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { openSqlite, type SqliteOptions } from 'grpc-replay-guard/sqlite';
import { claimed, inProgress, reply, request } from '../contracts/store/requests.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { stopSteadyClock } from '../helpers/waiting/stopped-clock.js';

async function open(t: ExecutionContext, options: SqliteOptions = {}) {
  const path = join(await freshFolder(t), 'test.db');
  const opened = await openSqlite({ path, unitLimitMs: 60_000, ...options });
  t.teardown(() => opened.close());
  return { path, ...opened };
}

test.serial(
  'the answer of a duplicate in the group of its first call does not leave before the commit',
  async (t) => {
    const { database, store } = await open(t);
    await database.migrate('notes', [
      'CREATE TABLE notes (id INTEGER PRIMARY KEY, of INTEGER REFERENCES notes DEFERRABLE INITIALLY DEFERRED)',
    ]);
    stopSteadyClock(t);
    const operation = request({ atomicity: 'TRANSACTION' });
    const first = claimed(t, await store.claim(operation));
    const duplicate = Promise.resolve(store.claim(operation));
    const completed = first.complete(reply('one'));
    // The constraint fails at the COMMIT of the group.
    const violating = database.transaction(() => database.query('INSERT INTO notes (id, of) VALUES (1, 99)'));
    const ends = await Promise.allSettled([completed, duplicate, violating]);
    t.deepEqual(
      ends.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    t.true(ends[1]?.status === 'rejected' && ends[1].reason instanceof DatabaseUnavailableError);
    t.is(await store.find(operation), undefined);
  },
);

test('the lease of a claim that waits for the writer starts when the claim runs', async (t) => {
  let now = 1_000_000;
  const { database, store } = await open(t, { clock: () => now });
  const barrier = new Barrier();
  const unit = database.transaction(() => barrier.pass());
  await barrier.reached();
  const operation = request({ leaseMs: 10_000 });
  const claiming = store.claim(operation);
  now += 60_000;
  barrier.open();
  await unit;
  await claimed(t, await claiming).renew();
  t.is(inProgress(t, await store.find(operation)).leaseLeftMs, 10_000);
});

test('a unit whose rollback fails commits with no other unit', async (t) => {
  const handle = new Sqlite(join(await freshFolder(t), 'test.db'));
  t.teardown(() => {
    handle.close();
  });
  const opened = await openSqlite({ database: handle, unitLimitMs: 60_000 });
  t.teardown(() => opened.close());
  const { database } = opened;
  await database.migrate('notes', ['CREATE TABLE notes (text TEXT)']);
  await database.query("INSERT INTO notes VALUES ('one'), ('two')");
  let cursor: IterableIterator<unknown> | undefined;
  const failing = database.transaction(async () => {
    await database.query("INSERT INTO notes VALUES ('rolled back')");
    // SQLite refuses a ROLLBACK while a cursor is open.
    cursor = handle.prepare('SELECT * FROM notes').iterate();
    cursor.next();
    throw new Error('failed');
  });
  const next = database.transaction(() => database.query("INSERT INTO notes VALUES ('next')"));
  const refused = t.throwsAsync(next);
  await t.throwsAsync(failing, { message: 'failed' });
  await refused;
  cursor?.return?.();
  await database.query("INSERT INTO notes VALUES ('three')");
  const outside = new Sqlite(handle.name, { readonly: true });
  t.deepEqual(outside.prepare('SELECT text FROM notes').pluck().all(), ['one', 'two', 'three']);
  outside.close();
});
