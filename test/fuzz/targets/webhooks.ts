import { createHmac } from 'node:crypto';
import { request } from 'node:http';
import fc from 'fast-check';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { retryAfterMs } from '#library/outbox/destination/retry-after.js';
import { listenOps, type PostHandler } from '#src/ops/ops.js';
import { Readiness } from '#src/ops/readiness.js';
import type { GoodsReceipt } from '#src/warehouse/goods-receipts.js';
import { readBody } from '#src/warehouse/request-body.js';
import { WarehouseWebhook } from '#src/warehouse/warehouse-webhook.js';
import { goods, SECRET } from '../../helpers/messages/signed-webhook.js';
import { type Mutation, mutateBytes, mutateText, mutations } from '../inputs/mutations.js';
import { must, type Target } from '../target.js';

/** A message to the webhook of the warehouse. It is signed, and then perhaps changed. */
interface WebhookInput {
  readonly body: Uint8Array;
  /** The number of spaces behind the body. */
  readonly padding: number;
  readonly id: string;
  /** The age that the message states, in seconds. */
  readonly age: number;
  /** What is changed after the message was signed. */
  readonly tampered: 'nothing' | 'body' | 'id' | 'timestamp' | 'signature' | 'all signatures';
  readonly changes: readonly Mutation[];
  /** A `Retry-After` of a receiver of the shop's own webhooks. */
  readonly retryAfter: string;
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const quantity = fc.oneof(
  fc.integer({ min: 1, max: 9 }),
  fc.constantFrom<unknown>(0, -1, 1.5, '3', null, 1e21, {}),
);
const sku = fc.oneof(fc.constantFrom('tea', 'Grüner Tee', '', ' ', '\0', '\ud800'), fc.string());
const body = fc.oneof(
  { weight: 4, arbitrary: fc.constant(json(goods('tea', 3))) },
  { weight: 3, arbitrary: fc.tuple(sku, quantity).map(([name, count]) => json(goods(name, count))) },
  { weight: 2, arbitrary: mutations.map((changes) => mutateBytes(json(goods('tea', 3)), changes)) },
  fc
    .constantFrom('', 'null', '[]', '"x"', '{"__proto__":{"type":"goods.received"}}')
    .map((text) => Buffer.from(text)),
);
const inputs: fc.Arbitrary<WebhookInput> = fc.record({
  body,
  padding: fc.oneof(
    { weight: 9, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(65_000, 65_536, 200_000) },
  ),
  id: fc.oneof(fc.constant('msg_1'), fc.constantFrom('', 'a b', 'x'.repeat(201), '.', 'é'), fc.string()),
  age: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.constantFrom(-400, -290, 290, 310, 1e12, 0.5)),
  tampered: fc.oneof(
    { weight: 3, arbitrary: fc.constant('nothing' as const) },
    fc.constantFrom('body', 'id', 'timestamp', 'signature', 'all signatures'),
  ),
  changes: mutations,
  retryAfter: fc.oneof(
    fc.constantFrom(
      '0',
      '120',
      '-1',
      '1e9',
      'Fri, 31 Dec 1999 23:59:59 GMT',
      'Fri, 31 Dec 99999 23:59:59 GMT',
      'soon',
    ),
    fc.string(),
  ),
});

