import { once } from 'node:events';
import { connect } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { Webhook } from 'standardwebhooks';
import { listenOps } from '#src/ops/ops.js';
import { Readiness } from '#src/ops/readiness.js';
import { notFound, ServiceError } from '#src/rpc/service-error.js';
import type { GoodsReceipt } from '#src/warehouse/goods-receipts.js';
import { WarehouseWebhook } from '#src/warehouse/warehouse-webhook.js';
import { goods, type Posting, post, SECRET } from '../helpers/messages/signed-webhook.js';
import { Barrier } from '../helpers/waiting/barrier.js';

/** Starts a webhook on a real listener. It records the receipts. */
async function open(t: ExecutionContext, receive = async (_receipt: GoodsReceipt) => {}) {
  const received: GoodsReceipt[] = [];
  const lines: string[] = [];
  const logger = pino({ base: null }, { write: (line: string) => lines.push(line) });
  const webhook = new WarehouseWebhook(SECRET, createLogObserver({ logger }).failures);
  const ops = await listenOps({ host: '127.0.0.1', port: 0 }, new Readiness(), new Registry());
  t.teardown(() => ops.close());
  ops.receive('/webhooks/warehouse', (request) => webhook.answer(request));
  webhook.serve(async (receipt) => {
    await receive(receipt);
    received.push(receipt);
  });
  return { webhook, received, lines, port: ops.port, send: (posting: Posting) => post(ops.port, posting) };
}

test('a signed receipt is accepted, and its other fields are ignored', async (t) => {
  const { send, received } = await open(t);
  const body = { ...goods('Grüner Tee', 3), timestamp: '2026-11-22T06:06:06Z' };
  t.like(await send({ id: 'msg_2abc', body }), { status: 200, body: 'received\n' });
  t.deepEqual(received, [{ messageId: 'msg_2abc', sku: 'Grüner Tee', quantity: 3 }]);
});

test('a receipt with signatures of an old and a new secret is accepted', async (t) => {
  const { send, received } = await open(t);
  const body = JSON.stringify(goods('tea', 1));
  const at = new Date();
  const signatures = [`whsec_${Buffer.alloc(24, 1).toString('base64')}`, SECRET].map((secret) =>
    new Webhook(secret).sign('m', at, body),
  );
  const headers = {
    'webhook-id': 'm',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': signatures.join(' '),
  };
  t.is((await send({ body, headers })).status, 200);
  t.is(received.length, 1);
});

const body = goods('tea', 3);
const minutes = 60_000;

/** Wrong requests and the status of their refusal. */
const refused: Record<string, [Posting, number]> = {
  'the signature of another secret': [
    { body, secret: `whsec_${Buffer.alloc(32, 8).toString('base64')}` },
    401,
  ],
  'no signature': [{ body, headers: {} }, 401],
  'a malformed signature': [
    {
      body,
      headers: {
        'webhook-id': 'm',
        'webhook-timestamp': String(Date.now() / 1000),
        'webhook-signature': 'v1',
      },
    },
    401,
  ],
  'a signature that is too old': [{ body, agoMs: 6 * minutes }, 401],
  'a signature from the future': [{ body, agoMs: -6 * minutes }, 401],
  'a body that is not JSON': [{ body: '{"type":"goods.received","data":{"sku":"secret"' }, 400],
  'an empty body': [{ body: '' }, 400],
  'a body that is not an object': [{ body: 'null' }, 400],
  'another message type': [{ body: { ...body, type: 'goods.lost' } }, 400],
  'a message without goods': [{ body: { type: 'goods.received' } }, 400],
  'a quantity of 0': [{ body: goods('tea', 0) }, 400],
  'a fractional quantity': [{ body: goods('tea', 1.5) }, 400],
  'a quantity as text': [{ body: goods('tea', '3') }, 400],
  'too large a quantity': [{ body: goods('tea', 1_000_001) }, 400],
  'an empty sku': [{ body: goods('', 3) }, 400],
  'an id with a character that keys cannot have': [{ body, id: 'a b' }, 400],
  'an id that is too long': [{ body, id: 'x'.repeat(201) }, 400],
  'a body that is slightly too long': [{ body: { ...body, note: 'x'.repeat(65_536) } }, 413],
  'a body that is much too long': [{ body: 'x'.repeat(2_000_000) }, 413],
};
for (const [what, [posting, status]] of Object.entries(refused)) {
  test(`${what} is refused with ${status}, and the log has only the status`, async (t) => {
    const { send, received, lines } = await open(t);
    t.is((await send(posting)).status, status);
    t.deepEqual(received, []);
    t.is(lines.length, 1);
    const line = JSON.parse(String(lines[0]));
    t.deepEqual(Object.keys(line), ['level', 'time', 'status', 'msg']);
    t.is(line.status, status);
  });
}

