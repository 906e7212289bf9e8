import test, { type ExecutionContext } from 'ava';
import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import type { OpenStore } from 'grpc-replay-guard/store';
import pg from 'pg';
import { type BatchEnd, mayBeCommitted } from '#library/database/postgres/errors.js';
import { claimed, completed, reply, request } from '../../contracts/store/requests.js';
import { freshData } from '../../helpers/databases/engines.js';
import { transactionsEnded } from '../../helpers/databases/open-transactions.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';

const CANCELLED = '57014';
const TERMINATED = '57P01';
const insert = 'INSERT INTO notes VALUES ($1)';
const unavailable = { instanceOf: DatabaseUnavailableError };
const writeNote = "RETURNS BIGINT LANGUAGE sql AS 'INSERT INTO notes VALUES (7) RETURNING id'";
const makeNote = `CREATE FUNCTION make_note() ${writeNote}`;

/** Opens a database on one connection, through a proxy that makes statements fail. */
async function throughProxy(t: ExecutionContext) {
  const data = await freshData(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const opened = await openUrl(proxy.url, { maxConnections: 1 });
  t.teardown(() => opened.close());
  await opened.database.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
  const direct = (await data.open()).database;
  /** Checks what is committed, and that no transaction was left open. */
  const assertCommitted = async (notes: bigint[], records: number) => {
    await transactionsEnded(direct);
    const ids = await direct.query<{ id: bigint }>('SELECT id FROM notes ORDER BY id');
    t.deepEqual(
      ids.map(({ id }) => id),
      notes,
    );
    t.deepEqual(await direct.query('SELECT count(*) AS kept FROM replay_guard_records'), [
      { kept: BigInt(records) },
    ]);
  };
  return { proxy, opened, database: opened.database, direct, assertCommitted };
}

const claim = async (t: ExecutionContext, { store }: OpenStore, operation = request()) =>
  claimed(t, await store.claim(operation));

for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
  for (const [what, text] of [
    ['BEGIN', /^BEGIN/],
    ['the statement between BEGIN and the claim', /^SET LOCAL/],
  ] as const) {
    test(`${atomicity}: a claim behind ${what} that fails takes no effect`, async (t) => {
      const { proxy, opened, assertCommitted } = await throughProxy(t);
      const operation = request({ atomicity });
      for (const isPrepared of [false, true]) {
        proxy.failAt(text, CANCELLED);
        await t.throwsAsync(
          async () => opened.store.claim(operation),
          unavailable,
          `prepared: ${isPrepared}`,
        );
        await assertCommitted([], 0);
        await (await claim(t, opened, operation)).release();
      }
    });
  }

  test(`${atomicity}: a COMMIT behind a completion that fails is not executed`, async (t) => {
    const { proxy, opened, database, assertCommitted } = await throughProxy(t);
    for (const [sqlState, id] of [CANCELLED, TERMINATED].entries()) {
      const operation = request({ atomicity });
      const held = await claim(t, opened, operation);
      await held.run(() => database.query(insert, [sqlState]));
      proxy.failAt(/^UPDATE replay_guard_records/, id);
      await t.throwsAsync(async () => held.complete(reply('done')), unavailable);
      await assertCommitted([], atomicity === 'LEASE' ? sqlState + 1 : 0);
    }
  });

  test(`${atomicity}: a completion whose connection is cut behind it is in doubt and not committed`, async (t) => {
    const { proxy, opened, database, assertCommitted } = await throughProxy(t);
    const held = await claim(t, opened, request({ atomicity }));
    await held.run(() => database.query(insert, [1]));
    proxy.cutAt(/^COMMIT/, 'before');
    await t.throwsAsync(async () => held.complete(reply('done')), { instanceOf: CommitInDoubtError });
    await assertCommitted([], atomicity === 'LEASE' ? 1 : 0);
  });
}

for (const text of [
  'WITH made AS (INSERT INTO notes SELECT 7 RETURNING id) SELECT id FROM made',
  'SELECT 7::bigint AS id INTO made',
  'SELECT make_note()',
  'SELECT make_note/* of seven */()',
  'SELECT audit.lead()',
  'SELECT audit . lead()',
  'SELECT "noté"()',
  'SELECT noté()',
]) {
  test(`a statement that writes and whose answer is lost is in doubt: ${text}`, async (t) => {
    const { proxy, database, direct } = await throughProxy(t);
    const setUp = ['CREATE SCHEMA audit', makeNote];
    for (const name of ['audit.lead()', 'noté()']) setUp.push(`CREATE FUNCTION ${name} ${writeNote}`);
    for (const statement of setUp) await direct.query(statement);
    proxy.cutAt(/^(WITH|SELECT)/, 'after');
    await t.throwsAsync(database.query(text), { instanceOf: CommitInDoubtError });
    const made = text.includes('INTO made') ? 'made' : 'notes';
    t.deepEqual(await direct.query(`SELECT id FROM ${made}`), [{ id: 7n }]);
  });
}

test('a read whose answer is lost is not in doubt', async (t) => {
  const { proxy, database } = await throughProxy(t);
  proxy.cutAt(/^SELECT/, 'after');
  await t.throwsAsync(database.query('SELECT count(*) AS notes FROM notes'), unavailable);
});