/** The bodies, headers and signatures of webhooks. */
export const webhooksTarget: Target<WebhookInput> = {
  title: 'bodies and signatures of webhooks',
  inputs,
  quickRuns: 300,
  requires: ['200', '400', '401', '413', 'not carried by HTTP'],
  planted: 'the signature of a webhook is not checked',
  async open(t, { planted, count }) {
    const received: GoodsReceipt[] = [];
    const lines: string[] = [];
    const logger = pino({ base: null }, { write: (line: string) => lines.push(line) });
    const webhook = new WarehouseWebhook(SECRET, createLogObserver({ logger }).failures);
    webhook.serve(async (receipt) => void received.push(receipt));
    const ops = await listenOps({ host: '127.0.0.1', port: 0 }, new Readiness(), new Registry());
    t.teardown(() => ops.close());
    const unverified: PostHandler = async (incoming) => {
      const message = String(await readBody(incoming, 70_000, 5_000));
      if (!message.includes('goods.received')) return { status: 400, line: 'not a receipt' };
      received.push({ sku: 'tea', quantity: 3, messageId: 'x' });
      return { status: 200, line: 'received' };
    };
    ops.receive('/webhook', planted ? unverified : (incoming) => webhook.answer(incoming));
    return {
      async check(input) {
        const pauseMs = retryAfterMs(input.retryAfter, 0);
        must(pauseMs === undefined || (pauseMs >= 0 && Number.isFinite(pauseMs)), `the pause is ${pauseMs}`);
        const sent = send(input);
        received.length = 0;
        lines.length = 0;
        const status = await post(ops.port, sent);
        count(status === undefined ? 'not carried by HTTP' : String(status));
        if (status === undefined) return;
        must([200, 400, 401, 413].includes(status), `the webhook answers ${status}`);
        must(received.length === (status === 200 ? 1 : 0), `${status} with ${received.length} receipts`);
        if (status === 200) must(isGenuine(sent), 'a message that nobody signed was received');
        if (sent.body.length > 65_536) must(status === 413, 'a body that is too long was not refused');
        must(!lines.join('').includes('tea'), 'the log quotes the message');
        const isUsual =
          input.tampered === 'nothing' && input.padding === 0 && input.age === 0 && input.id === 'msg_1';
        if (isUsual && Buffer.from(input.body).equals(json(goods('tea', 3))))
          must(status === 200, 'a receipt is refused');
      },
    };
  },
};

interface Sent {
  readonly body: Buffer;
  readonly id: string;
  readonly timestamp: string;
  readonly signature: string;
}

function send({ body: given, padding, id, age, tampered, changes }: WebhookInput): Sent {
  const signed = Buffer.concat([given, Buffer.alloc(padding, ' ')]);
  const timestamp = String(Math.floor(Date.now() / 1_000 - age));
  const signature = `v1,${hmac(id, timestamp, signed.toString())}`;
  const changed = (part: typeof tampered, text: string) =>
    tampered === part ? mutateText(text, changes) : text;
  return {
    body: tampered === 'body' ? mutateBytes(signed, changes) : signed,
    id: changed('id', id),
    timestamp: changed('timestamp', timestamp),
    signature: tampered === 'all signatures' ? 'v1, v2,x v1a, ,' : changed('signature', signature),
  };
}

const hmac = (id: string, timestamp: string, body: string) =>
  createHmac('sha256', Buffer.from(SECRET.slice('whsec_'.length), 'base64'))
    .update(`${id}.${timestamp}.${body}`)
    .digest('base64');

/** Whether the message was signed with the secret in the last five minutes, as the specification says. */
function isGenuine({ body: bytes, id, timestamp, signature }: Sent): boolean {
  const seconds = Number.parseInt(timestamp, 10);
  const isRecent = Math.abs(seconds - Date.now() / 1_000) <= 301;
  const expected = `v1,${hmac(id.trim(), String(seconds), bytes.toString())}`;
  return isRecent && signature.split(' ').includes(expected);
}

/** Posts a message. Resolves to undefined if HTTP cannot carry a header. */
function post(port: number, { body: bytes, id, timestamp, signature }: Sent): Promise<number | undefined> {
  const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
  return new Promise((resolve) => {
    try {
      const outgoing = request({
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: '/webhook',
        headers,
        agent: false,
      });
      outgoing.on('response', (response) => {
        response.resume();
        response.once('close', () => resolve(response.statusCode));
      });
      outgoing.on('error', () => resolve(0));
      outgoing.end(bytes);
    } catch {
      resolve(undefined);
    }
  });
}
