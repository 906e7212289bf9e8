import test from 'ava';
import { componentsOf, partNames } from '#library/cli/components.js';
import { migrate } from '#library/database/migrate.js';
import { openPostgresEngine } from '#library/database/postgres/open.js';
import { openSqliteReading } from '#library/database/sqlite/open.js';
import { administer } from '../helpers/databases/administer.js';
import { freshData, freshFolder } from '../helpers/databases/engines.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { freshRole, run } from './program.js';
import { schemaOf } from './schema-of.js';

/** States of a schema: the number of steps of the guard, the outbox and the consumer, and whether digests are stored. */
const states: readonly (readonly [name: string, steps: readonly number[], hasDigests: boolean])[] = [
  ['no table', [0, 0, 0], false],
  ['the tables of version 0.2', [6, 7, 2], false],
  ['steps in the middle', [9, 1, 1], true],
  ['all steps without digests', [17, 8, 2], false],
];

/** Applies the first steps of each component in a schema. */
async function applyFirst(url: string, schema: string, counts: readonly number[], hasDigests: boolean) {
  const { engine, close } = openPostgresEngine({ connectionString: url, schema });
  try {
    for (const [at, { name, steps }] of (await componentsOf('postgres', partNames)).entries()) {
      const count = counts[at] ?? 0;
      if (count > 0) await migrate(engine, name, steps.slice(0, count));
    }
  } finally {
    await close();
  }
  const versions = `"${schema}".replay_guard_schema`;
  if (!hasDigests) await administer(url, `ALTER TABLE IF EXISTS ${versions} DROP COLUMN digests`);
}

test('the SQL of `plans`, run by hand, makes the same schema as `migrate`, from every earlier state', async (t) => {
  const url = await freshDatabase(t);
  for (const [at, [name, counts, hasDigests]] of states.entries()) {
    const [planned, migrated] = [`planned ${at}%`, `migrated ${at}`];
    for (const schema of [planned, migrated]) await applyFirst(url, schema, counts, hasDigests);
    const script = await run('plans', '--database-url', url, '--schema', planned, '--role', 'postgres');
    t.is(script.code, 0, script.err);
    await administer(url, script.out);
    t.is((await run('migrate', '--database-url', url, '--schema', migrated)).code, 0);
    t.deepEqual(await schemaOf(url, planned), await schemaOf(url, migrated), name);
    const again = await run('plans', '--database-url', url, '--schema', planned);
    t.notRegex(again.out, /BEGIN|INSERT INTO/, 'nothing is left to do');
  }
});

test('a plan without a database creates the schema, and fits names with capitals, spaces and quotes', async (t) => {
  const url = await freshDatabase(t);
  const { role } = await freshRole(t, url, 'Our "role" ');
  for (const schema of ['Guard of $1 é%', 'a.b', 'select']) {
    const script = await run('plans', '--engine', 'postgres', '--schema', schema, '--role', role);
    await administer(url, script.out);
    const found = await run('doctor', '--database-url', url, '--schema', schema, '--role', role);
    t.is(found.code, 0, found.out + found.err);
  }
});

test('a plan names the schema in which the search path finds the tables', async (t) => {
  const url = await freshDatabase(t);
  await administer(url, 'CREATE SCHEMA shop');
  const inShop = `${url}?options=-c%20search_path%3Dshop,public`;
  const first = await run('plans', '--database-url', inShop);
  t.regex(first.out, /CREATE TABLE IF NOT EXISTS "shop"\.replay_guard_schema/);
  t.notRegex(first.out, /CREATE SCHEMA/, 'a role may own the schema without the right to create another one');
  t.regex(first.out, /^-- GRANT USAGE ON SCHEMA "shop" TO "runtime";$/m, 'a role `runtime` may not exist');
  await administer(inShop, first.out);
  t.is((await run('doctor', '--database-url', inShop)).code, 0);
});

test('a plan is refused if an applied step has changed', async (t) => {
  const url = await freshDatabase(t);
  await applyFirst(url, 'public', [9, 0, 0], true);
  await administer(url, "UPDATE replay_guard_schema SET digests = replace(digests, ',', '0,')");
  for (const command of ['plans', 'migrate']) {
    const refused = await run(command, '--database-url', url);
    t.is(refused.code, 1);
    t.regex(refused.err, /^grpc-replay-guard: step 1 has changed/);
  }
  t.regex((await run('doctor', '--database-url', url)).out, /PROBLEM: grpc-replay-guard: step 1 differs/);
});

test('sqlite: a plan and a diagnosis do not change the file, and the plan makes the tables of `migrate`', async (t) => {
  const { default: Sqlite } = await import('better-sqlite3');
  const folder = await freshFolder(t);
  const path = `${folder}/planned.db`;
  const handle = new Sqlite(path);
  handle.exec('CREATE TABLE notes (id INTEGER)');
  const { code, out } = await run('plans', '--database-url', `sqlite:${path}`, '--fence');
  t.is(code, 0);
  t.is((await run('doctor', '--database-url', `sqlite:${path}`)).code, 1);
  t.is(handle.pragma('journal_mode', { simple: true }), 'delete');
  t.deepEqual(handle.prepare("SELECT name FROM sqlite_master WHERE name LIKE 'replay%'").all(), []);
  handle.exec(out);
  handle.close();
  const data = await freshData(t, 'sqlite');
  t.is((await run('migrate', '--database-url', data.url, '--fence')).code, 0);
  const objects = (file: string) => {
    const reading = openSqliteReading(file);
    const text = `SELECT type, name, trim(sql) AS sql FROM sqlite_master
      WHERE name LIKE 'replay_guard_%' AND tbl_name <> 'replay_guard_clock' ORDER BY name`;
    const rows = reading.run({ text, params: [] });
    const versions = reading.run({
      text: 'SELECT * FROM replay_guard_schema ORDER BY component',
      params: [],
    });
    reading.close();
    return { rows, versions };
  };
  // A server adds its clock when it opens the file.
  t.deepEqual(objects(path), objects(data.url.slice('sqlite:'.length)));
});
