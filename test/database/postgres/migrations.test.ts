import test from 'ava';
import pg, { type Pool, type PoolConfig } from 'pg';
import { migrate } from '#library/database/migrate.js';
import { PostgresEngine } from '#library/database/postgres/engine.js';
import { claimed, completed, reply, request } from '../../contracts/store/requests.js';
import { dataAt, freshData } from '../../helpers/databases/engines.js';
import { poll } from '../../helpers/waiting/poll.js';

const LIMIT_MS = 200;

const limits: Record<string, { config?: PoolConfig; answerLimitMs?: number }> = {
  'the statement time-out of the server': { config: { statement_timeout: LIMIT_MS } },
  'the lock time-out of the server': { config: { lock_timeout: LIMIT_MS } },
  'the query time-out of the pool': { config: { query_timeout: LIMIT_MS } },
  'the limit on the wait for an answer': { answerLimitMs: LIMIT_MS },
};
for (const [what, { config, answerLimitMs }] of Object.entries(limits)) {
  test(`a long migration, and a server that waits for it, are not subject to ${what}`, async (t) => {
    const data = await freshData(t, 'postgres');
    const { database: observer } = await data.open();
    const operator = (await data.open({ unitLimitMs: 60_000 })).database;
    await operator.migrate('gate', ['CREATE TABLE gate (id INT)']);
    const pool: Pool = new pg.Pool({ connectionString: data.url, pipeline: true, ...config } as PoolConfig);
    pool.on('error', () => {});
    t.teardown(() => pool.end());
    const engine = new PostgresEngine(pool, 60_000, { answerLimitMs });
    const waits = (event: string) =>
      poll(`a long wait for the ${event} lock`, async () => {
        const waiting = `SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database()
          AND wait_event_type = 'Lock' AND wait_event = $1 AND clock_timestamp() - query_start > $2::interval`;
        return (await observer.query(waiting, [event, `${2 * LIMIT_MS} ms`])).length > 0;
      });
    const migrations = await operator.transaction(async () => {
      await operator.query('LOCK TABLE gate');
      const slow = migrate(engine, 'slow', ['SELECT id FROM gate']);
      // A migration that fails ends the wait.
      await Promise.race([slow.catch(() => {}), waits('relation')]);
      const waiting = migrate(engine, 'waiting', ['SELECT 1 AS one']);
      await Promise.race([waiting.catch(() => {}), waits('advisory')]);
      return { slow, waiting };
    });
    await t.notThrowsAsync(migrations.slow);
    await t.notThrowsAsync(migrations.waiting);
    // The limit applies again to the other statements of the connections.
    if (!config?.lock_timeout)
      await t.throwsAsync(async () => engine.run({ text: 'SELECT pg_sleep(60)', params: [] }));
  });
}

test('a schema that is put in front of the search path later gets no second set of tables', async (t) => {
  const data = await freshData(t, 'postgres');
  const { database, store } = await data.open();
  const operation = request();
  await claimed(t, await store.claim(operation)).complete(reply('done'));
  await database.query('CREATE SCHEMA shop');
  const url = new URL(data.url);
  url.searchParams.set('options', '-c search_path=shop,public');
  const later = await dataAt(t, 'postgres', url.href).open();
  t.deepEqual(completed(t, await later.store.claim(operation)).reply, reply('done'));
  const tables = "SELECT count(*) AS tables FROM pg_tables WHERE tablename = 'replay_guard_records'";
  t.deepEqual(await later.database.query(tables), [{ tables: 1n }]);
});
