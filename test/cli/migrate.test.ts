import test from 'ava';
import pg from 'pg';
import { engines, freshData } from '../helpers/databases/engines.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { openEarlierServer } from '../helpers/stores/version-0-1.js';
import { poll } from '../helpers/waiting/poll.js';
import { run, start } from './program.js';
import { schemaOf } from './schema-of.js';

/** Locks a table in a transaction that stays open. Returns what ends the transaction. */
async function hold(url: string, lock: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`BEGIN; LOCK TABLE ${lock}`);
  return () => client.end();
}

for (const engine of engines) {
  test(`${engine}: three programs migrate a database of version 0.1 at the same time, and each says what it did`, async (t) => {
    const data = await freshData(t, engine);
    await (await openEarlierServer(t, data.url)).migrate();
    const runs = await Promise.all([1, 2, 3].map(() => start(['migrate', '--database-url', data.url]).ended));
    for (const { code, err } of runs) t.is(code, 0, err);
    const did = runs.filter(({ out }) => /^grpc-replay-guard: from step 6 to step \d+$/m.test(out));
    t.is(did.length, 1);
    t.is((await run('doctor', '--database-url', data.url)).code, 0);
  });
}

test('postgres: SIGINT while a migration waits for a table leaves the schema as it was, and the next run migrates', async (t) => {
  const url = await freshDatabase(t);
  await (await openEarlierServer(t, url)).migrate();
  const before = await schemaOf(url, 'public');
  const release = await hold(url, 'replay_guard_records IN ACCESS SHARE MODE');
  const running = start(['migrate', '--database-url', url]);
  await poll('a warning that the migration waits', () => /REPLAY_GUARD_MIGRATION_WAITS/.test(running.err()));
  running.child.kill('SIGINT');
  t.is((await running.ended).code, -1);
  await release();
  t.deepEqual(await schemaOf(url, 'public'), before);
  t.is((await run('migrate', '--database-url', url)).code, 0);
});

test('postgres: while a transaction holds the versions, migrate waits, and doctor says why it cannot answer', async (t) => {
  const url = await freshDatabase(t);
  t.is((await run('migrate', '--database-url', url)).code, 0);
  const release = await hold(url, 'replay_guard_schema');
  const [running, doctor] = [
    start(['migrate', '--database-url', url]),
    start(['doctor', '--database-url', url]),
  ];
  await poll('a warning that the migration waits', () => /REPLAY_GUARD_MIGRATION_WAITS/.test(running.err()));
  const refused = await doctor.ended;
  t.is(refused.code, 1);
  t.is(refused.err, 'another server migrates, or a transaction holds a table: try again\n');
  await release();
  t.regex((await running.ended).out, /^grpc-replay-guard: current at step/);
});
