import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import type { Connection, Reply } from '../helpers/calls/call.js';
import { type Engine, engines, freshData } from '../helpers/databases/engines.js';
import { LedgerProcess, type LedgerSettings } from '../helpers/processes/ledger-process.js';
import { loadLedger } from '../helpers/servers/ledger.js';
import { poll } from '../helpers/waiting/poll.js';

const { Append, Transfer } = loadLedger();
const leaseMs = 1_000;

/** Two servers on one database; the handlers of the first are held. */
async function twoServers(t: ExecutionContext, engine: Engine, settings: Partial<LedgerSettings>) {
  const data = await freshData(t, engine);
  const both = { url: data.url, waitMs: 20_000, ...settings };
  const first = new LedgerProcess(t, { leaseMs, holds: true, ...both });
  const atFirst = await first.connect();
  // After the first, which makes the tables.
  const second = new LedgerProcess(t, { ...both, leaseMs: 60_000 });
  const atSecond = await second.connect();
  const { database } = await data.open({ maxConnections: 1 });
  const effects = async (account: string) =>
    (await database.query('SELECT amount FROM effects WHERE account = $1', [account])).length;
  return { first, atFirst, atSecond, effects };
}

/** Retries as the contract tells clients to, until the key is free. */
async function insist<R>(attempt: () => Promise<Reply<R>>): Promise<Reply<R>> {
  let reply = await attempt();
  await poll(`the key is free; so far ${reply.details}`, async () => {
    if (reply.code === status.UNAVAILABLE) reply = await attempt();
    return reply.code !== status.UNAVAILABLE;
  });
  return reply;
}

const append = (connection: Connection, key: string, account: string) =>
  connection.call(Append, { account }, { key });
const transfer = (connection: Connection, key: string, from: string) =>
  connection.call(Transfer, { from }, { key });

for (const engine of engines) {
  test(`${engine}, LEASE: stopped for longer than its lease, a server commits nothing when it wakes`, async (t) => {
    const { first, atFirst, atSecond, effects } = await twoServers(t, engine, {});
    const key = randomUUID();
    const zombie = transfer(atFirst, key, 'alice');
    await first.arrived('alice');
    first.signal('SIGSTOP');
    const second = await transfer(atSecond, key, 'alice');
    t.like(second, { code: status.OK, replayed: false });
    // On its way to the handler when the process wakes.
    first.letGo('alice');
    first.signal('SIGCONT');
    assertRefused(t, await zombie, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
    t.is(await effects('alice'), 1);
    for (const connection of [atFirst, atSecond])
      t.like(await transfer(connection, key, 'alice'), { replayed: true, bytes: second.bytes });
  });

  test(`${engine}, TRANSACTION: while its server is stopped a key is held, and free when it is killed`, async (t) => {
    const { first, atFirst, atSecond, effects } = await twoServers(t, engine, { leaseMs: 30_000, waitMs: 0 });
    const [woken, killed] = [randomUUID(), randomUUID()];
    const late = append(atFirst, woken, 'alice');
    await first.arrived('alice');
    first.signal('SIGSTOP');
    const refused = await append(atSecond, woken, 'alice');
    assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
    first.letGo('alice');
    first.signal('SIGCONT');
    // Stopped, but not for longer than it is trusted: what it did counts.
    t.like(await late, { code: status.OK, replayed: false });
    const replay = await append(atSecond, woken, 'alice');
    t.like(replay, { replayed: true, bytes: (await late).bytes });
    t.is(await effects('alice'), 1);

    const lost = append(atFirst, killed, 'bob');
    await first.arrived('bob');
    first.signal('SIGSTOP');
    t.is((await append(atSecond, killed, 'bob')).code, status.UNAVAILABLE);
    await first.kill();
    t.not((await lost).code, status.OK);
    const second = await insist(() => append(atSecond, killed, 'bob'));
    t.like(second, { code: status.OK, replayed: false });
    t.is(await effects('bob'), 1);
  });
}

test('postgres, TRANSACTION: a server that does not wake loses its key to the idle limit', async (t) => {
  const idleTransactionMs = leaseMs;
  const { first, atFirst, atSecond, effects } = await twoServers(t, 'postgres', { idleTransactionMs });
  const key = randomUUID();
  const zombie = append(atFirst, key, 'alice');
  await first.arrived('alice');
  first.signal('SIGSTOP');
  const second = await append(atSecond, key, 'alice');
  t.like(second, { code: status.OK, replayed: false });
  first.letGo('alice');
  first.signal('SIGCONT');
  const woken = await zombie;
  // Its lease has run out, or, had it been renewed just before, its transaction is gone and the key is found done.
  if (woken.code === status.OK) t.like(woken, { replayed: true, bytes: second.bytes });
  else assertRefused(t, woken, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
  t.is(await effects('alice'), 1);
  t.like(await append(atFirst, key, 'alice'), { replayed: true, bytes: second.bytes });
});

for (const method of [append, transfer]) {
  test(`sqlite, ${method.name}: a server that was too busy to renew its lease commits nothing`, async (t) => {
    const data = await freshData(t, 'sqlite');
    const settings = { url: data.url, leaseMs, waitMs: 0, blocksMs: leaseMs + 100 };
    const connection = await new LedgerProcess(t, settings).connect();
    const { database } = await data.open();
    const lost = await method(connection, 'key', 'alice');
    assertRefused(t, lost, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
    t.deepEqual(await database.query('SELECT account FROM effects'), []);
    t.like(await method(connection, 'key', 'alice'), { code: status.OK, replayed: false });
    t.deepEqual(await database.query('SELECT account FROM effects'), [{ account: 'alice' }]);
  });
}
