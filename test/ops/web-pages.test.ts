import { once } from 'node:events';
import { connect } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { Registry } from 'prom-client';
import { listenOps } from '#src/ops/ops.js';
import { Readiness } from '#src/ops/readiness.js';

/** Opens a listener with each kind of page. Returns a function that sends the lines of a request as they are. */
async function serve(t: ExecutionContext, names?: readonly string[]) {
  const address = { host: '127.0.0.1', port: 0, ...(names && { names }) };
  const ops = await listenOps(address, new Readiness(), new Registry());
  t.teardown(() => ops.close());
  const done: string[] = [];
  ops.show('/page', () => ({ secret: 'of operators' }));
  ops.act('/do', async () => ({ count: done.push('done') }));
  ops.receive('/hook', async () => ({ status: 401, line: 'not signed' }));
  const send = async (...lines: readonly string[]) => {
    const socket = connect(ops.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.write([...lines, 'connection: close', '', ''].join('\r\n'), 'latin1');
    await once(socket, 'close');
    const [head = '', body = ''] = text.split('\r\n\r\n');
    const [, status] = /^HTTP\/1\.1 (\d+)/.exec(head) ?? [];
    return { status: Number(status), head: head.toLowerCase(), body };
  };
  return {
    ops,
    done,
    send,
    get: (host: string, path = '/page') => send(`GET ${path} HTTP/1.1`, `host: ${host}`),
  };
}

const own = [
  ...['localhost', 'LOCALHOST:9464', 'localhost.', 'localhost.:80', 'localhost:'],
  // An address cannot be the name of a web page. A probe of Kubernetes sends the address of the pod.
  ...[
    '127.0.0.1',
    '127.0.0.1:19464',
    '10.1.2.3:9464',
    '192.0.2.1',
    '[::1]',
    '[::1]:9464',
    '[2001:DB8::7]:9464',
  ],
  ...['[::ffff:127.0.0.1]', '0.0.0.0:9464'],
];
const others = [
  ...['evil.example', 'evil.example:9464', 'EVIL.example.', 'localhost.evil.example', 'evil.localhost', 'a'],
  ...[
    '127.0.0.1.evil.example',
    '127.0.0.1.nip.io',
    '2130706433',
    '0x7f000001',
    '127.1',
    '::1',
    '[::1',
    '[evil]',
  ],
  ...[
    'localhost@evil.example',
    'evil.example@localhost',
    'localhost/evil',
    'localhost evil.example',
    'localhost..',
  ],
  ...[
    'localhost:port',
    'localhost:1:2',
    'localhost,evil.example',
    '',
    'ev\u00efl.example',
    '[::1]evil.example',
  ],
];

test('a request for localhost or for an address is answered, under any port', async (t) => {
  const { get } = await serve(t);
  for (const host of own) t.is((await get(host)).status, 200, host);
});

test('a request for another name is answered with 421 on every page and for every method', async (t) => {
  const { get, send, done } = await serve(t);
  for (const host of others) {
    const { status, body } = await get(host);
    t.is(status, 421, host);
    t.regex(body, /^not a name of this server: .* OPS_HOSTS\n$/, host);
  }
  for (const path of ['/livez', '/readyz', '/metrics', '/page', '/do', '/nowhere', '/', '*']) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS']) {
      const { status } = await send(`${method} ${path} HTTP/1.1`, 'host: evil.example');
      t.is(status, 421, `${method} ${path}`);
    }
  }
  t.deepEqual(done, []);
});

test('a name of the setting is answered, in any letter case and with a final dot', async (t) => {
  const { get } = await serve(t, ['ops.shop.example', 'shop_1']);
  for (const host of ['ops.shop.example', 'OPS.Shop.Example.:9464', 'shop_1:9464', 'localhost', '127.0.0.1'])
    t.is((await get(host)).status, 200, host);
  for (const host of ['shop.example', 'x.ops.shop.example', 'evil.example'])
    t.is((await get(host)).status, 421, host);
});

test('a request for the host name in OPS_ADDRESS is answered', async (t) => {
  const ops = await listenOps({ host: 'localhost', port: 0 }, new Readiness(), new Registry());
  t.teardown(() => ops.close());
  t.is((await fetch(`http://localhost:${ops.port}/livez`)).status, 200);
});

test('several hosts are refused, and an absolute target counts as a second host', async (t) => {
  const { send } = await serve(t);
  const statusOf = async (target: string, ...lines: string[]) =>
    (await send(`GET ${target} HTTP/1.1`, ...lines)).status;
  t.is(await statusOf('/page', 'host: localhost', 'host: localhost'), 400);
  t.is(await statusOf('/page', 'host: localhost', 'Host: evil.example'), 400);
  t.is(await statusOf('/page'), 400);
  t.is(await statusOf('http://localhost:9464/page?x=1', 'host: localhost'), 200);
  t.is(await statusOf('http://evil.example/page', 'host: localhost'), 421);
  t.is(await statusOf('http://localhost/page', 'host: evil.example'), 421);
  t.is(await statusOf('http://localhost@evil.example/page', 'host: localhost'), 421);
  t.is(await statusOf('http://localhost/nowhere', 'host: localhost'), 404);
});