test('a transaction whose BEGIN fails does not run its work', async (t) => {
  const { proxy, database, assertCommitted } = await throughProxy(t);
  proxy.failAt(/^BEGIN/, CANCELLED);
  const failing = database.transaction(async () => {
    await database.query(insert, [1]);
  });
  await t.throwsAsync(failing, unavailable);
  await assertCommitted([], 0);
  await database.transaction(() => database.query(insert, [2]));
  await assertCommitted([2n], 0);
});

test('LEASE: the first write behind a BEGIN that fails takes no effect', async (t) => {
  const { proxy, opened, database, assertCommitted } = await throughProxy(t);
  const held = await claim(t, opened);
  proxy.failAt(/^BEGIN/, CANCELLED);
  await t.throwsAsync(
    held.run(() => database.query(insert, [1])),
    unavailable,
  );
  await held.release();
  await assertCommitted([], 0);
});

test('LEASE: a statement that writes behind a read-only BEGIN that fails takes no effect', async (t) => {
  const { proxy, opened, database, direct, assertCommitted } = await throughProxy(t);
  await direct.query(makeNote);
  await direct.query('CREATE VIEW made AS SELECT make_note() AS id');
  const writing = 'SELECT id FROM made';
  const held = await claim(t, opened);
  proxy.failAt(/^BEGIN .* READ ONLY/, CANCELLED);
  await t.throwsAsync(
    held.run(() => database.query(writing)),
    unavailable,
  );
  await held.release();
  await assertCommitted([], 0);
  const again = await claim(t, opened);
  await again.run(() => database.query(writing));
  await again.complete(reply('done'));
  await assertCommitted([7n], 1);
});

test('a COMMIT that the server cancels has committed nothing', async (t) => {
  const { proxy, opened, database, assertCommitted } = await throughProxy(t);
  const operation = request({ atomicity: 'TRANSACTION' });
  const held = await claim(t, opened, operation);
  await held.run(() => database.query(insert, [1]));
  proxy.failAt(/^COMMIT/, CANCELLED);
  await t.throwsAsync(async () => held.complete(reply('done')), unavailable);
  await assertCommitted([], 0);
});

test('a COMMIT during which the server terminates the session is in doubt', async (t) => {
  const { proxy, database, assertCommitted } = await throughProxy(t);
  proxy.failAt(/^COMMIT/, TERMINATED);
  await t.throwsAsync(
    database.transaction(() => database.query(insert, [1])),
    { instanceOf: CommitInDoubtError },
  );
  await assertCommitted([], 0);
});

test('a replay whose rollback fails is answered, and its connection is closed', async (t) => {
  const { proxy, opened, assertCommitted } = await throughProxy(t);
  const operation = request({ atomicity: 'TRANSACTION' });
  await (await claim(t, opened, operation)).complete(reply('done'));
  proxy.reset();
  proxy.failAt(/^ROLLBACK/, CANCELLED);
  t.deepEqual(completed(t, await opened.store.claim(operation)).reply, reply('done'));
  await assertCommitted([], 1);
  t.deepEqual(completed(t, await opened.store.claim(operation)).reply, reply('done'));
  t.is(proxy.connections, 1, 'the next call has a new connection');
});

test('a rollback to a savepoint travels behind a failed statement and is executed', async (t) => {
  const { database, assertCommitted } = await throughProxy(t);
  await database.transaction(async () => {
    await database.query(insert, [1]);
    const failing = database.transaction(async () => {
      database.query('SELECT nothing FROM nowhere').catch(() => {});
      throw new Error('rolled back');
    });
    await t.throwsAsync(failing, { message: 'rolled back' });
    await database.transaction(() => database.query(insert, [2]));
    await database.transaction(() => database.query(insert, [3]));
  });
  await assertCommitted([1n, 2n, 3n], 0);
});

/** The end of a batch of one statement and COMMIT, which fails with an error of the server. */
function failed(executed: number, severity: string, code: string): BatchEnd {
  const error = Object.assign(new pg.DatabaseError('failed', 0, 'error'), { severity, code });
  return { results: Array(executed).fill([]), command: '', error, isSent: true, isOutdated: false };
}

for (const code of ['53100', 'XX000']) {
  test(`a COMMIT during which the server panics with ${code} is in doubt`, (t) => {
    t.true(mayBeCommitted(failed(1, 'PANIC', code), 1));
    t.false(mayBeCommitted(failed(0, 'PANIC', code), 1), 'the statement before COMMIT failed');
    t.false(mayBeCommitted(failed(1, 'ERROR', code), 1), 'the transaction was rolled back');
  });
}

for (const code of ['57P01', '57P02', '57P03', '58000', '58030']) {
  test(`a batch with COMMIT that a server or a pooler ends with ${code} is in doubt`, (t) => {
    t.true(mayBeCommitted(failed(1, 'FATAL', code), 1));
    t.true(mayBeCommitted(failed(0, 'FATAL', code), 1), 'a pooler may have lost the answers before');
    t.false(mayBeCommitted({ ...failed(0, 'FATAL', code), isSent: false }, 1), 'nothing was sent');
    if (code.startsWith('58')) t.false(mayBeCommitted(failed(0, 'ERROR', code), 1), 'a statement failed');
  });
}

test('a COMMIT that violates a deferred constraint is not in doubt in any language', (t) => {
  for (const severity of ['ERROR', 'FEHLER']) t.false(mayBeCommitted(failed(1, severity, '23505'), 1));
});
