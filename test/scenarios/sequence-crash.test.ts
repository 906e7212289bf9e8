import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import type { Connection, Reply } from '../helpers/calls/call.js';
import { sequenceSettings } from '../helpers/calls/sequence-settings.js';
import { engines, freshData } from '../helpers/databases/engines.js';
import { LedgerProcess } from '../helpers/processes/ledger-process.js';
import { loadLedger } from '../helpers/servers/ledger.js';
import { poll } from '../helpers/waiting/poll.js';

const { Append, Transfer } = loadLedger();
const methods = {
  TRANSACTION: (connection: Connection, producer: string, sequence: number) =>
    connection.call(Append, { account: `${sequence}` }, sequenceSettings(producer, sequence)),
  LEASE: (connection: Connection, producer: string, sequence: number) =>
    connection.call(Transfer, { from: `${sequence}` }, sequenceSettings(producer, sequence)),
};

/** Retries while the reply is UNAVAILABLE, as the contract requires of clients. */
async function retryWhileUnavailable(attempt: () => Promise<Reply<unknown>>): Promise<Reply<unknown>> {
  let reply = await attempt();
  await poll(`the call ends; last reply: ${reply.details}`, async () => {
    if (reply.code === status.UNAVAILABLE) reply = await attempt();
    return reply.code !== status.UNAVAILABLE;
  });
  return reply;
}

for (const engine of engines) {
  for (const [atomicity, ask] of Object.entries(methods)) {
    test(`${engine}, ${atomicity}: after a crash of one server, another server continues the series`, async (t) => {
      const data = await freshData(t, engine);
      const settings = { url: data.url, leaseMs: 1_000, waitMs: 300 };
      const first = new LedgerProcess(t, { ...settings, holdHandlers: true });
      const atFirst = await first.connect();
      const atSecond = await new LedgerProcess(t, settings).connect();
      const producer = randomUUID();
      const zero = await ask(atSecond, producer, 0);
      t.is(zero.code, status.OK);
      const crashed = ask(atFirst, producer, 1);
      await first.handlerHeld('1');
      const waits = await ask(atSecond, producer, 2);
      t.is(waits.statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_KEY_IN_PROGRESS');
      await first.kill();
      t.is((await crashed).code, status.UNAVAILABLE);
      const gap = await retryWhileUnavailable(() => ask(atSecond, producer, 2));
      t.like(gap.statusDetails?.errorInfo, {
        reason: 'IDEMPOTENCY_SEQUENCE_GAP',
        metadata: { expected: '1' },
      });
      const one = await retryWhileUnavailable(() => ask(atSecond, producer, 1));
      t.like(one, { code: status.OK, replayed: false });
      t.like(await ask(atSecond, producer, 2), { code: status.OK, replayed: false });
      t.like(await ask(atSecond, producer, 0), { replayed: true, bytes: zero.bytes });
      t.like(await ask(atSecond, producer, 1), { replayed: true, bytes: one.bytes });
      const { database } = await data.open({ maxConnections: 1 });
      const effects = await database.query('SELECT account FROM effects ORDER BY account');
      t.deepEqual(effects, [{ account: '0' }, { account: '1' }, { account: '2' }]);
    });
  }
}
