import { chmodSync, closeSync, openSync, statSync, writeSync } from 'node:fs';
import test from 'ava';
import { administer } from '../helpers/databases/administer.js';
import { freshData } from '../helpers/databases/engines.js';
import { pgbouncer, startPgBouncer } from '../helpers/databases/pgbouncer.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { startCluster } from '../helpers/databases/postgres-cluster.js';
import { freshRole, run } from './program.js';

/** Runs `doctor`, and resolves to its exit code and its parsed output. */
async function examine(url: string, ...args: string[]) {
  const { code, out, err } = await run('doctor', '--database-url', url, '--json', ...args);
  return { code, text: out + err, found: JSON.parse(out) as Record<string, string[]> };
}

test('postgres: doctor prints the statements that give a role what it lacks, and they mend it', async (t) => {
  const url = await freshDatabase(t);
  const { role } = await freshRole(t, url, 'Our "role" ');
  const schema = 'Guard Tables';
  t.is((await run('migrate', '--database-url', url, '--schema', schema)).code, 0);
  await administer(url, `REVOKE CONNECT ON DATABASE ${new URL(url).pathname.slice(1)} FROM PUBLIC`);
  const asked = ['--schema', schema, '--role', role];
  const lacking = await examine(url, ...asked);
  t.is(lacking.code, 1);
  t.deepEqual(lacking.found.problems?.slice(0, 3), [
    `the role ${role} may not connect to the database ${new URL(url).pathname.slice(1)}`,
    `the role ${role} lacks USAGE on the schema ${schema}`,
    `the role ${role} lacks SELECT, INSERT on replay_guard_schema`,
  ]);
  for (const statement of lacking.found.mending ?? []) await administer(url, statement);
  t.is((await examine(url, ...asked)).code, 0);
  await administer(
    url,
    `REVOKE DELETE ON "${schema}".replay_guard_messages FROM "${role.replaceAll('"', '""')}"`,
  );
  t.deepEqual((await examine(url, ...asked)).found.mending, [
    `GRANT DELETE ON TABLE "${schema}"."replay_guard_messages" TO "${role.replaceAll('"', '""')}"`,
  ]);
});

test('postgres: a role that may not even read the steps gets a diagnosis of what it lacks', async (t) => {
  const url = await freshDatabase(t);
  const runtime = await freshRole(t, url);
  t.is((await run('migrate', '--database-url', url, '--schema', 'guard')).code, 0);
  const denied = await examine(runtime.url, '--schema', 'guard');
  t.is(denied.code, 1);
  t.regex(denied.text, /the role role_\w+ may not read the steps in guard\.replay_guard_schema/);
  for (const statement of denied.found.mending ?? []) await administer(url, statement);
  const { code, text } = await examine(runtime.url, '--schema', 'guard');
  t.is(code, 0, text);
  // Without the option, this role finds no tables in its search path.
  t.regex((await examine(runtime.url)).text, /the schema guard has tables of the guard: name it by --schema/);
});

test('postgres: doctor finds what loses commits, hides records or stops calls', async (t) => {
  const url = await freshDatabase(t);
  const { role, name } = await freshRole(t, url);
  t.is((await run('migrate', '--database-url', url)).code, 0);
  const found = async () => (await examine(url, '--role', 'postgres')).found.problems;
  t.deepEqual(await found(), []);
  const database = `DATABASE ${new URL(url).pathname.slice(1)}`;
  await administer(url, 'ALTER TABLE replay_guard_records SET UNLOGGED');
  await administer(url, 'ALTER TABLE replay_guard_producers ENABLE ROW LEVEL SECURITY');
  await administer(url, `ALTER ${database} SET synchronous_commit = off`);
  const { found: diagnosis } = await examine(url, '--role', 'postgres');
  t.deepEqual(diagnosis.problems, [
    'synchronous_commit = off: a crash may lose commits that were acknowledged',
    'the table replay_guard_producers has row security, which may hide records from the servers',
    'the table replay_guard_records is unlogged: a crash empties it',
  ]);
  for (const statement of diagnosis.mending ?? []) await administer(url, statement);
  await administer(url, `ALTER ${database} SET synchronous_commit = on`);
  t.deepEqual(await found(), []);
  const granted = (await examine(url, '--role', role)).found.mending ?? [];
  for (const statement of granted) await administer(url, statement);
  await administer(url, `ALTER ROLE ${name} SET synchronous_commit = false`);
  await administer(url, `ALTER ROLE ${name} IN ${database} SET default_transaction_read_only = 1`);
  const { found: ofRole } = await examine(url, '--role', role);
  t.deepEqual([...(ofRole.problems ?? [])].sort(), [
    `default_transaction_read_only = on of the role ${role}: calls write`,
    `synchronous_commit = off of the role ${role}: a crash may lose commits that were acknowledged`,
  ]);
  for (const statement of ofRole.mending ?? []) await administer(url, statement);
  await administer(url, `ALTER ROLE ${name} NOLOGIN`);
  const { found: mended } = await examine(url, '--role', role);
  t.deepEqual(mended.problems, []);
  t.true(mended.notes?.includes(`the role ${role} may not log in: servers connect as its members`));
  await administer(url, `ALTER ${database} SET default_transaction_read_only = on`);
  t.deepEqual(await found(), ['transactions are read-only by default, and calls write']);
  await administer(url, `BEGIN READ WRITE; ALTER ${database} RESET default_transaction_read_only; COMMIT`);
});

