import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import {
  DatabaseReadOnlyError,
  DatabaseReplacedError,
  DatabaseUnavailableError,
  LockTimeoutError,
  NoConnectionError,
} from 'grpc-replay-guard/database';
import { Gauge, Registry } from 'prom-client';
import { ConfigError } from '#src/config/config.js';
import { listenOps, type OpsLimits } from '#src/ops/ops.js';
import { Readiness } from '#src/ops/readiness.js';
import { poll } from '../helpers/waiting/poll.js';

type Test = ExecutionContext;

async function serve(t: Test, limits?: OpsLimits) {
  const readiness = new Readiness();
  const registry = new Registry();
  new Gauge({ name: 'answer', help: 'known', registers: [registry] }).set(42);
  const ops = await listenOps({ host: '127.0.0.1', port: 0 }, readiness, registry, limits);
  t.teardown(() => ops.close());
  const page = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${ops.port}${path}`, init);
    return { status: response.status, body: await response.text(), headers: response.headers };
  };
  return { ops, readiness, page };
}

test('the server is alive from the start and ready only after serve', async (t) => {
  const { readiness, page } = await serve(t);
  t.is((await page('/livez')).status, 200);
  t.like(await page('/readyz'), { status: 503, body: 'starting\n' });
  readiness.serve(async () => {});
  t.like(await page('/readyz'), { status: 200, body: 'ready\n' });
  readiness.block('stopping');
  t.like(await page('/readyz'), { status: 503, body: 'stopping\n' });
  t.is((await page('/livez')).status, 200);
});

test('the server is not ready while the database fails and becomes ready after it recovers', async (t) => {
  const { readiness, page } = await serve(t);
  let up = false;
  readiness.serve(async () => {
    if (!up) throw new Error('ECONNREFUSED at a secret place');
  });
  t.like(await page('/readyz'), { status: 503, body: 'the database is unavailable\n' });
  up = true;
  t.is((await page('/readyz')).status, 200);
});

const reasons: readonly [error: Error, body: string][] = [
  [new DatabaseReadOnlyError('at a secret place'), 'the database is read-only'],
  [new DatabaseReplacedError('at a secret place'), 'the file of the database was deleted or replaced'],
  [new LockTimeoutError('at a secret place'), 'the database is locked'],
  [
    new DatabaseUnavailableError('at a secret place', {
      cause: Object.assign(new Error('secret'), { code: 'SQLITE_FULL' }),
    }),
    'the database is unavailable (SQLITE_FULL)',
  ],
];
for (const [error, body] of reasons) {
  test(`${body}: the page names the reason without the text of the error`, async (t) => {
    const { readiness, page } = await serve(t);
    readiness.serve(() => Promise.reject(error));
    t.like(await page('/readyz'), { status: 503, body: `${body}\n` });
  });
}

test('a pool whose connections are all in use does not make the server unready', async (t) => {
  const { readiness, page } = await serve(t);
  readiness.serve(() => Promise.reject(new NoConnectionError('on purpose')));
  t.like(await page('/readyz'), { status: 200, body: 'ready\n' });
});

test('each change is reported once, without a request, and the state ready is valid for a second', async (t) => {
  const readiness = new Readiness();
  const changes: unknown[] = [];
  const error = new DatabaseReadOnlyError('on purpose');
  let pings = 0;
  let fails = true;
  readiness.serve(
    async () => {
      pings++;
      if (fails) throw error;
    },
    (...change) => changes.push(change),
  );
  t.teardown(() => readiness.block('stopping'));
  await poll('the first change', () => changes.length === 1);
  fails = false;
  await poll('the second change', () => changes.length === 2);
  t.deepEqual(changes, [
    ['the database is read-only', error],
    [undefined, undefined],
  ]);
  const before = pings;
  for (const _ of [1, 2, 3]) t.is(await readiness.obstacle(), undefined);
  t.is(pings, before);
});

test('concurrent checks of a hanging database share one ping and report not ready within a bounded time', async (t) => {
  const { readiness, page } = await serve(t);
  let pings = 0;
  let hangs = true;
  readiness.serve(async () => {
    pings++;
    if (hangs) await new Promise(() => {});
  });
  const asked = page('/readyz');
  const checks = [readiness.obstacle(), readiness.obstacle(), readiness.obstacle()];
  for (const check of checks) t.is(await check, 'the database does not answer');
  t.is(pings, 1);
  t.like(await asked, { status: 503, body: 'the database does not answer\n' });
  hangs = false;
  t.is((await page('/readyz')).status, 200);
});

test('an added page is generated at each request', async (t) => {
  const { ops, page } = await serve(t);
  t.is((await page('/requests')).status, 404);
  let requests = 0;
  ops.show('/requests', () => ({ requests: ++requests }));
  await page('/requests');
  const { status, body, headers } = await page('/requests');
  t.is(status, 200);
  t.is(headers.get('content-type'), 'application/json');
  t.deepEqual(JSON.parse(body), { requests: 2 });
});

test('the result of a POST action is JSON, and a request from a web page is refused', async (t) => {
  const { ops, page } = await serve(t);
  const done: string[] = [];
  ops.act('/do', async ({ what }) => {
    if (what === 'fail') throw new Error('of a secret kind');
    if (what) done.push(what);
    return what ? { done: what } : undefined;
  });
  const post = (path: string, headers: Record<string, string> = {}) =>
    page(path, { method: 'POST', headers });
  const { status, body, headers } = await post('/do?what=a%20b&more=1');
  t.deepEqual([status, JSON.parse(body)], [200, { done: 'a b' }]);
  t.is(headers.get('content-type'), 'application/json');
  t.like(await post('/do'), { status: 400 });
  t.like(await post('/do?what=fail'), { status: 503, body: 'cannot be answered for now\n' });
  t.like(await post('/do?what=c', { origin: 'http://evil.example' }), { status: 403 });
  t.like(await post('/do?what=c', { origin: 'null' }), { status: 403 });
  t.like(await page('/do?what=c'), { status: 405 });
  t.like(await post('/other?what=c'), { status: 404 });
  t.deepEqual(done, ['a b']);
});

test('a page that fails is answered with 503 and no part of the page', async (t) => {
  const { ops, page } = await serve(t);
  ops.show('/broken', async () => Promise.reject(new Error('of a secret kind')));
  t.like(await page('/broken'), { status: 503, body: 'cannot be answered for now\n' });
});

test('/metrics shows the metrics of the registry', async (t) => {
  const { page } = await serve(t);
  const { status, body, headers } = await page('/metrics?x=1');
  t.is(status, 200);
  t.regex(headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  t.regex(body, /^answer 42$/m);
});

test('requests for /metrics that arrive together share one rendering', async (t) => {
  const registry = new Registry();
  let renderings = 0;
  const collect = () => void renderings++;
  new Gauge({ name: 'answer', help: 'known', registers: [registry], collect });
  const ops = await listenOps({ host: '127.0.0.1', port: 0 }, new Readiness(), registry);
  t.teardown(() => ops.close());
  const request = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n';
  const last = `${request}Connection: close\r\n\r\n`;
  const answers = await received(send(t, ops.port, `${request}\r\n`.repeat(999) + last));
  t.is(answers.split('answer 0\n').length - 1, 1_000);
  t.true(renderings < 100, `${renderings} renderings`);
  // A later request gets the present values.
  const before = renderings;
  await received(send(t, ops.port, last));
  t.is(renderings, before + 1);
});

test('HEAD has the status and the headers of GET and no body', async (t) => {
  const { ops, readiness, page } = await serve(t);
  ops.show('/page', () => ({ content: 'of the page' }));
  for (const path of ['/', '/livez', '/readyz', '/metrics', '/page', '/nowhere']) {
    const [got, head] = [await page(path), await page(path, { method: 'HEAD' })];
    t.is(head.status, got.status, path);
    t.is(head.body, '', path);
    for (const name of ['content-type', 'content-length', 'cache-control'])
      t.is(head.headers.get(name), got.headers.get(name), path);
  }
  t.is((await page('/readyz', { method: 'HEAD' })).status, 503);
  readiness.serve(async () => {});
  t.is((await page('/readyz', { method: 'HEAD' })).status, 200);
});

test('a method that a path does not allow is answered with 405 and the allowed methods', async (t) => {
  const { ops, page } = await serve(t);
  ops.act('/do', async () => t.fail('the action must not run'));
  ops.receive('/hook', async () => ({ status: 200, line: 'received' }));
  const allowed = async (path: string, method: string) => {
    const { status, headers } = await page(path, { method });
    return [status, headers.get('allow')];
  };
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    for (const path of ['/', '/livez', '/readyz', '/metrics'])
      t.deepEqual(await allowed(path, method), [405, 'GET, HEAD'], `${method} ${path}`);
  }
  for (const method of ['GET', 'HEAD', 'PUT']) {
    for (const path of ['/do', '/hook']) t.deepEqual(await allowed(path, method), [405, 'POST'], path);
  }
});

/** Times short enough for a test. */
const SHORT: OpsLimits = { requestMs: 200, idleMs: 200, stalledMs: 400, checkMs: 50, maxConnections: 100 };

/** Opens a connection, sends the text, and returns the socket. */
function send(t: Test, port: number, text: string): Socket {
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.on('error', () => {}).write(text);
  return socket;
}

/** Resolves to everything that the server sent, when the server has closed the connection. */
async function received(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  await once(socket, 'close');
  return text;
}

for (const [what, text] of [
  ['no byte', ''],
  ['a part of the request line', 'GET /li'],
  ['a part of the headers', 'GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Part: '],
  ['a part of the body', 'POST /hook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\npart'],
] as const) {
  test(`a connection that sends ${what} is closed after the time of a request`, async (t) => {
    const { ops } = await serve(t, SHORT);
    ops.receive('/hook', () => new Promise(() => {}));
    t.regex(await received(send(t, ops.port, text)), /^(HTTP\/1\.1 408 .*)?$/s);
  });
}

test('a connection is closed after a response when the next request does not come', async (t) => {
  const { ops } = await serve(t, SHORT);
  const answers = await received(send(t, ops.port, 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'));
  t.regex(answers, /^HTTP\/1\.1 200 .*alive\n$/s);
});

test('a connection whose client does not read the response is closed', async (t) => {
  const { ops } = await serve(t, { ...SHORT, maxConnections: 1 });
  ops.show('/long', () => 'x'.repeat(32 * 1024 * 1024));
  const stalled = send(t, ops.port, 'GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n').pause();
  await once(stalled, 'connect');
  const alive = async () => {
    const answers = await received(send(t, ops.port, 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'));
    return answers.startsWith('HTTP/1.1 200');
  };
  t.false(await alive(), 'the listener has one connection');
  await poll('the connection is closed', alive);
});

test('/ lists the paths of the listener and the methods that they allow', async (t) => {
  const { ops, page } = await serve(t);
  ops.show('/outbox', () => ({}));
  ops.act('/outbox/requeue', async () => ({}));
  const { status, body, headers } = await page('/');
  t.is(status, 200);
  t.is(headers.get('content-type'), 'text/plain; charset=utf-8');
  t.deepEqual(body.split('\n'), [
    '/  GET, HEAD',
    '/livez  GET, HEAD',
    '/metrics  GET, HEAD',
    '/outbox  GET, HEAD',
    '/outbox/requeue  POST',
    '/readyz  GET, HEAD',
    '',
  ]);
});

test('the metric shop_ready follows the readiness of the server', async (t) => {
  const { readiness, page } = await serve(t);
  const value = async () => /^shop_ready (\d)$/m.exec((await page('/metrics')).body)?.[1];
  t.is(await value(), '0', 'starting');
  let fails = false;
  readiness.serve(async () => {
    if (fails) throw new DatabaseUnavailableError('on purpose');
  });
  await poll('ready', async () => (await value()) === '1');
  fails = true;
  await poll('not ready', async () => (await page('/readyz')).status === 503);
  t.is(await value(), '0', 'the database fails');
  fails = false;
  await poll('ready again', async () => (await value()) === '1');
  readiness.block('stopping');
  t.is(await value(), '0', 'stopping');
});

test('responses are not cached, and unknown paths are not found', async (t) => {
  const { page } = await serve(t);
  t.is((await page('/readyz')).headers.get('cache-control'), 'no-store');
  for (const path of ['/metrics/', '/livezz', '/__proto__', '/constructor', '//']) {
    t.is((await page(path)).status, 404, path);
  }
});

test('an idle keep-alive connection does not delay the close', async (t) => {
  const { ops } = await serve(t);
  const agent = new Agent({ keepAlive: true });
  await new Promise((resolve) => {
    get({ port: ops.port, path: '/livez', agent }, (response) => response.resume().on('end', resolve));
  });
  await ops.close();
  agent.destroy();
  t.pass();
});

test('a bind failure is a ConfigError that names OPS_ADDRESS', async (t) => {
  const { ops } = await serve(t);
  const second = listenOps({ host: '127.0.0.1', port: ops.port }, new Readiness(), new Registry());
  t.regex((await t.throwsAsync(second, { instanceOf: ConfigError })).message, /^OPS_ADDRESS: .*EADDRINUSE/);
});