test('a body of the maximum size is accepted, and a longer body is refused', async (t) => {
  const { send } = await open(t);
  const note = 'x'.repeat(65_536 - Buffer.byteLength(JSON.stringify({ ...body, note: '' })));
  t.is((await send({ body: { ...body, note } })).status, 200);
  t.is((await send({ body: { ...body, note: `${note}x` } })).status, 413);
});

test('every method but POST is refused with 405', async (t) => {
  const { send, received } = await open(t);
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    t.like(await send({ body, method }), { status: 405, allow: 'POST' }, method);
  }
  t.deepEqual(received, []);
});

const failures: [Error, number][] = [
  [notFound('ITEM_NOT_FOUND', 'no item tea', { sku: 'tea' }), 422],
  [new ServiceError(14, 'the inventory is unavailable'), 503],
  [new ServiceError(8, 'this server has reached a quota of the inventory'), 503],
  [new DatabaseUnavailableError('gone'), 503],
  [new CommitInDoubtError('perhaps'), 503],
  [new TypeError('a mistake'), 500],
];
for (const [error, status] of failures) {
  test(`a receipt that fails with ${error.name}, ${error.message}, is answered ${status}`, async (t) => {
    const { send, lines } = await open(t, () => Promise.reject(error));
    t.is((await send({ body, id: 'msg_secret' })).status, status);
    t.is(lines.length, 1);
    t.notRegex(lines.join(''), /msg_secret|"tea"|goods\.received|whsec_/);
  });
}

test('a webhook answers 503 while stopped and at its maximum of running receipts', async (t) => {
  const barrier = new Barrier();
  const { webhook, send } = await open(t, () => barrier.pass());
  webhook.stop();
  t.is((await send({ body })).status, 503);
  webhook.serve(() => barrier.pass());
  const held = Array.from({ length: 50 }, () => send({ body }));
  await barrier.reached(50);
  t.is((await send({ body })).status, 503);
  webhook.stop();
  barrier.open();
  for (const answer of held) t.is((await answer).status, 200, 'a receipt that had started completes');
});

test('many incomplete bodies do not block signed receipts', async (t) => {
  const { port, send, received } = await open(t);
  const head = 'POST /webhooks/warehouse HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n';
  const sockets = Array.from({ length: 60 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await Promise.all(sockets.map((socket) => new Promise((sent) => socket.write(head, sent))));
  // These receipts follow all the incomplete bodies.
  for (const id of ['msg_1', 'msg_2']) t.is((await send({ body, id })).status, 200);
  t.is(received.length, 2);
  for (const socket of sockets) socket.destroy();
});

test('a body that is cut off is refused with 400 and leaves no effect', async (t) => {
  const { port, send, lines, received } = await open(t);
  const socket = connect(port, '127.0.0.1');
  socket.write('POST /webhooks/warehouse HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"type"');
  await once(socket, 'connect');
  t.is((await send({ body })).status, 200);
  socket.destroy();
  while (lines.length === 0) await new Promise(setImmediate);
  t.is(JSON.parse(String(lines[0])).status, 400);
  t.is(received.length, 1);
});
