import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { retryWhileUnavailable } from '../../helpers/calls/retry-while-unavailable.js';
import { freshData } from '../../helpers/databases/engines.js';
import {
  type Ledger,
  type LedgerMethod,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

// AVA would report the rejections of the handlers.
captureUnhandledErrors(test);
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];

/** A ledger whose handlers call a guarded method of the same server before they write. */
async function nested(t: ExecutionContext, maxConnections: number): Promise<Ledger> {
  const ledger: Ledger = await openLedger(t, await freshData(t, 'postgres'), {
    engine: { maxConnections },
    handlers: (database) => {
      const handle = async (account: string, callback: (error: object | null, value?: object) => void) => {
        if (account.startsWith('inner')) {
          await writeEffect(database, account);
          return callback(null, {});
        }
        const inner = await ledger.append(`inner-${account}`, { account: `inner-${account}` });
        if (inner.code !== status.OK) return callback(Object.assign(new Error(), inner));
        await writeEffect(database, account);
        return callback(null, {});
      };
      return {
        Append: ({ request }, callback) => handle(request.account ?? '', callback as never),
        Transfer: ({ request }, callback) => handle(request.from ?? '', callback as never),
      };
    },
  });
  return ledger;
}

const effects = KEYS.flatMap((key) => [key, `inner-${key}`]).sort();

/** Whether every key ends with OK, although the pool has so few connections. */
const cases: readonly [connections: number, method: LedgerMethod][] = [
  [1, 'transfer'],
  [2, 'transfer'],
  [2, 'append'],
];

for (const [connections, method] of cases) {
  test.serial(
    `${method}: calls that call their own server come through with ${connections} connections, and the circuit stays closed`,
    async (t) => {
      const ledger = await nested(t, connections);
      const ask = (key: string) => retryWhileUnavailable(() => ledger.ask(method, key, key));
      for (const reply of await Promise.all(KEYS.map(ask))) t.is(reply.code, status.OK, reply.details);
      t.deepEqual(await ledger.effects(), effects);
      t.deepEqual(ledger.outcomes.circuit, []);
    },
  );
}

test.serial(
  'append: a call that needs a second connection of a pool of one is refused as busy within seconds',
  async (t) => {
    const ledger = await nested(t, 1);
    const start = performance.now();
    const reply = await ledger.append('key', { account: 'key' });
    t.is(reply.code, status.UNAVAILABLE);
    t.true(performance.now() - start < 4_000);
    const failed = ledger.outcomes.uses.filter(({ failed }) => failed);
    t.deepEqual(
      failed.map(({ operation, error }) => [operation, (error as Error).name]),
      [['claim', 'NoConnectionError']],
    );
    t.regex(String(failed[0]?.error), /atomicity LEASE or a larger pool/);
    t.deepEqual(ledger.outcomes.circuit, []);
    t.deepEqual(await ledger.effects(), []);
  },
);

test.serial(
  'a handler that gets no connection in time is answered as unavailable, and a retry executes',
  async (t) => {
    const [entered, held] = [new Barrier(), new Barrier()];
    const ledger = await openLedger(t, await freshData(t, 'postgres'), {
      engine: { maxConnections: 1 },
      handlers: (database) => ({
        Transfer: async ({ request }, callback) => {
          await entered.pass();
          await writeEffect(database, request.from);
          callback(null, {});
        },
      }),
    });
    const call = ledger.transfer('key', { from: 'alice' });
    await entered.reached();
    const holder = ledger.database.transaction(() => held.pass());
    await held.reached();
    entered.open();
    const reply = await call;
    assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
    t.regex(reply.details, /busy/);
    held.open();
    await holder;
    const retry = await retryWhileUnavailable(() => ledger.transfer('key', { from: 'alice' }));
    t.is(retry.code, status.OK);
    t.deepEqual(await ledger.effects(), ['alice']);
  },
);
