import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { output, snippets } from './snippets.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const README = 'interceptors/README.md';
const [proto = ''] = snippets(README, 'proto');
const [server = '', client = ''] = snippets(README, 'js');

/** A folder with the files that the README names, on a free port. It is deleted after the test. */
async function project(t: ExecutionContext): Promise<string> {
  // The folder is inside the repository, so the programs can import the packages that are installed there.
  const folder = await mkdtemp(join(root, 'dist/readme-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const port = await freePort();
  const atPort = (code: string) => code.replace('127.0.0.1:50051', `127.0.0.1:${port}`);
  await writeFile(join(folder, 'payments.proto'), proto);
  await writeFile(join(folder, 'server.mjs'), atPort(server));
  await writeFile(join(folder, 'client.mjs'), atPort(client));
  return folder;
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  listener.close();
  await once(listener, 'close');
  if (address === null || typeof address === 'string') throw new Error('the listener has no port');
  return address.port;
}

/** Starts the server of the README. Resolves when the server has printed the port that it listens on. */
async function startServer(t: ExecutionContext, folder: string): Promise<ChildProcess> {
  const started = spawn(process.execPath, ['server.mjs'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => started.kill('SIGKILL'));
  let failure = '';
  started.stderr.on('data', (chunk) => {
    failure += chunk;
  });
  const exited = once(started, 'exit').then(() => {
    throw new Error(`the server has exited: ${failure}`);
  });
  exited.catch(() => {});
  const [printed] = await Promise.race([once(started.stdout, 'data'), exited]);
  t.regex(String(printed), /^null \d+\n$/);
  return started;
}

test('the programs of the package README replay a payment, also after a restart of the server', async (t) => {
  t.timeout(60_000);
  const folder = await project(t);
  const pay = () => output(process.execPath, ['client.mjs'], { cwd: folder });

  const first = await startServer(t, folder);
  const reply = await pay();
  t.regex(reply, /^null \{ id: '[0-9a-f-]{36}' \}\n$/);
  t.is(await pay(), reply);

  first.kill('SIGKILL');
  await once(first, 'exit');
  await startServer(t, folder);
  t.is(await pay(), reply);

  const { database, close } = await openSqlite({ path: join(folder, 'payments.db') });
  t.teardown(close);
  t.deepEqual(await database.query('SELECT account, amount FROM payments'), [{ account: 'ada', amount: 5n }]);
});

test('the server of the package README has 12 lines and the client has 6', (t) => {
  const lines = (code: string) => code.split('\n').filter((line) => line !== '').length;
  t.deepEqual([lines(server), lines(client)], [12, 6]);
});
