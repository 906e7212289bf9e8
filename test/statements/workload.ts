import { mock } from 'node:test';
import type { ExecutionContext } from 'ava';
import { createConsumer } from 'grpc-replay-guard/consumer';
import type { Database } from 'grpc-replay-guard/database';
import {
  type Delivery,
  migrateOutbox,
  type Relay,
  SubscriptionEndedError,
  UndeliverableError,
} from 'grpc-replay-guard/outbox';
import { createPostgresWakeUps } from 'grpc-replay-guard/outbox/postgres';
import type { Claim, ClaimRequest, IdempotencyStore, OpenStore } from 'grpc-replay-guard/store';
import { claimed, digest, hour, reply, request } from '../contracts/store/requests.js';
import { administer } from '../helpers/databases/administer.js';
import type { DataSource } from '../helpers/databases/engines.js';
import { type EngineOptions, openUrl } from '../helpers/databases/open-url.js';
import { append, failing, openOutbox, relayTo } from '../helpers/databases/outbox.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { openEarlierServer } from '../helpers/stores/version-0-1.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';
import { onOneLine } from './needs.js';

/** Each statement of the workload's own names this table. */
const OWN_TABLE = 'notes';
const ownStatement = new RegExp(`\\b${OWN_TABLE}\\b`);
const insert = `INSERT INTO ${OWN_TABLE} (text) VALUES ($1)`;

/**
 * Makes the store, the handle, the outbox and the consumer send each of their statements to Postgres. Resolves to the
 * statements that a proxy has recorded, each once and on one line, without the statements of the workload's own.
 * @param data an empty database
 * @param earlier another empty database
 */
export async function sentStatements(
  t: ExecutionContext,
  data: DataSource,
  earlier: DataSource,
): Promise<string[]> {
  const proxy = await startProxy(t, data.url);
  const through = { ...data, url: proxy.url, open: () => open(t, proxy.url) };
  const opened = await through.open();
  await opened.database.migrate('workload', [`CREATE TABLE ${OWN_TABLE} (text TEXT NOT NULL)`]);
  await setMarks(t, opened);
  await useKeys(t, opened);
  await useKeys(t, await open(t, `${proxy.url}?target_session_attrs=primary`, { pooler: 'transaction' }));
  await open(t, proxy.url, { schema: 'guard' });
  await useSeries(t, opened, await data.open());
  await maintain(t, opened, await data.open());
  await processMessages(t, opened.database, data.url);
  await deliverEvents(t, through);
  const sent = [...proxy.statements, ...(await upgrade(t, earlier))];
  const texts = sent.flatMap((text) => onOneLine(text).split('; '));
  return [...new Set(texts)].filter((text) => !ownStatement.test(text));
}

/** Upgrades a database of version 0.1, and asks for records that version 0.1 erased. Resolves to the statements. */
async function upgrade(t: ExecutionContext, data: DataSource): Promise<string[]> {
  const earlier = await openEarlierServer(t, data.url);
  await earlier.migrate();
  const series = { id: digest('earlier series'), epoch: 0n, sequence: 0n };
  const erased = [request(), request({ series })];
  for (const operation of erased) await earlier.execute(operation, reply('earlier'));
  await earlier.eraseScope('tenant');
  const proxy = await startProxy(t, data.url);
  const { store } = await open(t, proxy.url);
  for (const operation of erased) await store.claim(operation);
  return proxy.statements;
}

async function open(t: ExecutionContext, url: string, own: EngineOptions = {}): Promise<OpenStore> {
  const opened = await openUrl(url, {
    ...{ lockTimeoutMs: 20_000, unitLimitMs: 60_000, maxConnections: 5 },
    ...own,
  });
  t.teardown(opened.close);
  return opened;
}

const take = async (t: ExecutionContext, store: IdempotencyStore, asked: ClaimRequest): Promise<Claim> =>
  claimed(t, await store.claim(asked));

const sentNow = () => ({ earliestMs: Date.now(), latestMs: Date.now() });

/** Claims keys and ends the claims in every way, and reads and writes before the end. */
async function useKeys(t: ExecutionContext, { store, database, ping }: OpenStore): Promise<void> {
  await ping();
  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    const first = request({ atomicity });
    const claim = await take(t, store, first);
    await claim.run(async () => {
      await database.query(`SELECT text FROM ${OWN_TABLE}`);
      await nest(database);
      await nest(database);
    });
    await claim.complete(reply('done'));
    await store.claim(first);
    await (await take(t, store, request({ atomicity, firstSent: sentNow() }))).release();
    await (await take(t, store, request({ atomicity }))).fail(reply('failed'));
  }
  const renewed = await take(t, store, request());
  await renewed.renew();
  await renewed.release();
  await database.transaction(() => nest(database));
}

/** Uses each mark, and claims under a mark that is not set. */
async function setMarks(t: ExecutionContext, { store }: OpenStore): Promise<void> {
  await store.marks?.isEmpty();
  await store.marks?.refuseEarlierVersions();
  await store.marks?.set('mark', 1);
  await (await take(t, store, request({ unless: ['another mark'] }))).release();
}

