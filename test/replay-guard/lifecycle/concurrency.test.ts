import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import type { Method } from '../../helpers/calls/call.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import {
  type Ledger,
  type LedgerSetup,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../helpers/waiting/barrier.js';

const emptied = emptiedData(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const waiting = (waitMs: number) => ({
  policies: Object.fromEntries(paths.map((path) => [path, { waitMs, leaseMs: 60_000 }])),
});
const both = ({ definition }: Ledger) =>
  [definition.Append, definition.Transfer] as unknown as Method<never, object>[];
const engine = { unitLimitMs: 60_000 };

/** Writes, waits at the barrier and then answers. The first execution answers with `code`. */
const held =
  (barrier: Barrier, code = status.OK): NonNullable<LedgerSetup['handlers']> =>
  (database) => {
    let executions = 0;
    return onBoth(async (account, callback) => {
      const first = ++executions === 1;
      await database.transaction(() => writeEffect(database, account));
      await barrier.pass();
      if (first && code !== status.OK) callback({ code });
      else callback(null, { entryId: `${executions}`, transferId: `${executions}` });
    });
  };

for (const name of engines) {
  test.serial(
    `${name}: 200 concurrent calls with one key over 8 connections cause one execution`,
    async (t) => {
      const ledger = await openLedger(t, await emptied(t, name));
      for (const method of both(ledger)) {
        const connections = ledger.server.connectMany(8);
        const calls = Array.from({ length: 200 }, (_, i) =>
          connections[i % 8]?.callBytes(method, Buffer.alloc(0), { key: 'key' }),
        );
        const replies = await Promise.all(calls);
        t.true(replies.every((reply) => reply?.code === status.OK));
        t.is(new Set(replies.map((reply) => reply?.bytes?.toString('hex'))).size, 1);
        t.is(replies.filter((reply) => !reply?.replayed).length, 1);
      }
      t.is(ledger.entered, 2);
      t.is((await ledger.effects()).length, 2);
    },
  );

  test.serial(`${name}: 50 keys, each sent four times, cause 50 executions`, async (t) => {
    const ledger = await openLedger(t, await emptied(t, name));
    const connections = ledger.server.connectMany(8);
    const calls = Array.from({ length: 200 }, (_, i) =>
      connections[i % 8]?.call(ledger.definition.Append, { account: `${i % 50}` }, { key: `key-${i % 50}` }),
    );
    const replies = await Promise.all(calls);
    t.true(replies.every((reply) => reply?.code === status.OK));
    t.is(new Set(replies.map((reply) => reply?.bytes?.toString('hex'))).size, 50);
    t.deepEqual(await ledger.effects(), Array.from({ length: 50 }, (_, i) => `${i}`).sort());
  });

  for (const method of methods) {
    test.serial(
      `${name}, ${method}: the wait of a duplicate ends at its deadline or when its client disconnects`,
      async (t) => {
        const barrier = new Barrier();
        const ledger = await openLedger(t, await emptied(t, name), {
          ...{ handlers: held(barrier), guard: waiting(1_000_000), engine },
        });
        const first = ledger.ask(method, 'key', 'alice');
        await barrier.reached();
        const client = new AbortController();
        const late = ledger.ask(method, 'key', 'alice', { deadlineMs: 300 });
        const cancelled = ledger.ask(method, 'key', 'alice', { signal: client.signal });
        t.true([status.DEADLINE_EXCEEDED, status.UNAVAILABLE].includes((await late).code));
        client.abort();
        await cancelled;
        await ledger.outcomes.reached('in_progress', 2);
        t.is(ledger.entered, 1);
        barrier.open();
        t.like(await first, { code: status.OK });
      },
    );

    test.serial(
      `${name}, ${method}: when the first call releases its key, one waiting duplicate executes`,
      async (t) => {
        const [barrier, scoped] = [new Barrier(), new Barrier()];
        scoped.open();
        const scope = () => scoped.pass().then(() => 'alice');
        const ledger = await openLedger(t, await emptied(t, name), {
          ...{ handlers: held(barrier, status.ABORTED), guard: { scope }, engine },
        });
        const first = ledger.ask(method, 'key', 'alice');
        await barrier.reached();
        const others = Array.from({ length: 5 }, () => ledger.ask(method, 'key', 'alice'));
        await scoped.reached(6);
        await nextTurn();
        barrier.open();
        t.is((await first).code, status.ABORTED);
        const replies = await Promise.all(others);
        t.true(replies.every((reply) => reply.code === status.OK));
        t.is(replies.filter((reply) => !reply.replayed).length, 1);
        t.is(new Set(replies.map((reply) => reply.bytes?.toString('hex'))).size, 1);
        t.is(ledger.entered, 2);
        t.deepEqual(await ledger.effects(), ['alice']);
      },
    );
  }

  test.serial(
    `${name}: a closing guard refuses waiting duplicates and waits for running executions`,
    async (t) => {
      const [barrier, scoped] = [new Barrier(), new Barrier()];
      scoped.open();
      const scope = () => scoped.pass().then(() => 'alice');
      const ledger = await openLedger(t, await emptied(t, name), {
        ...{ handlers: held(barrier), guard: { ...waiting(1_000_000), scope }, engine },
      });
      const first = ledger.append('key', { account: 'alice' });
      await barrier.reached();
      const parked = ledger.append('key', { account: 'alice' });
      await scoped.reached(2);
      await nextTurn();
      let closed = false;
      const closing = ledger.guard.close().then(() => {
        closed = true;
      });
      const late = ledger.append('key', { account: 'alice' });
      for (const refused of [await parked, await late])
        assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
      t.false(closed);
      barrier.open();
      t.like(await first, { code: status.OK, replayed: false });
      await closing;
      t.deepEqual(await ledger.effects(), ['alice']);
    },
  );
}

test.serial('postgres: 200 concurrent calls with one key at two servers cause one effect', async (t) => {
  const data = await emptied(t, 'postgres');
  const servers = [await openLedger(t, data), await openLedger(t, data)] as const;
  for (const method of both(servers[0])) {
    const connections = servers.flatMap(({ server }) => server.connectMany(4));
    const calls = Array.from({ length: 200 }, (_, i) =>
      connections[i % 8]?.callBytes(method, Buffer.alloc(0), { key: 'key' }),
    );
    const replies = await Promise.all(calls);
    t.deepEqual(
      replies.filter((reply) => reply?.code !== status.OK).map((reply) => reply?.details),
      [],
    );
    t.is(new Set(replies.map((reply) => reply?.bytes?.toString('hex'))).size, 1);
    t.is(replies.filter((reply) => !reply?.replayed).length, 1);
  }
  t.is(servers[0].entered + servers[1].entered, 2);
  t.is((await servers[0].effects()).length, 2);
});
