import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { Connection } from '../helpers/calls/call.js';
import { retryWhileUnavailable } from '../helpers/calls/retry-while-unavailable.js';
import { type Engine, engines, freshData } from '../helpers/databases/engines.js';
import { LedgerProcess, type LedgerSettings, ROLLED_BACK } from '../helpers/processes/ledger-process.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { loadLedger } from '../helpers/servers/ledger.js';
import { poll } from '../helpers/waiting/poll.js';

const { Append } = loadLedger();
const times = { leaseMs: 60_000, waitMs: 0 };

const append = (connection: Connection, key: string) =>
  connection.call(Append, { account: 'alice' }, { key });

/** Starts two servers on one database. The handlers of the first one fail. The other one has `settings`. */
async function twoServers(t: ExecutionContext, engine: Engine, settings: Partial<LedgerSettings> = {}) {
  const data = await freshData(t, engine);
  const failing = new LedgerProcess(t, { url: data.url, failures: 'held', ...times });
  const atFailing = await failing.connect();
  // The first server creates the tables, so the other one starts after it.
  const other = new LedgerProcess(t, { url: data.url, ...times, ...settings });
  const atOther = await other.connect();
  const { database } = await data.open({ maxConnections: 1 });
  const effects = async () => (await database.query('SELECT amount FROM effects')).length;
  return { failing, atFailing, other, atOther, effects };
}

// A kept failure rolls the transaction back and is stored afterwards. The key is free in between.
for (const engine of engines) {
  test(`${engine}: the key is free after a server was killed between a rollback and the stored failure`, async (t) => {
    const { failing, atFailing, atOther, effects } = await twoServers(t, engine);
    const key = randomUUID();
    const lost = append(atFailing, key);
    await failing.handlerHeld(ROLLED_BACK);
    await failing.kill();
    t.is((await lost).code, status.UNAVAILABLE);
    t.is(await effects(), 0, 'the work of the failure was rolled back');
    const retry = await retryWhileUnavailable(() => append(atOther, key));
    t.like(retry, { code: status.OK, replayed: false });
    t.like(await append(atOther, key), { bytes: retry.bytes, replayed: true });
    t.is(await effects(), 1);
  });

  test(`${engine}: a server that took the key goes on when the failing server is killed`, async (t) => {
    const { failing, atFailing, other, atOther, effects } = await twoServers(t, engine, {
      holdHandlers: true,
    });
    const key = randomUUID();
    const lost = append(atFailing, key);
    await failing.handlerHeld(ROLLED_BACK);
    const taken = append(atOther, key);
    await other.handlerHeld('alice');
    await failing.kill();
    t.is((await lost).code, status.UNAVAILABLE);
    other.release('alice');
    const { code, bytes, replayed } = await taken;
    t.deepEqual([code, replayed], [status.OK, false]);
    t.like(await append(atOther, key), { bytes, replayed: true });
    t.is(await effects(), 1);
  });

  test(`${engine}: a failure is stored when the server that took the key is killed`, async (t) => {
    const { failing, atFailing, other, atOther, effects } = await twoServers(t, engine, {
      holdHandlers: true,
    });
    const key = randomUUID();
    const first = append(atFailing, key);
    await failing.handlerHeld(ROLLED_BACK);
    const lost = append(atOther, key);
    await other.handlerHeld('alice');
    await other.kill();
    t.is((await lost).code, status.UNAVAILABLE);
    failing.release(ROLLED_BACK);
    // Postgres may still hold the transaction of the killed server. Then the failure is refused as in progress.
    t.true([status.NOT_FOUND, status.UNAVAILABLE].includes((await first).code as number));
    const failure = await retryWhileUnavailable(() => append(atFailing, key));
    t.is(failure.code, status.NOT_FOUND);
    t.like(await append(atFailing, key), {
      code: status.NOT_FOUND,
      details: failure.details,
      replayed: true,
    });
    t.is(await effects(), 0);
  });
}

test('postgres: the key is free after a server was killed before the claim that stores its failure', async (t) => {
  const data = await freshData(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const failing = new LedgerProcess(t, { url: proxy.url, failures: 'stored', ...times });
  const atFailing = await failing.connect();
  const other = new LedgerProcess(t, { url: data.url, ...times });
  const atOther = await other.connect();
  const key = randomUUID();
  // The first claim belongs to the execution. The second one stores the failure.
  proxy.cutAt(/INSERT INTO replay_guard_records/, 'before', 'hang', 1);
  const lost = append(atFailing, key);
  await poll('the second claim', () => proxy.cuts === 1);
  await failing.kill();
  t.is((await lost).code, status.UNAVAILABLE);
  const retry = await retryWhileUnavailable(() => append(atOther, key));
  t.like(retry, { code: status.OK, replayed: false });
  t.like(await append(atOther, key), { bytes: retry.bytes, replayed: true });
  const { database } = await data.open({ maxConnections: 1 });
  t.is((await database.query('SELECT amount FROM effects')).length, 1);
});