test('postgres: doctor notes a search path in which other roles may replace functions', async (t) => {
  const url = await freshDatabase(t);
  t.is((await run('migrate', '--database-url', url)).code, 0);
  await administer(url, 'GRANT CREATE ON SCHEMA public TO PUBLIC');
  const { found } = await examine(url);
  t.true(
    found.notes?.includes('every role may create objects in the schema public, which is in the search path'),
  );
  t.deepEqual(found.advice, ['REVOKE CREATE ON SCHEMA "public" FROM PUBLIC']);
  const replacing = await examine(`${url}?options=-c%20search_path%3Dpublic,pg_catalog`);
  t.regex(replacing.text, /the schema public is before pg_catalog in the search path/);
  t.notRegex(JSON.stringify(found), /before pg_catalog/);
});

test('postgres: doctor reports a standby, and a primary without its synchronous standby', async (t) => {
  const cluster = await startCluster(['wal_level=replica', 'max_wal_senders=5', 'synchronous_commit=local']);
  t.teardown(cluster.stop);
  t.is((await run('migrate', '--database-url', cluster.url)).code, 0);
  const standby = await cluster.startStandby('standby');
  t.teardown(standby.stop);
  const onStandby = await examine(standby.url);
  t.is(onStandby.code, 1);
  t.true(
    onStandby.found.problems?.includes(
      'the server is a standby, and calls need a server that accepts writes',
    ),
  );
  await standby.stop();
  await administer(cluster.url, "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await administer(cluster.url, 'SELECT pg_reload_conf()');
  t.deepEqual((await examine(cluster.url)).found.problems, [
    'no synchronous standby is connected: commits wait for one',
  ]);
});

test('postgres: doctor works through PgBouncer, and names the option that it needs there', async (t) => {
  if (!pgbouncer) {
    t.log('did not run: this machine has no PgBouncer');
    return t.pass();
  }
  const url = await freshDatabase(t);
  const pooler = await startPgBouncer(url);
  t.teardown(pooler.stop);
  const refused = await run('migrate', '--database-url', pooler.url);
  t.is(refused.code, 1);
  t.regex(refused.err, /pooler.*; add --pooler$/m);
  t.is((await run('migrate', '--database-url', pooler.url, '--pooler')).code, 0);
  const { code, found } = await examine(pooler.url, '--pooler');
  t.is(code, 0);
  t.true(found.facts?.includes('pooler: detected'));
  t.false((await examine(url)).found.facts?.includes('pooler: detected'));
});

test('sqlite: doctor reports the mode of the file, and a damaged file', async (t) => {
  const { url } = await freshData(t, 'sqlite');
  const path = url.slice('sqlite:'.length);
  t.is((await run('migrate', '--database-url', url)).code, 0);
  const sound = await examine(url);
  t.deepEqual([sound.code, sound.found.notes], [0, []]);
  t.true(sound.found.facts?.includes('journal mode: wal'));
  chmodSync(path, 0o644);
  const open = await examine(url);
  t.deepEqual([open.code, open.found.advice], [0, [`chmod 600 ${path}`]]);
  const file = openSync(path, 'r+');
  const zeros = Buffer.alloc(64, 255);
  // The header of each page behind the first one is overwritten.
  for (let at = 4096; at < statSync(path).size; at += 4096) writeSync(file, zeros, 0, zeros.length, at);
  closeSync(file);
  const damaged = await examine(url);
  t.is(damaged.code, 1);
  t.regex(damaged.text, /the file (is damaged|cannot be read)/);
});
