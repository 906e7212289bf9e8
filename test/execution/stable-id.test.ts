import { status } from '@grpc/grpc-js';
import test from 'ava';
import { stableId } from 'grpc-replay-guard';
import { methods, onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('outside a guarded call every stable id is different', (t) => {
  const ids = Array.from({ length: 100 }, () => stableId('order'));
  t.is(new Set(ids).size, 100);
  for (const id of ids) t.regex(id, uuid);
});

test('stable ids are equal in all executions of one operation and differ between operations', async (t) => {
  const idsOf: Record<string, string[]> = {};
  const ledger = await openLedger(t, 'memory', {
    handlers: () => ({
      ...onBoth(async (account, callback) => {
        const ids = [stableId('order'), stableId('line'), stableId('order')];
        await Promise.resolve();
        idsOf[account] = [...(idsOf[account] ?? []), ids.join(), stableId('line')];
        // UNAVAILABLE releases the key, so the same key executes again.
        callback({ code: status.UNAVAILABLE });
      }),
      Touch: (call, callback) => {
        idsOf[call.request.account ?? ''] = [stableId('order')];
        callback(null, {});
      },
    }),
  });
  for (const method of methods) {
    for (const key of ['one', 'two']) {
      for (const _ of [1, 2, 3]) await ledger.ask(method, key, `${method} ${key}`);
    }
  }
  const groups = Object.values(idsOf);
  t.is(groups.length, 4);
  for (const ids of groups) {
    const [first, line] = ids as [string, string];
    t.deepEqual(ids, [first, line, first, line, first, line]);
    const [order, other, again] = first.split(',');
    t.is(again, order);
    t.is(other, line);
    t.not(order, other);
    for (const id of [order, line]) t.regex(String(id), uuid);
  }
  t.is(new Set(groups.map(([ids]) => ids)).size, 4);
  const touch = (account: string) => ledger.connection.call(ledger.definition.Touch, { account });
  await touch('unguarded one');
  await touch('unguarded two');
  t.not(idsOf['unguarded one']?.[0], idsOf['unguarded two']?.[0]);
});

test('concurrent executions have different stable ids', async (t) => {
  const barrier = new Barrier();
  const idByAccount = new Map<string, string>();
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth(async (account, callback) => {
        const before = stableId('x');
        await barrier.pass();
        t.is(stableId('x'), before);
        idByAccount.set(account, before);
        callback(null, {});
      }),
  });
  const calls = Array.from({ length: 20 }, (_, i) => ledger.append(`key-${i}`, { account: `${i}` }));
  await barrier.reached(20);
  barrier.open();
  await Promise.all(calls);
  t.is(new Set(idByAccount.values()).size, 20);
});

test('a name with an unpaired surrogate is refused, because several names would give one id', async (t) => {
  const errors: unknown[] = [];
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth((_account, callback) => {
        for (const name of ['line \ud800', '\udfff']) errors.push(t.throws(() => stableId(name)));
        t.not(stableId('line \u{1f375}'), stableId('line \ufffd'));
        callback(null, {});
      }),
  });
  t.is((await ledger.append('key')).code, status.OK);
  t.true(errors.every((error) => error instanceof TypeError));
});
