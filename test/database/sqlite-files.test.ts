import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import Sqlite from 'better-sqlite3';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { freshFolder } from '../helpers/databases/engines.js';

const script = `
  import { statSync } from 'node:fs';
  import { openSqlite } from 'grpc-replay-guard/sqlite';
  const [path, ...files] = process.argv.slice(1);
  const opened = await openSqlite({ path });
  await opened.database.query('CREATE TABLE notes (id INTEGER)');
  console.log(files.map((file) => (statSync(file).mode & 0o777).toString(8)).join(' '));
  await opened.close();`;

/**
 * Opens a database in a process without a umask, and commits once so that the log exists. Returns the modes of `files`.
 * A worker thread, such as that of a test, cannot change the umask.
 */
function modesOf(path: string, ...files: string[]): string {
  const command = 'umask 000; exec "$0" --input-type=module -e "$@"';
  const args = ['-c', command, process.execPath, script, path, ...files];
  return execFileSync('sh', args, { encoding: 'utf8' }).trim();
}

test('the files of a new database belong to their owner only, also without a umask', async (t) => {
  const path = join(await freshFolder(t), 'one', 'two', 'test.db');
  const files = [path, `${path}-wal`, `${path}-shm`, dirname(path), dirname(dirname(path))];
  t.is(modesOf(path, ...files), '600 600 600 700 700');
});

test('a link without a target makes a private file at its target', async (t) => {
  const folder = await freshFolder(t);
  symlinkSync(join(folder, 'target.db'), join(folder, 'link.db'));
  t.is(modesOf(join(folder, 'link.db'), join(folder, 'target.db')), '600');
});

test('the modes of an existing file and an existing folder stay, and the log has the same mode', async (t) => {
  const folder = join(await freshFolder(t), 'data');
  mkdirSync(folder, { mode: 0o755 });
  const path = join(folder, 'test.db');
  writeFileSync(path, '', { mode: 0o640 });
  t.is(modesOf(path, path, `${path}-wal`, folder), '640 640 755');
});

test('an existing file keeps the locks of the other connections of the process', async (t) => {
  const path = join(await freshFolder(t), 'test.db');
  const first = new Sqlite(path);
  t.teardown(() => {
    first.close();
  });
  first.exec('CREATE TABLE notes (id INTEGER); BEGIN IMMEDIATE; INSERT INTO notes VALUES (1)');
  await t.throwsAsync(openSqlite({ path, busyTimeoutMs: 20 }), { name: 'LockTimeoutError' });
  t.true(first.inTransaction);
});
