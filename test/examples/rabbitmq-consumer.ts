import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import type { ExecutionContext } from 'ava';
import { openUrl } from '../helpers/databases/open-url.js';
import { type Cleanup, freshDatabase } from '../helpers/databases/postgres.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { poll } from '../helpers/waiting/poll.js';
import { startExample } from './example-process.js';

const url = new URL(process.env.AMQP_URL ?? 'amqp://127.0.0.1:5672');

/** Asserts that without a broker the example ends with one line that does not contain the password. */
export async function assertReportsMissingBroker(t: ExecutionContext, folder: string): Promise<void> {
  const { port, close } = await listen(() => {});
  await close();
  const started = startExample(t, folder, { AMQP_URL: `amqp://guest:secret@127.0.0.1:${port}` });
  const { message } = await t.throwsAsync(started);
  t.is(
    message,
    `the example ended with code 1: no broker at 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}\n`,
  );
}

/**
 * Asserts that the example processes each message of a real RabbitMQ once. If no RabbitMQ is reachable, the test fails
 * when AMQP_URL is set, and otherwise only logs a line.
 */
export async function assertConsumesOnce(t: ExecutionContext, folder: string): Promise<void> {
  const broker = await connect(url.href, { timeout: 10_000 }).catch((error) => {
    if (process.env.AMQP_URL) throw error;
  });
  if (!broker) {
    t.log(`no RabbitMQ is reachable at ${url.host}, so no message was sent; AMQP_URL selects another broker`);
    return;
  }
  t.teardown(() => broker.close());
  const { queue, send, messageCounts } = await openQueues(t, broker);
  const settings = { QUEUE: queue, DATABASE_URL: await freshDatabase(t) };
  const proxy = await startBrokerProxy(t, url);
  const first = await startExample(t, folder, { ...settings, AMQP_URL: proxy.url });
  t.is(first.address, queue);
  const { database, close } = await openUrl(settings.DATABASE_URL);
  t.teardown(close);
  const paid = async () => {
    const rows = await database.query('SELECT account FROM payments ORDER BY account');
    return rows.map(({ account }) => account);
  };

  await send('m-1', { account: 'ada', amount: 5 });
  await send('m-1', { account: 'ada', amount: 5 });
  await send('m-2', { account: 'bob', amount: 5 });
  await send('m-3', '{');
  await send(undefined, { account: 'no-id', amount: 5 });
  await send('m-4', { account: 'owing', amount: -5 });
  // The broker stops after five redeliveries.
  const failed = Array.from({ length: 6 }, () => 'failed');
  const expected = ['dead', 'dead', 'duplicate', ...failed, 'processed', 'processed'];
  await poll('every message has an outcome', () => first.output.length === expected.length);
  t.deepEqual([...first.output].sort(), expected);
  await poll(
    'the unprocessable messages are in the dead-letter queue',
    async () => (await messageCounts()).dead === 3,
  );

  // The acknowledgement is lost, so the broker redelivers a processed message.
  proxy.mute();
  await send('m-5', { account: 'eve', amount: 5 });
  await poll('the payment is stored', async () => (await paid()).length === 3);
  await first.kill();
  const second = await startExample(t, folder, { ...settings, AMQP_URL: url.href });
  await poll('the redelivery is skipped', () => second.output.length === 1);
  t.deepEqual(second.output, ['duplicate']);
  t.deepEqual(await second.stop(), { code: 0, stderr: '' });
  t.deepEqual(await messageCounts(), { waiting: 0, dead: 3 }, 'every message was acknowledged');
  t.deepEqual(await paid(), ['ada', 'bob', 'eve']);
  await assertStopsWithoutDatabase(t, folder, broker);
}

/** Asserts that the example stops while its database is down, and that the broker keeps the message. */
async function assertStopsWithoutDatabase(t: ExecutionContext, folder: string, broker: ChannelModel) {
  const { queue, send, messageCounts } = await openQueues(t, broker);
  const proxy = await startProxy(t, await freshDatabase(t));
  const settings = { QUEUE: queue, DATABASE_URL: proxy.url, AMQP_URL: url.href };
  const first = await startExample(t, folder, settings);
  proxy.down();
  await send('m-1', { account: 'ada', amount: 5 });
  await poll('the consumer has the message', async () => (await messageCounts()).waiting === 0);
  await poll('the consumer has tried the database', () => proxy.refused > 0);
  t.deepEqual(await first.stop(), { code: 0, stderr: '' });
  t.deepEqual(await messageCounts(), { waiting: 1, dead: 0 });
  proxy.up();
  const second = await startExample(t, folder, settings);
  await poll('the message is processed', () => second.output.length === 1);
  t.deepEqual(second.output, ['processed']);
}

/** Opens queues for this test. They are deleted after the test. */
async function openQueues(t: Cleanup, broker: ChannelModel) {
  const queue = `test-${randomUUID()}`;
  const channel: ConfirmChannel = await broker.createConfirmChannel();
  const names = [queue, `${queue}.dead`];
  t.teardown(async () => {
    for (const name of names) await channel.deleteQueue(name);
  });
  const send = async (messageId: string | undefined, content: object | string) => {
    const body = typeof content === 'string' ? content : JSON.stringify(content);
    channel.sendToQueue(queue, Buffer.from(body), { persistent: true, ...(messageId && { messageId }) });
    await channel.waitForConfirms();
  };
  /** Resolves to the number of messages in the queue and in its dead-letter queue. */
  const messageCounts = async () => {
    const [waiting, dead] = await Promise.all(names.map((name) => channel.checkQueue(name)));
    return { waiting: waiting?.messageCount, dead: dead?.messageCount };
  };
  return { queue, send, messageCounts };
}

/** Starts a proxy between a consumer and the broker. After `mute` it drops the data of the consumer. */
async function startBrokerProxy(t: Cleanup, target: URL) {
  let muted = false;
  const { port, close } = await listen((client) => {
    const upstream = dial(Number(target.port || 5672), target.hostname);
    for (const socket of [client, upstream]) socket.on('error', () => {});
    client.on('data', (bytes) => muted || upstream.write(bytes)).once('close', () => upstream.destroy());
    upstream.on('data', (bytes) => client.write(bytes)).once('close', () => client.destroy());
  });
  t.teardown(close);
  return {
    url: Object.assign(new URL(target), { host: `127.0.0.1:${port}` }).href,
    mute: () => {
      muted = true;
    },
  };
}

async function listen(onConnection: (client: Socket) => void) {
  const server = createServer(onConnection).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, close };
}
