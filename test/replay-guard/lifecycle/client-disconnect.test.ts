import { ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import test from 'ava';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { Cancellations } from '../../helpers/servers/cancellations.js';
import {
  type LedgerSetup,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

const emptied = emptiedData(test);

/** Handlers that write, wait at the barrier and then answer. */
const heldAt =
  (barrier: Barrier): NonNullable<LedgerSetup['handlers']> =>
  (database) =>
    onBoth(async (account, callback) => {
      await database.transaction(() => writeEffect(database, account));
      if (account !== 'warm') await barrier.pass();
      callback(null, { entryId: 'first', transferId: 'first' });
    });

/** An interceptor that passes a part of the request on when the barrier opens. */
const holding =
  (part: 'message' | 'half-close', barrier: Barrier): ServerInterceptor =>
  (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMessage: (message, forward) =>
            part === 'message' ? void barrier.pass().then(() => forward(message)) : forward(message),
          onReceiveHalfClose: (forward) =>
            part === 'half-close' ? void barrier.pass().then(forward) : forward(),
        }),
    });

for (const engine of engines) {
  for (const method of methods) {
    test.serial(
      `${engine}, ${method}: a retry after the deadline gets the reply of the first execution`,
      async (t) => {
        const barrier = new Barrier();
        const ledger = await openLedger(t, await emptied(t, engine), { handlers: heldAt(barrier) });
        await ledger.ask(method, 'another', 'warm');
        const first = ledger.ask(method, 'key', 'alice', { deadlineMs: 1_000 });
        await barrier.reached();
        t.is((await first).code, status.DEADLINE_EXCEEDED);
        barrier.open();
        const retry = await ledger.ask(method, 'key', 'alice');
        t.like(retry, { code: status.OK, replayed: true });
        t.true([retry.message?.entryId, retry.message?.transferId].includes('first'));
        t.is(ledger.entered, 2);
        t.deepEqual(await ledger.effects(), ['alice', 'warm']);
      },
    );

    test.serial(
      `${engine}, ${method}: a call that is cancelled before its handler starts releases its claim`,
      async (t) => {
        const data = await emptied(t, engine);
        const other = await data.open();
        const [holding, scoped, cancellations] = [new Barrier(), new Barrier(), new Cancellations()];
        const ledger = await openLedger(t, data, {
          before: [cancellations.interceptor],
          engine: { lockTimeoutMs: 10_000, maxConnections: 1 },
          guard: { scope: () => scoped.pass().then(() => 'alice') },
        });
        // SQLite has one writer and this pool has one connection, so the claim waits for the holder.
        const holder = ledger.database.transaction(async () => {
          await writeEffect(ledger.database, 'holder');
          await holding.pass();
        });
        await holding.reached();
        const client = new AbortController();
        scoped.open();
        const first = ledger.ask(method, 'key', 'alice', { signal: client.signal });
        await scoped.reached();
        client.abort();
        t.is((await first).code, status.CANCELLED);
        await cancellations.noticed();
        holding.open();
        await holder;
        await ledger.outcomes.reached('released');
        t.is(ledger.entered, 0);
        t.deepEqual(await other.database.query('SELECT state FROM replay_guard_records'), []);
        t.like(await ledger.ask(method, 'key', 'alice'), { code: status.OK, replayed: false });
        t.is(ledger.entered, 1);
        t.deepEqual(await ledger.effects(), ['alice', 'holder']);
      },
    );

    for (const part of ['message', 'half-close'] as const) {
      test.serial(
        `${engine}, ${method}: a call that is cancelled while an interceptor behind the guard holds its ${part} executes`,
        async (t) => {
          const [held, cancellations] = [new Barrier(), new Cancellations()];
          const ledger = await openLedger(t, await emptied(t, engine), {
            before: [cancellations.interceptor],
            after: [holding(part, held)],
          });
          const client = new AbortController();
          const first = ledger.ask(method, 'key', 'alice', { signal: client.signal });
          await held.reached();
          client.abort();
          t.is((await first).code, status.CANCELLED);
          await cancellations.noticed();
          held.open();
          await ledger.outcomes.reached('executed');
          t.like(await ledger.ask(method, 'key', 'alice'), { code: status.OK, replayed: true });
          t.is(ledger.entered, 1);
        },
      );
    }
  }
}
