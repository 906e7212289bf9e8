import { randomBytes } from 'node:crypto';
import { copyFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { ClaimRequest, OpenStore } from 'grpc-replay-guard/store';
import pg from 'pg';
import { freshData, freshFolder } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';

/** A way in which claims fail although the database answers. */
interface Fault {
  /** Starts the fault. */
  begin(): unknown;
  /** Repairs the database while it stays open. */
  repair(): unknown;
  /** The name of the error of a ping. */
  readonly error?: string;
}

interface Opened {
  readonly opened: OpenStore;
  readonly faults: Readonly<Record<string, Fault>>;
}

/** The same faults on both engines. @param run runs SQL on the connection of the store */
function faultsOfTables(
  run: (sql: string) => unknown,
  trigger: { readonly create: string; readonly drop: string },
): Opened['faults'] {
  const missing = (table: string): Fault => ({
    begin: () => run(`ALTER TABLE ${table} RENAME TO gone`),
    repair: () => run(`ALTER TABLE gone RENAME TO ${table}`),
  });
  return {
    'the table of keys is missing': missing('replay_guard_records'),
    'the table of series is missing': missing('replay_guard_producers'),
    'a trigger refuses each record': { begin: () => run(trigger.create), repair: () => run(trigger.drop) },
  };
}

async function openOnSqlite(t: ExecutionContext): Promise<Opened> {
  const path = join(await freshFolder(t), 'test.db');
  const database = new Sqlite(path);
  t.teardown(() => void database.close());
  const opened = await openSqlite({ database, busyTimeoutMs: 50 });
  t.teardown(opened.close);
  const other = new Sqlite(path);
  t.teardown(() => void other.close());
  const away = `${path}.away`;
  const trigger = {
    create: `CREATE TRIGGER refuse BEFORE INSERT ON replay_guard_records BEGIN SELECT RAISE(ABORT, 'no'); END`,
    drop: 'DROP TRIGGER refuse',
  };
  return {
    opened,
    faults: {
      ...faultsOfTables((sql) => database.exec(sql), trigger),
      'another process holds the file': {
        begin: () => other.exec('BEGIN IMMEDIATE'),
        repair: () => other.exec('ROLLBACK'),
        error: 'LockTimeoutError',
      },
      'the connection is read-only': {
        begin: () => database.pragma('query_only = 1'),
        repair: () => database.pragma('query_only = 0'),
        error: 'DatabaseReadOnlyError',
      },
      'the file is gone': {
        begin: () => renameSync(path, away),
        repair: () => renameSync(away, path),
        error: 'DatabaseReplacedError',
      },
      'the file is another one': {
        begin: () => {
          renameSync(path, away);
          copyFileSync(away, path);
        },
        repair: () => renameSync(away, path),
        error: 'DatabaseReplacedError',
      },
    },
  };
}

async function openOnPostgres(t: ExecutionContext): Promise<Opened> {
  const { url } = await freshData(t, 'postgres');
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  t.teardown(() => pool.end());
  const opened = await openPostgres({ pool });
  t.teardown(opened.close);
  const trigger = {
    create: `
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON replay_guard_records FOR EACH ROW EXECUTE FUNCTION refuse()`,
    drop: 'DROP FUNCTION refuse() CASCADE',
  };
  const swallow = {
    create: `
      CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
      CREATE TRIGGER swallow BEFORE INSERT ON replay_guard_records FOR EACH ROW EXECUTE FUNCTION swallow()`,
    drop: 'DROP FUNCTION swallow() CASCADE',
  };
  const run = (sql: string) => pool.query(sql);
  return {
    opened,
    faults: {
      ...faultsOfTables(run, trigger),
      'a trigger swallows each record': {
        begin: () => run(swallow.create),
        repair: () => run(swallow.drop),
      },
      'the database is read-only': {
        begin: () => run('SET default_transaction_read_only = on'),
        repair: () => run('SET default_transaction_read_only = off'),
        error: 'DatabaseReadOnlyError',
      },
      'the role may not write': {
        begin: () =>
          run('CREATE ROLE reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; SET ROLE reader'),
        repair: () => run('RESET ROLE; DROP OWNED BY reader; DROP ROLE reader'),
      },
    },
  };
}

for (const [engine, open] of Object.entries({ sqlite: openOnSqlite, postgres: openOnPostgres })) {
  test(`${engine}: a ping fails while claims would fail, and succeeds after the repair`, async (t) => {
    const { opened, faults } = await open(t);
    await opened.ping();
    for (const [what, fault] of Object.entries(faults)) {
      await fault.begin();
      const error = await t.throwsAsync(opened.ping(), { instanceOf: DatabaseUnavailableError }, what);
      t.is(error?.name, fault.error ?? 'DatabaseUnavailableError', what);
      await fault.repair();
      await t.notThrowsAsync(opened.ping(), what);
      t.is((await opened.store.claim(request())).outcome, 'claimed', what);
    }
    t.is(await opened.store.estimateRecords().then(Number.isInteger), true);
  });

  test(`${engine}: a ping leaves no record behind`, async (t) => {
    const { opened } = await open(t);
    await opened.ping();
    for (const table of ['replay_guard_records', 'replay_guard_producers'])
      t.deepEqual(await opened.database.query(`SELECT * FROM ${table}`), [], table);
  });
}

test('sqlite: a ping during a unit of work does not wait for its end', async (t) => {
  const { opened } = await openOnSqlite(t);
  const barrier = new Barrier();
  const unit = opened.database.transaction(() => barrier.pass());
  await barrier.reached();
  await t.notThrowsAsync(opened.ping());
  barrier.open();
  await unit;
});

test('sqlite: nothing is committed to a file that was deleted, and reads continue', async (t) => {
  const path = join(await freshFolder(t), 'test.db');
  const opened = await openSqlite({ path });
  t.teardown(opened.close);
  const { database, store } = opened;
  await database.query('CREATE TABLE notes (id TEXT)');
  const done = request();
  const claimed = await store.claim(done);
  if (claimed.outcome !== 'claimed') throw new Error(claimed.outcome);
  await claimed.claim.complete(Buffer.from('reply'));
  const barrier = new Barrier();
  // The file disappears while a unit of work is open.
  const unit = database.transaction(async () => {
    await database.query(`INSERT INTO notes VALUES ('lost')`);
    await barrier.pass();
  });
  await barrier.reached();
  rmSync(path);
  barrier.open();
  await t.throwsAsync(unit, { name: 'DatabaseReplacedError' });
  await t.throwsAsync(async () => store.claim(request()), { name: 'DatabaseReplacedError' });
  await t.throwsAsync(database.query(`INSERT INTO notes VALUES ('lost')`), { name: 'DatabaseReplacedError' });
  t.deepEqual(await database.query('SELECT id FROM notes'), []);
  t.is((await store.find(done))?.outcome, 'completed');
});

test('sqlite: nothing is committed after the write-ahead log was deleted, and a restart keeps the commits', async (t) => {
  const path = join(await freshFolder(t), 'test.db');
  const opened = await openSqlite({ path });
  const { database, store } = opened;
  await database.query('CREATE TABLE notes (id TEXT)');
  await database.query(`INSERT INTO notes VALUES ('kept')`);
  rmSync(`${path}-wal`);
  const write = () => database.query(`INSERT INTO notes VALUES ('lost')`);
  const lost = { name: 'DatabaseReplacedError', message: /write-ahead log/ };
  await t.throwsAsync(write(), lost);
  await t.throwsAsync(write(), lost, 'the second write fails when its transaction begins');
  await t.throwsAsync(async () => store.claim(request()), lost);
  await t.throwsAsync(opened.ping(), lost);
  await opened.close();
  const restarted = await openSqlite({ path });
  t.teardown(restarted.close);
  t.deepEqual(await restarted.database.query('SELECT id FROM notes'), [{ id: 'kept' }]);
});

test('sqlite: a ping fails after the write-ahead log of a linked file was deleted', async (t) => {
  const [path, link] = [join(await freshFolder(t), 'test.db'), join(await freshFolder(t), 'link.db')];
  new Sqlite(path).close();
  symlinkSync(path, link);
  const opened = await openSqlite({ path: link });
  t.teardown(opened.close);
  await opened.ping();
  rmSync(`${path}-wal`);
  await t.throwsAsync(opened.ping(), { name: 'DatabaseReplacedError', message: /write-ahead log/ });
});

function request(): ClaimRequest {
  const id = randomBytes(32);
  return {
    ...{ scope: 'scope', id, fingerprint: id, atomicity: 'LEASE' },
    ...{ leaseMs: 10_000, retentionMs: 60_000 },
  };
}