/** Runs a nested transaction that commits, and one that rolls back. */
async function nest(database: Database): Promise<void> {
  await database.transaction(() => database.query(insert, ['kept']));
  const undone = database.transaction(async () => {
    await database.query(insert, ['undone']);
    throw new Error('undone');
  });
  await undone.catch(() => {});
}

/** Claims positions in series. */
async function useSeries(t: ExecutionContext, { store, database }: OpenStore, other: OpenStore) {
  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    const id = digest(`series ${atomicity}`);
    const at = (sequence: bigint) => request({ atomicity, series: { id, epoch: 0n, sequence } });
    const first = await take(t, store, at(0n));
    await first.run(() => database.query(insert, ['of a series']));
    await first.complete(reply('zero'));
    await (await take(t, store, at(1n))).release();
    await (await take(t, store, at(1n))).fail(reply('one'));
    t.is((await store.claim(at(9n))).outcome, 'gap');
    const renewed = await take(t, store, at(2n));
    await renewed.renew();
    await renewed.release();
    for (const dated of [
      at(2n),
      { ...at(0n), series: { id: digest(`dated ${atomicity}`), epoch: 0n, sequence: 0n } },
    ])
      await (await take(t, store, { ...dated, firstSent: sentNow() })).release();
    // A gap is confirmed after the transaction that holds the record.
    const held = await take(t, other.store, { ...at(2n), atomicity: 'TRANSACTION' });
    await store.claim(at(3n));
    await held.release();
  }
}

/** Counts, erases and purges records. A purge also meets a record that another transaction holds. */
async function maintain(t: ExecutionContext, { store }: OpenStore, other: OpenStore): Promise<void> {
  await store.estimateRecords();
  await store.countLive('tenant', 100);
  await store.erase('tenant', 100);
  for (const table of ['keys', 'series']) {
    const series = { id: digest('expired series'), epoch: 0n, sequence: 0n };
    const expired = request({ retentionMs: 1, ...(table === 'series' && { series }) });
    await (await take(t, store, expired)).complete(reply('expired'));
    const anew = { ...expired, retentionMs: hour, atomicity: 'TRANSACTION' } as const;
    const held = await take(t, other.store, anew);
    t.is((await store.purge(100)).purged, 0);
    await held.release();
    await poll(
      `the pruner deletes the record of ${table}`,
      async () => (await store.purge(100)).purged === 1,
    );
  }
}

/** Processes a message twice, and prunes an expired message. */
async function processMessages(t: ExecutionContext, database: Database, url: string): Promise<void> {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  let purges = 0;
  const consumer = await createConsumer({ database, observer: { messagesPurged: () => purges++ } });
  const message = { consumer: 'workload', scope: 'tenant', messageId: 'message' };
  await consumer.processOnce(message, async () => {});
  await consumer.processOnce(message, async () => {});
  await administer(url, "INSERT INTO replay_guard_messages (id, expires_at) VALUES ('expired', 1)");
  mock.timers.tick(60_000);
  await poll('the pruner of messages runs', () => purges === 1);
  await consumer.close();
  mock.timers.reset();
}

/** Appends and delivers events, with every result of a delivery, and runs every operation on dead letters. */
async function deliverEvents(t: ExecutionContext, data: DataSource): Promise<void> {
  const outbox = await openOutbox(data);
  await migrateOutbox(outbox.database);
  const wakeUps = createPostgresWakeUps({ client: { connectionString: data.url } });
  let wakes = 0;
  wakeUps.start(() => wakes++);
  await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
  await poll('a notification arrives', () => wakes > 1);
  await wakeUps.stop();

  const toDesk = (note: Delivery, endpoint?: string): Relay =>
    relayTo(t, outbox, { deliveries: { note }, ...(endpoint && { endpoint }) }, { retentionMs: 0 });
  t.is(await toDesk(async () => {}).runOnce(), 2);
  await toDesk(failing).runOnce();
  await append(outbox, ['dead', 1]);
  const dying = toDesk(async () => {
    throw new UndeliverableError('never');
  });
  await dying.runOnce();
  await dying.runMaintenance();
  const dead = await outbox.deadLetters();
  t.is(dead.length, 1);
  t.is(await outbox.requeue(String(dead[0]?.eventId)), 1);
  await dying.runOnce();
  t.is(await outbox.requeueAll('desk'), 1);
  await dying.runOnce();
  t.is(await outbox.discard(String((await outbox.deadLetters())[0]?.eventId)), 1);

  await append(outbox, ['ending', 1], ['running', 1]);
  await endSubscription(toDesk);
  t.is((await outbox.report())[0]?.closed.length, 1);
  t.true(await outbox.reopen('desk'));
}

/** Ends the subscription while another delivery runs, so that the relay gives that event back. */
async function endSubscription(toDesk: (note: Delivery, endpoint: string) => Relay): Promise<void> {
  const barrier = new Barrier();
  const ending = toDesk(async () => {
    await barrier.pass();
    throw new SubscriptionEndedError('gone');
  }, 'one');
  const round = ending.runOnce();
  await barrier.reached(2);
  barrier.open();
  await round;
  await ending.runMaintenance();
}
