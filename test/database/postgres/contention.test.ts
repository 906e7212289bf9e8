import test, { type ExecutionContext } from 'ava';
import { ContentionError } from 'grpc-replay-guard/database';
import pg from 'pg';
import { PostgresEngine } from '#library/database/postgres/engine.js';
import { claimed, completed, reply, request } from '../../contracts/store/requests.js';
import { freshData } from '../../helpers/databases/engines.js';

/** Opens a database in which each change of a table fails with a code, until a sequence has reached a number. */
async function conflicting(t: ExecutionContext, table: string, code: string, failures: number) {
  const data = await freshData(t, 'postgres');
  const opened = await data.open();
  await opened.database.migrate('conflicts', [
    'CREATE TABLE notes (id BIGINT PRIMARY KEY)',
    'CREATE SEQUENCE changes',
    `CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF nextval('changes') <= ${failures} THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '${code}'; END IF;
        RETURN NEW;
      END $$`,
    `CREATE TRIGGER conflict BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION conflict()`,
  ]);
  return opened;
}

for (const code of ['40001', '40P01']) {
  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    test(`${atomicity}: a claim that fails with ${code} is tried again`, async (t) => {
      const { store } = await conflicting(t, 'replay_guard_records', code, 3);
      const operation = request({ atomicity });
      await claimed(t, await store.claim(operation)).complete(reply('done'));
      t.deepEqual(completed(t, await store.claim(operation)).reply, reply('done'));
    });
  }

  test(`a single statement that fails with ${code} is tried again`, async (t) => {
    const { database } = await conflicting(t, 'notes', code, 3);
    await database.query('INSERT INTO notes VALUES (1)');
    t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 1n }]);
  });

  test(`a statement that always fails with ${code} is given up`, async (t) => {
    const { database, store } = await conflicting(t, 'notes', code, 1_000);
    await t.throwsAsync(database.query('INSERT INTO notes VALUES (1)'), { instanceOf: ContentionError });
    const claim = claimed(t, await store.claim(request({ atomicity: 'TRANSACTION' })));
    const insert = claim.run(() => database.query('INSERT INTO notes VALUES (1)'));
    await t.throwsAsync(insert, { instanceOf: ContentionError });
    await claim.release();
    const [last] = await database.query<{ last_value: bigint }>('SELECT last_value FROM changes');
    t.is(last?.last_value, 7n);
  });
}

test('the time limit of a statement starts when the earlier statement is answered', async (t) => {
  const { url } = await freshData(t, 'postgres');
  const pool = new pg.Pool({ connectionString: url, pipeline: true } as pg.PoolConfig);
  t.teardown(() => pool.end());
  const engine = new PostgresEngine(pool, 30_000, { answerLimitMs: 1_000 });
  const { session } = await engine.open();
  const wait = { text: 'SELECT 1 AS one FROM pg_sleep(CAST($1 AS DOUBLE PRECISION))', params: [0.6] };
  t.deepEqual(await Promise.all([session.query(wait), session.query(wait), session.query(wait)]), [
    [{ one: 1n }],
    [{ one: 1n }],
    [{ one: 1n }],
  ]);
  await session.commit();
});
