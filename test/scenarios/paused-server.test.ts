import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import type { Connection } from '../helpers/calls/call.js';
import { retryWhileUnavailable } from '../helpers/calls/retry-while-unavailable.js';
import { type Engine, engines, freshData } from '../helpers/databases/engines.js';
import { LedgerProcess, type LedgerSettings } from '../helpers/processes/ledger-process.js';
import { loadLedger } from '../helpers/servers/ledger.js';

const { Append, Transfer } = loadLedger();
const leaseMs = 1_000;

/** Starts two servers on one database. The first server holds its handlers. */
async function twoServers(t: ExecutionContext, engine: Engine, settings: Partial<LedgerSettings>) {
  const data = await freshData(t, engine);
  const both = { url: data.url, waitMs: 20_000, ...settings };
  const first = new LedgerProcess(t, { leaseMs, holdHandlers: true, ...both });
  const atFirst = await first.connect();
  // The first server creates the tables, so the second one starts after it.
  const second = new LedgerProcess(t, { ...both, leaseMs: 60_000 });
  const atSecond = await second.connect();
  const { database } = await data.open({ maxConnections: 1 });
  const effects = async (account: string) =>
    (await database.query('SELECT amount FROM effects WHERE account = $1', [account])).length;
  return { first, atFirst, atSecond, effects };
}

const append = (connection: Connection, key: string, account: string) =>
  connection.call(Append, { account }, { key });
const transfer = (connection: Connection, key: string, from: string) =>
  connection.call(Transfer, { from }, { key });

for (const engine of engines) {
  test(`${engine}, LEASE: a server paused for longer than its lease commits nothing after it resumes`, async (t) => {
    const { first, atFirst, atSecond, effects } = await twoServers(t, engine, {});
    const key = randomUUID();
    const stale = transfer(atFirst, key, 'alice');
    await first.handlerHeld('alice');
    first.signal('SIGSTOP');
    const second = await transfer(atSecond, key, 'alice');
    t.like(second, { code: status.OK, replayed: false });
    // The process handles this message as soon as it resumes.
    first.release('alice');
    first.signal('SIGCONT');
    assertRefused(t, await stale, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
    t.is(await effects('alice'), 1);
    for (const connection of [atFirst, atSecond])
      t.like(await transfer(connection, key, 'alice'), { replayed: true, bytes: second.bytes });
  });

  test(`${engine}, TRANSACTION: a paused server keeps its key, and a killed server frees its key`, async (t) => {
    const { first, atFirst, atSecond, effects } = await twoServers(t, engine, { leaseMs: 30_000, waitMs: 0 });
    const [resumed, killed] = [randomUUID(), randomUUID()];
    const late = append(atFirst, resumed, 'alice');
    await first.handlerHeld('alice');
    first.signal('SIGSTOP');
    const refused = await append(atSecond, resumed, 'alice');
    assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
    first.release('alice');
    first.signal('SIGCONT');
    // The pause was shorter than the lease, so the execution may commit.
    t.like(await late, { code: status.OK, replayed: false });
    const replay = await append(atSecond, resumed, 'alice');
    t.like(replay, { replayed: true, bytes: (await late).bytes });
    t.is(await effects('alice'), 1);

    const lost = append(atFirst, killed, 'bob');
    await first.handlerHeld('bob');
    first.signal('SIGSTOP');
    t.is((await append(atSecond, killed, 'bob')).code, status.UNAVAILABLE);
    await first.kill();
    t.not((await lost).code, status.OK);
    const second = await retryWhileUnavailable(() => append(atSecond, killed, 'bob'));
    t.like(second, { code: status.OK, replayed: false });
    t.is(await effects('bob'), 1);
  });
}

test('postgres, TRANSACTION: a paused server loses its key to the idle transaction timeout', async (t) => {
  const idleTransactionMs = leaseMs;
  const { first, atFirst, atSecond, effects } = await twoServers(t, 'postgres', { idleTransactionMs });
  const key = randomUUID();
  const stale = append(atFirst, key, 'alice');
  await first.handlerHeld('alice');
  first.signal('SIGSTOP');
  const second = await append(atSecond, key, 'alice');
  t.like(second, { code: status.OK, replayed: false });
  first.release('alice');
  first.signal('SIGCONT');
  const late = await stale;
  // Usually the lease has expired, and the call is refused. The heartbeat may have renewed the lease just before the
  // pause. Then only the session has ended, and the server replays the completed record.
  if (late.code === status.OK) t.like(late, { replayed: true, bytes: second.bytes });
  else assertRefused(t, late, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
  t.is(await effects('alice'), 1);
  t.like(await append(atFirst, key, 'alice'), { replayed: true, bytes: second.bytes });
});

for (const method of [append, transfer]) {
  test(`sqlite, ${method.name}: a server that blocks its event loop past the lease commits nothing`, async (t) => {
    const data = await freshData(t, 'sqlite');
    const settings = { url: data.url, leaseMs, waitMs: 0, blockMs: leaseMs + 100 };
    const connection = await new LedgerProcess(t, settings).connect();
    const { database } = await data.open();
    const lost = await method(connection, 'key', 'alice');
    assertRefused(t, lost, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
    t.deepEqual(await database.query('SELECT account FROM effects'), []);
    t.like(await method(connection, 'key', 'alice'), { code: status.OK, replayed: false });
    t.deepEqual(await database.query('SELECT account FROM effects'), [{ account: 'alice' }]);
  });
}
