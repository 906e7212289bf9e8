import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { Metadata, type sendUnaryData, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { statusDetails } from 'grpc-replay-guard/protocol';
import { freshFolder } from '../helpers/databases/engines.js';
import { type ProxyAction, startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../helpers/servers/ledger.js';
import { startServer } from '../helpers/servers/server.js';
import { goMain, goPb, goUse, pythonMain } from './foreign-programs.js';
import { output, snippets, succeeds } from './snippets.js';

const [python = ''] = snippets('docs/guide/clients.md', 'python');
const [go = '', goCall = ''] = snippets('docs/guide/clients.md', 'go');

/** The expected output of each program: an account of Append and the outcome that the program reports. */
const expected = [
  'lossy done',
  // Both calls use the key of `lossy` with another request: `retry` as a retry, `other` as a new operation.
  'retry unknown',
  'other refused',
  'broke refused',
  'login refused',
  'doubt unknown',
  'strict unknown',
  // The first-sent time is years ago.
  'late refused',
  'late unknown',
  // A refusal, the reason of another refusal with the same code, and the words of a refusal in other details.
  'quota refused',
  'mixed unknown',
  'text unknown',
];

/**
 * The action on each reply. The proxy loses the first seven replies of `lossy` and the first reply of `broke`. All
 * other replies pass.
 */
const replyActions: readonly ProxyAction[] = [
  'cut',
  'reset',
  'cut',
  'reset',
  'cut',
  'reset',
  'cut',
  'pass',
  'pass',
  'pass',
  'cut',
];

/** Starts a guarded ledger behind a faulty proxy, for a program that makes the calls of `expected`. */
async function faultyLedger(t: ExecutionContext) {
  const losses = [...replyActions];
  const attempted = new Set<string>();
  const retryCodes: Record<string, status> = {
    doubt: status.UNAUTHENTICATED,
    strict: status.INVALID_ARGUMENT,
  };
  const ledger = await openLedger(t, 'sqlite', {
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await writeEffect(database, account);
        if (account === 'broke') callback({ code: status.FAILED_PRECONDITION });
        else if (account === 'login') callback({ code: status.UNAUTHENTICATED });
        else if (retryCodes[account]) {
          callback({ code: attempted.has(account) ? retryCodes[account] : status.UNAVAILABLE });
          attempted.add(account);
        } else callback(null, { entryId: account });
      }),
  });
  const proxy = await startGrpcProxy(t, ledger.server.address, { reply: () => losses.shift() ?? 'pass' });
  const assertDone = async (printed: string) => {
    t.deepEqual(
      printed.split('\n').filter((line) => / (done|refused|unknown)$/.test(line)),
      expected,
    );
    t.deepEqual(await ledger.effects(), ['lossy']);
    const keys = proxy.calls.map(({ headers }) => headers['idempotency-key']);
    const times = proxy.calls.map(({ headers }) => headers['idempotency-first-sent']);
    t.deepEqual([keys.length, new Set(keys).size], [19, 6]);
    t.false(times.some((time) => Number.isNaN(Date.parse(String(time)))));
  };
  return { addresses: [proxy.address, await copyingHop(t)], assertDone };
}

/** Starts a server without a guard. It ends each call as RESOURCE_EXHAUSTED, with the details that the account names. */
async function copyingHop(t: ExecutionContext): Promise<string> {
  const of = (reason: string, domain = 'grpc-replay-guard', metadata: Record<string, string> = {}) =>
    statusDetails(status.RESOURCE_EXHAUSTED, 'refused', [{ errorInfo: { reason, domain, metadata } }]);
  const details: Record<string, Buffer> = {
    quota: of('IDEMPOTENCY_QUOTA_EXCEEDED'),
    mixed: of('IDEMPOTENCY_KEY_EXPIRED'),
    text: of('BUSY', 'shop', { cause: 'grpc-replay-guard: IDEMPOTENCY_QUOTA_EXCEEDED' }),
  };
  const handler = ({ request }: { request: { account: string } }, callback: sendUnaryData<object>) => {
    const metadata = new Metadata();
    metadata.set('grpc-status-details-bin', details[request.account] as Buffer);
    callback({ code: status.RESOURCE_EXHAUSTED, details: 'refused', metadata });
  };
  const { Append } = loadLedger();
  const { address } = await startServer(t, { services: [[{ Append }, { Append: handler as never }]] });
  return address;
}

/** The environment of the programs. It excludes HTTP proxies between client and server. */
const env = { ...process.env, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1' };

test.serial('the Python snippet commits one effect over a faulty connection', async (t) => {
  t.timeout(180_000);
  const folder = await freshFolder(t);
  await writeFile(join(folder, 'retrying.py'), python);
  await writeFile(join(folder, 'main.py'), pythonMain);
  for (const name of ['python3', '/usr/bin/python3']) {
    if (!(await succeeds(name, ['-c', 'import grpc']))) continue;
    const { addresses, assertDone } = await faultyLedger(t);
    return assertDone(await output(name, ['main.py', ...addresses], { cwd: folder, env }));
  }
  t.regex(python, /idempotency-key/);
  if (!(await succeeds('python3', ['--version'])))
    return t.log('python3 is not installed: the snippet was not run');
  await output('python3', ['-m', 'py_compile', 'retrying.py'], { cwd: folder });
  t.log('grpcio is not installed: the snippet was compiled and not run');
});

test.serial('the Go snippet commits one effect over a faulty connection', async (t) => {
  t.timeout(600_000);
  const folder = await freshFolder(t);
  const shop = join(folder, 'src/example.com/shop');
  const files = {
    'orders/orders.go': go,
    'pb/pb.go': goPb,
    'use/use.go': goUse(goCall),
    'main/main.go': goMain,
  };
  for (const [name, code] of Object.entries(files)) {
    await mkdir(join(shop, dirname(name)), { recursive: true });
    await writeFile(join(shop, name), code);
  }
  // GOPATH mode finds packages of the system, such as golang-google-grpc-dev of Debian.
  const path = [folder, process.env.GOPATH ?? '/usr/share/gocode'].join(delimiter);
  const options = { cwd: shop, env: { ...env, GO111MODULE: 'off', GOPATH: path } };
  if (await succeeds('go', ['list', 'google.golang.org/grpc', 'github.com/google/uuid'], options)) {
    await output('go', ['vet', './...'], options);
    const { addresses, assertDone } = await faultyLedger(t);
    return assertDone(await output('go', ['run', './main', ...addresses], options));
  }
  t.regex(go, /idempotency-key/);
  if (!(await succeeds('gofmt', ['-l', 'pb'], options)))
    return t.log('Go is not installed: the snippet was not compiled');
  t.is(await output('gofmt', ['-l', 'orders'], options), '');
  t.log('grpc for Go is not installed: the snippet was parsed and not compiled');
});
