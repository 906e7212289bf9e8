import { type ChildProcess, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import pg from 'pg';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { Connection } from './helpers/calls/call.js';
import { freshFolder } from './helpers/databases/engines.js';
import { freshDatabase } from './helpers/databases/postgres.js';
import { type Pair, selfSigned } from './helpers/identities/certificates.js';
import { poll } from './helpers/waiting/poll.js';

type Test = ExecutionContext;
type Env = Record<string, string>;

const main = fileURLToPath(new URL('../main.js', import.meta.url));
const ANY_PORT = { GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0' };

interface Process {
  readonly child: ChildProcess;
  /** The output so far. */
  readonly out: () => string;
  readonly err: () => string;
  /** Resolves to the exit code when all output has been read. */
  readonly ended: Promise<number | null>;
}

function launch(t: Test, env: Env, cwd: string, user: { readonly uid?: number } = {}): Process {
  const child = spawn(process.execPath, [main], { cwd, env: { ...ANY_PORT, ...env }, ...user });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, out: collect(child.stdout), err: collect(child.stderr), ended };
}

function collect(stream: Readable): () => string {
  let text = '';
  stream.on('data', (chunk) => {
    text += chunk;
  });
  return () => text;
}

interface Line {
  readonly msg: string;
  readonly grpc: { port: number };
  readonly ops: { port: number };
}

const lines = ({ out }: Process): Line[] =>
  out()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

/** Waits for a log line with the message. */
async function logged(process: Process, msg: string): Promise<Line> {
  for (;;) {
    const line = lines(process).find((candidate) => candidate.msg === msg);
    if (line) return line;
    if (process.child.exitCode !== null)
      throw new Error(`the process ended without the line "${msg}": ${process.err()}`);
    await Promise.race([once(process.child.stdout as Readable, 'data'), process.ended]);
  }
}

function connect(t: Test, port: number, creds = credentials.createInsecure()): Connection {
  const connection = new Connection(`localhost:${port}`, creds);
  t.teardown(() => connection.close());
  return connection;
}

test('the server runs on SQLite in the working directory, prints a command that works, and stops at SIGTERM', async (t) => {
  const folder = await freshFolder(t);
  const shop = launch(t, {}, folder);
  const { grpc, ops } = await logged(shop, 'serving');
  t.true(existsSync(join(folder, 'data', 'shop.db')));
  t.is((await fetch(`http://127.0.0.1:${ops.port}/readyz`)).status, 200);

  // The test runs the printed command in a shell.
  while (!shop.err().includes('/PutItem\n')) await once(shop.child.stderr as Readable, 'data');
  const command = shop.err().slice(shop.err().indexOf('npx buf curl'));
  const run = spawn('sh', ['-c', command], { cwd: fileURLToPath(new URL('../..', import.meta.url)) });
  const answer = collect(run.stdout);
  t.deepEqual(await once(run, 'close'), [0, null]);
  t.is(JSON.parse(answer()).item.sku, 'tea');

  const client = connect(t, grpc.port);
  t.is((await client.call(inventoryService.GetItem, { sku: 'tea' })).code, status.OK);
  shop.child.kill('SIGTERM');
  t.is(await shop.ended, 0);
  t.deepEqual(
    lines(shop)
      .map(({ msg }) => msg)
      .slice(-2),
    ['stopping', 'stopped'],
  );
});

test('a wrong setting ends the process with code 1 and one line on stderr', async (t) => {
  const shop = launch(t, { REPLAY_GUARD_TTL: 'forever' }, await freshFolder(t));
  t.is(await shop.ended, 1);
  t.regex(shop.err(), /^REPLAY_GUARD_TTL: must be a duration[^\n]*\n$/);
  t.is(shop.out(), '');
});

test('an unknown setting ends the process with code 1 and one line on stderr', async (t) => {
  const shop = launch(t, { TLS_CERTIFICATE: 'x' }, await freshFolder(t));
  t.is(await shop.ended, 1);
  t.is(shop.err(), 'TLS_CERTIFICATE: unknown setting\n');
});

test('a misspelt setting is named in one warning without its value, and the server starts', async (t) => {
  const misspelt = { REPLAY_GAURD_MODE: 'secret', GRPC_ADDRES: 'secret' };
  const shop = launch(t, misspelt, await freshFolder(t));
  await logged(shop, 'serving');
  const warnings = lines(shop).filter(({ msg }) => msg.includes('is not a setting'));
  t.deepEqual(
    warnings.map(({ msg }) => msg),
    [
      'the variable REPLAY_GAURD_MODE is not a setting; did you mean REPLAY_GUARD_MODE?',
      'the variable GRPC_ADDRES is not a setting; did you mean GRPC_ADDRESS?',
    ],
  );
  t.false(shop.out().includes('secret'));
});

test('a setting that cannot be applied ends the process with code 1 and one line on stderr', async (t) => {
  const folder = await freshFolder(t);
  await writeFile(join(folder, 'file'), '');
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const cases: [Env, RegExp][] = [
    [{ DATABASE_URL: 'sqlite:file/shop.db' }, /^DATABASE_URL: [^\n]+\n$/],
    [{ DATABASE_URL: `sqlite:${main}` }, /^DATABASE_URL: [^\n]*not a database\n$/],
    [{ TLS_CERT: 'none.pem', TLS_KEY: 'none.pem' }, /^TLS_CERT: [^\n]*ENOENT[^\n]*\n$/],
    [{ GRPC_ADDRESS: `127.0.0.1:${port}` }, /^GRPC_ADDRESS: [^\n]*EADDRINUSE[^\n]*\n$/],
    [{ OPS_ADDRESS: `127.0.0.1:${port}` }, /^OPS_ADDRESS: [^\n]*EADDRINUSE[^\n]*\n$/],
  ];
  for (const [env, line] of cases) {
    const shop = launch(t, env, folder);
    t.is(await shop.ended, 1);
    t.regex(shop.err(), line);
  }
});

test('a database file without the right to write stops the start with one line that names the setting and the path', async (t) => {
  const folder = await freshFolder(t);
  const path = join(folder, 'shop.db');
  new Sqlite(path).exec('CREATE TABLE notes (id TEXT)').close();
  // The rights do not bind root.
  const nobody = process.getuid?.() === 0 ? { uid: 65_534 } : {};
  await chmod(path, 0o444);
  await chmod(folder, 0o555);
  t.teardown(() => chmod(folder, 0o755));
  const cases: [Env, RegExp][] = [
    [{ DATABASE_URL: `sqlite:${path}` }, /^DATABASE_URL: the file \S+shop\.db cannot be used: [^\n]+\n$/],
    [
      { DATABASE_URL: `sqlite:${folder}/new.db` },
      /^DATABASE_URL: the file \S+new\.db cannot be used: [^\n]+\n$/,
    ],
    [
      { DATABASE_URL: `sqlite:${folder}/a/new.db` },
      /^DATABASE_URL: the file \S+new\.db cannot be used: [^\n]+\n$/,
    ],
  ];
  for (const [env, line] of cases) {
    const shop = launch(t, env, folder, nobody);
    t.is(await shop.ended, 1);
    t.regex(shop.err(), line);
  }
});

test('SIGINT ends a process that waits for its database', async (t) => {
  const shop = launch(t, { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nowhere' }, await freshFolder(t));
  await logged(shop, 'the database is unavailable');
  shop.child.kill('SIGINT');
  t.is(await shop.ended, 0);
});

test('SIGHUP takes up a renewed certificate and ends neither the process nor a running call', async (t) => {
  const folder = await freshFolder(t);
  const pair = await selfSigned(folder, 'server', 'localhost');
  const tls = { TLS_CERT: pair.certPath, TLS_KEY: pair.keyPath, CALLER_IDENTITY: 'single' };
  const { shop, grpc, placed, lock } = await startBlockedOrder(t, tls, pair);
  const shown = async () => {
    const socket = tlsConnect({ port: grpc.port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  const fingerprint = ({ cert }: Pair) => new X509Certificate(cert).fingerprint256;
  t.is(await shown(), fingerprint(pair));

  await writeFile(pair.certPath, 'broken');
  shop.child.kill('SIGHUP');
  await logged(shop, 'a changed file cannot be used; the previous content stays in use');
  t.is(await shown(), fingerprint(pair));

  const renewed = await selfSigned(folder, 'renewed', 'localhost');
  await writeFile(pair.keyPath, renewed.key);
  await writeFile(pair.certPath, renewed.cert);
  shop.child.kill('SIGHUP');
  await logged(shop, 'a changed file is in use');
  t.is(await shown(), fingerprint(renewed));

  await lock.query('ROLLBACK');
  t.is((await placed).code, status.OK);
  shop.child.kill('SIGTERM');
  shop.child.kill('SIGHUP');
  t.is(await shop.ended, 0);
});

test('SIGHUP does not end a process that waits for its database', async (t) => {
  const shop = launch(t, { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nowhere' }, await freshFolder(t));
  await logged(shop, 'the database is unavailable');
  shop.child.kill('SIGHUP');
  await logged(shop, 'SIGHUP: the files that settings name are checked');
  shop.child.kill('SIGTERM');
  t.is(await shop.ended, 0);
});

test('after SIGTERM a running call completes', async (t) => {
  const { shop, ops, placed, lock } = await startBlockedOrder(t, { SHUTDOWN_GRACE: '60s' });
  shop.child.kill('SIGTERM');
  // npm or a terminal sends a second signal together with the first one.
  shop.child.kill('SIGINT');
  await logged(shop, 'stopping');
  const readyz = await fetch(`http://127.0.0.1:${ops.port}/readyz`);
  t.deepEqual([readyz.status, await readyz.text()], [503, 'stopping\n']);
  await lock.query('ROLLBACK');
  t.is((await placed).code, status.OK);
  t.is(await shop.ended, 0);
});

test('a call that is still running after the grace time is cancelled', async (t) => {
  const { shop, placed } = await startBlockedOrder(t, { SHUTDOWN_GRACE: '0s' });
  shop.child.kill('SIGTERM');
  t.not((await placed).code, status.OK);
  t.is(await shop.ended, 0);
});

test('a second signal ends the process immediately', async (t) => {
  const { shop, placed } = await startBlockedOrder(t, { SHUTDOWN_GRACE: '1h' });
  await poll('the process has ended', () => {
    shop.child.kill('SIGTERM');
    return shop.child.exitCode !== null;
  });
  t.is(await shop.ended, 1);
  t.is((await placed).code, status.UNAVAILABLE);
});

/** Starts a shop with a running order that waits for a lock on the items. */
async function startBlockedOrder(t: Test, env: Env, { cert }: Partial<Pair> = {}) {
  const url = await freshDatabase(t);
  const shop = launch(t, { DATABASE_URL: url, ...env }, await freshFolder(t));
  const { grpc, ops } = await logged(shop, 'serving');
  const client = connect(t, grpc.port, cert && credentials.createSsl(cert));
  const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
  await client.call(inventoryService.PutItem, item);
  await client.call(inventoryService.ReceiveStock, { sku: 'tea', quantity: 10 }, { key: 'delivery' });

  const lock = new pg.Client({ connectionString: url });
  await lock.connect();
  t.teardown(() => lock.end());
  await lock.query('BEGIN');
  await lock.query('LOCK TABLE inventory_items IN ACCESS EXCLUSIVE MODE');
  const placed = client.call(
    orderService.PlaceOrder,
    { customerId: 'ada', lines: [{ sku: 'tea', quantity: 2 }] },
    { key: 'o-1' },
  );
  await poll('the order waits for the item', async () => {
    const waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'inventory_items'::regclass";
    return (await lock.query(waiting)).rowCount === 1;
  });
  return { shop, grpc, ops, placed, lock };
}
