import { Agent, get } from 'node:http';
import test, { type ExecutionContext } from 'ava';
import { Gauge, Registry } from 'prom-client';
import { ConfigError } from '#src/config/config.js';
import { listenOps } from '#src/ops/ops.js';
import { Readiness } from '#src/ops/readiness.js';

type Test = ExecutionContext;

async function serve(t: Test) {
  const readiness = new Readiness();
  const registry = new Registry();
  new Gauge({ name: 'answer', help: 'known', registers: [registry] }).set(42);
  const ops = await listenOps({ host: '127.0.0.1', port: 0 }, readiness, registry);
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

test('concurrent checks of a hanging database share one ping and report not ready within a bounded time', async (t) => {
  const { readiness, page } = await serve(t);
  let pings = 0;
  let hangs = true;
  readiness.serve(async () => {
    pings++;
    if (hangs) await new Promise(() => {});
  });
  const checks = await Promise.all([page('/readyz'), page('/readyz'), page('/readyz')]);
  for (const check of checks) t.like(check, { status: 503, body: 'the database does not answer\n' });
  t.is(pings, 1);
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
  t.like(await page('/do?what=c'), { status: 404 });
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

test('responses are not cached, and unknown paths and methods are not found', async (t) => {
  const { page } = await serve(t);
  t.is((await page('/readyz')).headers.get('cache-control'), 'no-store');
  for (const path of ['/', '/metrics/', '/livezz', '/__proto__', '/constructor', '//']) {
    t.is((await page(path)).status, 404, path);
  }
  t.is((await page('/livez', { method: 'POST', body: 'x' })).status, 404);
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
