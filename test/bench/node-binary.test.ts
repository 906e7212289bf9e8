import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import test from 'ava';
import { installNode, nodeAt } from '../../bench/servers/node-binary.js';

test('the binary of this process can run the servers', (t) => {
  const { version, noSqlite } = nodeAt(process.execPath);
  t.is(version, process.version);
  t.is(noSqlite, undefined);
});

test('a binary that does not run is refused', (t) => {
  t.throws(() => nodeAt('/nowhere/node'), { message: /^\/nowhere\/node does not run/ });
});

test('an installation that takes too long is given up, and its folder is deleted', async (t) => {
  const folders = async () =>
    (await readdir(tmpdir())).filter((name) => name.startsWith('replay-guard-node-'));
  const before = await folders();
  await t.throwsAsync(installNode('24', 1), { message: 'npm install did not end within 0.001 s' });
  const after = await folders();
  t.deepEqual(
    after.filter((name) => !before.includes(name)),
    [],
  );
});
