import { execFile } from 'node:child_process';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import Sqlite from 'better-sqlite3';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { driverProblem } from '#library/database/sqlite/open.js';
import { freshFolder } from '../../helpers/databases/engines.js';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import { linkPackages } from '../../helpers/packages/link-packages.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const run = promisify(execFile);

const problem = (node: string, supported?: string) =>
  driverProblem({ version: '13.2.0', ...(supported && { engines: { node: supported } }) }, node);

test('a better-sqlite3 that needs a newer Node is refused by a message that names both versions', (t) => {
  t.is(
    problem('20.20.2', '>=22'),
    'better-sqlite3 13.2.0 needs Node 22 or newer, and this is Node 20.20.2; install better-sqlite3@12, or use a newer Node',
  );
  for (const supported of ['>=20.20.3', '>= 20.21', '>=100'])
    t.truthy(problem('20.20.2', supported), supported);
});

test('a better-sqlite3 that supports this Node, or that lists versions of Node, is not refused', (t) => {
  for (const supported of ['>=20', '>=20.20.2', '>=9.9', '20.x || 22.x', '22.x', '>=22 || 20', '', undefined])
    t.is(problem('20.20.2', supported), undefined, supported);
});

/** A copy of the library beside a better-sqlite3 of the given lines. Returns the folder of the project. */
async function projectWith(t: Cleanup, manifest: object, driver: string): Promise<string> {
  const folder = await freshFolder(t);
  const packages = join(folder, 'node_modules');
  for (const name of ['.bin', 'grpc-replay-guard', 'better-sqlite3/lib'])
    await mkdir(join(packages, name), { recursive: true });
  for (const part of ['dist', 'package.json']) {
    const target = join(packages, 'grpc-replay-guard', part);
    await cp(join(root, 'interceptors', part), target, { recursive: true });
  }
  await writeFile(join(packages, 'better-sqlite3/package.json'), JSON.stringify(manifest));
  await writeFile(join(packages, 'better-sqlite3/lib/index.js'), driver);
  await linkPackages(packages);
  return folder;
}

test('openSqlite refuses the driver before the driver ends the process, and creates no file', async (t) => {
  const manifest = {
    name: 'better-sqlite3',
    version: '99.1.0',
    main: 'lib/index.js',
    engines: { node: '>=99' },
  };
  const driver = 'module.exports = class { constructor() { process.abort(); } };';
  const folder = await projectWith(t, manifest, driver);
  const script = `
    import { existsSync } from 'node:fs';
    import { openSqlite } from 'grpc-replay-guard/sqlite';
    const refusal = await openSqlite({ path: 'data/guard.db' }).catch((error) => error.message);
    console.log(refusal, existsSync('data'));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: folder });
  t.regex(
    stdout,
    /^better-sqlite3 99\.1\.0 needs Node 99 or newer, and this is Node \d+\.\d+\.\d+; .* false\n$/,
  );
});

test('a database that the application has opened needs no check of its driver', async (t) => {
  const database = new Sqlite(join(await freshFolder(t), 'guard.db'));
  const opened = await openSqlite({ database });
  await opened.close();
  t.true(database.open);
  database.close();
});
