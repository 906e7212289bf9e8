import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { DatabaseUnavailableError, LockTimeoutError } from 'grpc-replay-guard/database';
import { openSqlite, type SqliteOptions } from 'grpc-replay-guard/sqlite';
import { freshFolder } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { stopSteadyClock } from '../helpers/waiting/stopped-clock.js';

const insert = 'INSERT INTO notes (id) VALUES ($1)';

/** Opens a database of the application with a table, and records the statements that run on it. */
async function handedOver(t: ExecutionContext, options: SqliteOptions = {}) {
  const path = join(await freshFolder(t), 'test.db');
  const statements: string[] = [];
  const handle = new Sqlite(path, { verbose: (text) => statements.push(String(text)) });
  t.teardown(() => {
    handle.close();
  });
  const opened = await openSqlite({ database: handle, unitLimitMs: 60_000, ...options });
  t.teardown(() => opened.close());
  const { database } = opened;
  await database.migrate('notes', [
    'CREATE TABLE notes (id INTEGER PRIMARY KEY, of INTEGER REFERENCES notes DEFERRABLE INITIALLY DEFERRED, data BLOB)',
  ]);
  const outside = new Sqlite(path, { readonly: true });
  t.teardown(() => {
    outside.close();
  });
  const ids = () => outside.prepare('SELECT id FROM notes ORDER BY id').pluck().all() as number[];
  const commits = () => statements.filter((text) => text === 'COMMIT').length;
  return { handle, opened, database, statements, ids, commits };
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

test('a database of the application is made durable and is usable after close', async (t) => {
  const { handle, opened, database } = await handedOver(t);
  t.is(handle.pragma('journal_mode', { simple: true }), 'wal');
  t.is(handle.pragma('synchronous', { simple: true }), 2);
  await database.query(insert, [1]);
  await opened.close();
  t.deepEqual(handle.prepare('SELECT id FROM notes').all(), [{ id: 1 }]);
  handle.prepare('INSERT INTO notes (id) VALUES (2)').run();
  t.deepEqual(handle.prepare('SELECT count(*) AS notes FROM notes').get(), { notes: 2 });
});

test('a database that is opened by path is durable', async (t) => {
  const folder = await freshFolder(t);
  const opened = await openSqlite({ path: join(folder, 'new', 'folder', 'test.db') });
  t.teardown(() => opened.close());
  t.deepEqual(await opened.database.query('PRAGMA journal_mode'), [{ journal_mode: 'wal' }]);
  const inside = (pragma: string) =>
    opened.database.transaction(() => opened.database.query(`PRAGMA ${pragma}`));
  t.deepEqual(await inside('synchronous'), [{ synchronous: 2n }]);
  t.deepEqual(await inside('foreign_keys'), [{ foreign_keys: 1n }]);
});

test('savepoints of a database that is opened by path keep their data in memory, not in a file', async (t) => {
  const opened = await openSqlite({ path: join(await freshFolder(t), 'test.db') });
  t.teardown(() => opened.close());
  const inside = () => opened.database.transaction(() => opened.database.query('PRAGMA temp_store'));
  t.deepEqual(await inside(), [{ temp_store: 2n }], 'MEMORY');
});

test('units that wait share a commit, and each is durable when its promise resolves', async (t) => {
  const { database, ids, commits, statements } = await handedOver(t);
  const before = commits();
  const unit = (id: number) =>
    database
      .transaction(async () => {
        await database.query(insert, [id]);
      })
      .then(() => t.true(ids().includes(id), `${id} resolved before its commit`));
  await Promise.all(numbers(60).map(unit));
  t.is(ids().length, 60);
  t.log(`${commits() - before} commits for 60 units`);
  t.true(commits() - before <= 15, statements.join('\n'));
});

test('with a group limit of one every unit has its own commit', async (t) => {
  const { database, commits } = await handedOver(t, { groupLimit: 1 });
  const before = commits();
  await Promise.all(numbers(20).map((id) => database.transaction(() => database.query(insert, [id]))));
  t.is(commits() - before, 20);
});

test('queries outside transactions share commits', async (t) => {
  const { database, commits, ids } = await handedOver(t);
  const before = commits();
  await Promise.all(numbers(60).map((id) => database.query(insert, [id])));
  t.is(ids().length, 60);
  t.true(commits() - before <= 15);
});

test('a unit that rolls back does not affect the other units of its group', async (t) => {
  const { database, ids } = await handedOver(t);
  const unit = (id: number) =>
    database.transaction(async () => {
      await database.query(insert, [id]);
      if (id % 3 === 1) throw new Error('rolled back');
      if (id % 3 === 2) await database.query(insert, [id]);
    });
  const ended = await Promise.allSettled(numbers(30).map(unit));
  const kept = numbers(30).filter((id) => id % 3 === 0);
  t.deepEqual(
    numbers(30).filter((id) => ended[id - 1]?.status === 'fulfilled'),
    kept,
  );
  t.deepEqual(ids(), kept);
});

test.serial('a failed commit fails its whole group, and the next group commits', async (t) => {
  const { database, handle, ids } = await handedOver(t);
  handle.pragma('foreign_keys = ON');
  stopSteadyClock(t);
  const barrier = new Barrier();
  const orphan = database.transaction(async () => {
    await database.query('INSERT INTO notes (id, of) VALUES (1, 999)');
    await barrier.pass();
  });
  const others = numbers(5).map((id) => database.transaction(() => database.query(insert, [100 + id])));
  barrier.open();
  const ended = await Promise.allSettled([orphan, ...others]);
  t.is(ended[0]?.status, 'rejected');
  // Exactly the units whose promises resolved are in the database.
  const resolved = ended.flatMap(({ status }, index) => (status === 'fulfilled' ? [100 + index] : []));
  t.deepEqual(ids(), resolved);
  t.true(resolved.length < 5, 'no unit shared the failed commit');
  // The other units violated no constraint, so their error must allow a retry.
  for (const end of ended.slice(1)) {
    if (end.status === 'rejected') t.true(end.reason instanceof DatabaseUnavailableError, String(end.reason));
  }
  await database.query(insert, [7]);
  t.true(ids().includes(7));
});

test.serial(
  'after a failed group commit a unit that violates a constraint fails alone, with its own error',
  async (t) => {
    const { database, handle, ids } = await handedOver(t);
    stopSteadyClock(t);
    handle.pragma('foreign_keys = ON');
    const orphan = () =>
      database.transaction(() => database.query('INSERT INTO notes (id, of) VALUES (1, 999)'));
    const good = (id: number) => database.transaction(() => database.query(insert, [id]));
    const together = await Promise.allSettled([orphan(), good(101), good(102), orphan()]);
    t.true(together.every(({ status }) => status === 'rejected'));
    for (let round = 1; round <= 5; round++) {
      const [bad, ...rest] = await Promise.allSettled([
        orphan(),
        ...numbers(9).map((id) => good(10 * round + id)),
      ]);
      t.like(bad, { status: 'rejected', reason: { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' } });
      t.true(rest.every(({ status }) => status === 'fulfilled'));
    }
    t.is(ids().length, 45);
  },
);

test('a unit that fails at a commit of its own gets its own error at once', async (t) => {
  const { database, handle } = await handedOver(t);
  handle.pragma('foreign_keys = ON');
  const orphan = database.transaction(() => database.query('INSERT INTO notes (id, of) VALUES (1, 999)'));
  const error = await t.throwsAsync(orphan, { any: true });
  t.like(error, { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' });
  // Later units have commits of their own for some time, and must still succeed.
  await database.query(insert, [2]);
});

test('a full disk makes writes fail as unavailable and loses no committed unit, and later writes succeed', async (t) => {
  const { database, handle, ids } = await handedOver(t);
  await database.query(insert, [1]);
  const pages = handle.pragma('page_count', { simple: true }) as number;
  handle.pragma(`max_page_count = ${pages + 4}`);
  const units = numbers(6).map((id) =>
    database.transaction(() =>
      database.query('INSERT INTO notes (id, data) VALUES ($1, $2)', [
        10 + id,
        Buffer.alloc(id === 3 ? 1e6 : 1),
      ]),
    ),
  );
  const ended = await Promise.allSettled(units);
  t.true(ended[2]?.status === 'rejected' && ended[2].reason instanceof DatabaseUnavailableError);
  const resolved = ended.flatMap(({ status }, index) => (status === 'fulfilled' ? [11 + index] : []));
  t.deepEqual(ids(), [1, ...resolved]);
  handle.pragma('max_page_count = 1000000');
  await database.query(insert, [2]);
  t.true(ids().includes(2));
});

test('a unit that never ends delays other units only up to its time limit', async (t) => {
  const { database, ids } = await handedOver(t, { unitLimitMs: 50 });
  const barrier = new Barrier();
  const stuck = database.transaction(async () => {
    await database.query(insert, [1]);
    await barrier.pass();
  });
  const rejected = t.throwsAsync(stuck, { message: /50 ms/ });
  await barrier.reached();
  const others = Promise.all(numbers(10).map((id) => database.query(insert, [10 + id])));
  const alive = setInterval(() => {}, 1_000);
  await others;
  clearInterval(alive);
  barrier.open();
  await rejected;
  t.is(ids().length, 10);
});

test('while another process holds the file, reads succeed and writes wait', async (t) => {
  const { handle, opened, database, ids } = await handedOver(t, { busyTimeoutMs: 20_000 });
  const holder = new Sqlite(handle.name);
  t.teardown(() => {
    holder.close();
  });
  holder.exec('BEGIN IMMEDIATE');
  const held = [1, 2].map((id) => database.query(insert, [id]));
  const unit = database.transaction(() => database.query(insert, [3]));
  // A blocked event loop would not get here before the busy timeout.
  await nextTurn();
  t.deepEqual(await database.query('SELECT id FROM notes'), []);
  await opened.ping();
  holder.exec('COMMIT');
  await Promise.all([...held, unit]);
  t.deepEqual(ids(), [1, 2, 3]);
});

test('writes fail after the busy timeout while another process holds the file, and then succeed', async (t) => {
  const { handle, database, ids } = await handedOver(t, { busyTimeoutMs: 50 });
  const holder = new Sqlite(handle.name);
  t.teardown(() => {
    holder.close();
  });
  holder.exec('BEGIN IMMEDIATE');
  await t.throwsAsync(database.query(insert, [1]), { instanceOf: LockTimeoutError });
  await t.throwsAsync(
    database.transaction(async () => {}),
    { instanceOf: LockTimeoutError },
  );
  holder.exec('COMMIT');
  await database.query(insert, [2]);
  t.deepEqual(ids(), [2]);
});

test('opening waits for a file that another process holds, up to the busy timeout', async (t) => {
  const path = join(await freshFolder(t), 'test.db');
  const holder = new Sqlite(path);
  t.teardown(() => {
    holder.close();
  });
  // The file is not in WAL mode yet, so the lock also excludes readers.
  holder.exec('BEGIN EXCLUSIVE');
  await t.throwsAsync(openSqlite({ path, busyTimeoutMs: 50 }), { instanceOf: LockTimeoutError });
  const opening = openSqlite({ path, busyTimeoutMs: 20_000 });
  await nextTurn();
  holder.exec('COMMIT');
  const opened = await opening;
  t.teardown(() => opened.close());
  await opened.ping();
});

test('opening a file whose schema is current waits for no other process that writes', async (t) => {
  const path = join(await freshFolder(t), 'test.db');
  const first = await openSqlite({ path });
  t.teardown(() => first.close());
  const holder = new Sqlite(path);
  t.teardown(() => {
    holder.close();
  });
  holder.exec('BEGIN IMMEDIATE');
  const second = await openSqlite({ path, busyTimeoutMs: 50 });
  t.teardown(() => second.close());
  holder.exec('COMMIT');
  await t.notThrowsAsync(second.ping());
});
