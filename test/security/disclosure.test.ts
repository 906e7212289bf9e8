import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { Webhook } from 'standardwebhooks';
import { type Engine, engines, freshFolder } from '../helpers/databases/engines.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { startReceiver } from '../helpers/servers/webhook-receiver.js';
import { poll } from '../helpers/waiting/poll.js';
import {
  postReceipts,
  probe,
  readPages,
  sendGoodCalls,
  sendNewCalls,
  sendRawCalls,
  sendRefusedCalls,
} from './calls.js';
import { certificateIdentity, type ShopData, shopData, tokenIdentity } from './guarded-shop.js';
import { BUSINESS, type GuardedValues, guardedValues } from './guarded-values.js';
import { activitySinks, disclosures, fileNames, processSinks, type Sink, tableSinks } from './sinks.js';
import { tableFaults } from './table-faults.js';

/** Without a cipher key, replies are stored as they are. Failures quote the wrong value to their caller. */
const REPLIED = new Set([...BUSINESS, 'invalidField']);

const columns = (areRepliesEncrypted: boolean): Record<string, ReadonlySet<string>> => ({
  'inventory_items.sku': new Set(['sku']),
  'inventory_items.name': new Set(['itemName']),
  'inventory_items.unit_price_minor': new Set(['price']),
  'inventory_reservation_lines.sku': new Set(['sku']),
  'inventory_reservation_lines.unit_price_minor': new Set(['price']),
  'orders.customer_id': new Set(['customerId']),
  'orders.lines': new Set(['sku', 'price']),
  'orders.total_minor': new Set(['price']),
  'orders.labels': new Set(['label']),
  'orders.cancel_reason': new Set(['reason']),
  'replay_guard_outbox.payload': new Set(['sku']),
  ...(!areRepliesEncrypted && {
    'replay_guard_records.reply': REPLIED,
    'replay_guard_producers.replies': REPLIED,
  }),
});

for (const engine of engines) {
  for (const identity of ['jwt', 'mtls'] as const) {
    const hasSecrets = (engine === 'sqlite') === (identity === 'jwt');
    const given = `${identity}, ${hasSecrets ? 'pepper and cipher key' : 'no pepper and no cipher key'}`;
    test(`${engine}, ${given}: nothing that callers or operators sent leaves the shop`, async (t) => {
      const values = guardedValues();
      const sinks = await run(t, engine, identity, hasSecrets, values);
      t.deepEqual(disclosures(values.finder, sinks), []);
    });
  }
}

/** Runs a shop through calls of all kinds and through faults. Returns all that has left it. */
async function run(
  t: ExecutionContext,
  engine: Engine,
  kind: 'jwt' | 'mtls',
  hasSecrets: boolean,
  values: GuardedValues,
): Promise<Sink[]> {
  const data = await shopData(t, engine, values);
  const identity =
    kind === 'jwt'
      ? await tokenIdentity(t, values)
      : await certificateIdentity(t, values, await freshFolder(t));
  const webhookSecret = `whsec_${values.operator.webhookSecret.toString('base64')}`;
  const receiver = await startReceiver(t, webhookSecret);
  const warehouseSecret = `whsec_${values.operator.warehouseSecret.toString('base64')}`;
  const server = new ServerProcess(t, {
    ...{ LOG_LEVEL: 'trace', GRPC_TRACE: 'all', GRPC_VERBOSITY: 'DEBUG' },
    ...identity.settings,
    DATABASE_URL: data.proxy?.url ?? data.url,
    WEBHOOK_URL: `${receiver.url}/${values.operator.webhookPath}`,
    ...{ WEBHOOK_SECRET: webhookSecret, WAREHOUSE_WEBHOOK_SECRET: warehouseSecret },
    ...(hasSecrets && {
      REPLAY_GUARD_PEPPER: values.operator.pepper,
      REPLAY_GUARD_PEPPER_PREVIOUS: values.operator.previousPepper,
      REPLAY_GUARD_PEPPER_NEXT: values.operator.nextPepper,
      REPLAY_GUARD_CIPHER_KEY: values.operator.cipherKey.toString('base64'),
    }),
  });
  const [address, ops] = [await server.grpcAddress(), await server.opsAddress()];
  const { caller, other } = await identity.connect(address);
  const { database } = await data.open({ maxConnections: 2 });
  const sinks: Sink[] = [];
  const collect = async (from: Iterable<Sink> | AsyncIterable<Sink>) => {
    for await (const sink of from) sinks.push(sink);
  };

  const { receiverAnswer } = values.caller;
  const answer = (code: number) => (response: import('node:http').ServerResponse) =>
    response
      .writeHead(code, { 'retry-after': receiverAnswer, location: `/${receiverAnswer}` })
      .end(receiverAnswer);
  receiver.answers = [500, 404].map(answer);
  const orderId = await sendGoodCalls(caller, values.caller);
  await sendRefusedCalls(caller, values.caller);
  if (identity.tokens) await sendRawCalls(t, address, values.caller, identity.tokens.token);
  await collect(probe(other, values.caller, orderId));
  const sign = (id: string, body: string) => ({
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(Date.now() / 1_000)),
    'webhook-signature': new Webhook(warehouseSecret).sign(id, new Date(), body),
  });
  await collect(postReceipts(ops, values.caller, sign));
  await poll('an event is a dead letter', async () => {
    const page = await (await fetch(`http://${ops}/outbox`)).json();
    return (page as { deadLetters: unknown[] }).deadLetters.length > 0;
  });
  await collect(readPages(ops, values.caller));
  await failInTables(data, (table) => sendNewCalls(caller, values.caller, table));
  await duringOutage(data, async () => {
    await sendNewCalls(caller, values.caller, 'outage');
    await sendRefusedCalls(caller, values.caller);
    await collect(probe(other, values.caller, orderId));
    await collect(readPages(ops, values.caller));
  });
  await collect(tableSinks(database, columns(hasSecrets)));
  if (engine === 'postgres') await collect(activitySinks(database));
  await collect(processSinks('the shop', server));
  await server.stop();
  await collect(processSinks('the shop', server));
  await collect(fileNames(data.folder));
  await collect(data.sinks());
  return sinks;
}

/** Lets the calls of a caller fail in each table in turn, with errors that quote the row. */
async function failInTables(data: ShopData, send: (table: string) => Promise<status[]>): Promise<void> {
  for (const { table, fault, end } of tableFaults[data.engine]) {
    await data.alter(fault);
    const codes = await send(table);
    if (codes.every((code) => code === status.OK)) throw new Error(`no call failed in ${table}`);
    await data.alter(end);
  }
}

async function duringOutage({ proxy, folder }: ShopData, use: () => Promise<void>): Promise<void> {
  const [path, moved] = ['shop.db', 'moved.db'].map((name) => join(folder, name)) as [string, string];
  if (proxy) proxy.down();
  else await rename(path, moved);
  await use();
  if (proxy) proxy.up();
  else await rename(moved, path);
}