test('headers behind a thousand others are judged', async (t) => {
  const { send } = await serve(t);
  const others = Array.from({ length: 1_200 }, (_, i) => `x${i}:`);
  for (const [line, status] of [
    ['x: y', 200],
    ['host: evil.example', 400],
    ['origin: http://evil.example', 403],
  ] as const)
    t.is((await send('GET /page HTTP/1.1', 'host: localhost', ...others, line)).status, status, line);
});

test('a client of HTTP/1.0 without a host is answered', async (t) => {
  const { send } = await serve(t);
  t.is((await send('GET /page HTTP/1.0')).status, 200);
  t.is((await send('GET /page HTTP/1.0', 'host: evil.example')).status, 421);
});

test('a connection that begins with HTTP/2 is refused', async (t) => {
  const { send } = await serve(t);
  t.is((await send('PRI * HTTP/2.0', '', 'SM')).status, 400);
});

test('a page of another origin reads no page and uses no action', async (t) => {
  const { send, done } = await serve(t);
  const statusOf = async (request: string, ...lines: string[]) =>
    (await send(`${request} HTTP/1.1`, 'host: localhost', ...lines)).status;
  const script = 'sec-fetch-mode: no-cors';
  for (const request of ['GET /page', 'HEAD /metrics', 'POST /do']) {
    t.is(await statusOf(request, 'origin: http://evil.example'), 403, request);
    t.is(await statusOf(request, 'origin: null'), 403, request);
    t.is(await statusOf(request, 'sec-fetch-site: cross-site', script), 403, request);
    t.is(await statusOf(request, 'sec-fetch-site: same-site', script), 403, request);
    const frame = ['sec-fetch-mode: navigate', 'sec-fetch-dest: iframe'];
    t.is(await statusOf(request, 'sec-fetch-site: cross-site', ...frame), 403, request);
  }
  t.is(await statusOf('POST /do', 'sec-fetch-site: same-origin', script), 403);
  t.is(await statusOf('POST /do', 'sec-fetch-site: none', 'sec-fetch-mode: navigate'), 403);
  t.deepEqual(done, []);
  t.is(await statusOf('POST /do'), 200);
});

test('an operator opens a page by its address or by a link', async (t) => {
  const { send } = await serve(t);
  const shown = ['sec-fetch-mode: navigate', 'sec-fetch-dest: document'];
  for (const site of ['none', 'same-origin', 'same-site', 'cross-site']) {
    const { status } = await send(
      'GET /page HTTP/1.1',
      'host: localhost',
      `sec-fetch-site: ${site}`,
      ...shown,
    );
    t.is(status, 200, site);
  }
});

test('no response allows another origin, a frame or a guessed type', async (t) => {
  const { send } = await serve(t);
  const preflight = ['origin: http://evil.example', 'access-control-request-method: POST'];
  for (const [status, ...lines] of [
    [200, 'GET /page HTTP/1.1', 'host: localhost'],
    [200, 'GET /metrics HTTP/1.1', 'host: localhost'],
    [200, 'POST /do HTTP/1.1', 'host: localhost'],
    [401, 'POST /hook HTTP/1.1', 'host: localhost'],
    [404, 'GET /nowhere HTTP/1.1', 'host: localhost'],
    [405, 'PUT /page HTTP/1.1', 'host: localhost'],
    [421, 'GET /page HTTP/1.1', 'host: evil.example'],
    [403, 'OPTIONS /do HTTP/1.1', 'host: localhost', ...preflight],
  ] as const) {
    const answer = await send(...lines);
    t.is(answer.status, status, lines[0]);
    t.regex(answer.head, /^x-content-type-options: nosniff\r?$/m);
    t.regex(answer.head, /^x-frame-options: deny\r?$/m);
    t.regex(answer.head, /^content-security-policy: default-src 'none'; frame-ancestors 'none'\r?$/m);
    t.regex(answer.head, /^cross-origin-resource-policy: same-origin\r?$/m);
    t.regex(answer.head, /^cache-control: no-store\r?$/m);
    t.notRegex(answer.head, /access-control/);
  }
});

test('a path that verifies its sender is reached under any name', async (t) => {
  const { send } = await serve(t);
  t.is((await send('POST /hook HTTP/1.1', 'host: hooks.example')).status, 401);
});
