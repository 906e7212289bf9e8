import test, { type ExecutionContext } from 'ava';
import { sequenceSettings } from '../helpers/calls/sequence-settings.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { openUrl } from '../helpers/databases/open-url.js';
import { type PostgresProxy, startProxy } from '../helpers/proxies/postgres-proxy.js';
import { type Ledger, methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const emptied = emptiedData(test);

/** The kind of each statement, in one word. */
const kinds: readonly [RegExp, string][] = [
  [/^BEGIN/, 'begin'],
  [/^UPDATE replay_guard_producers AS record/, 'claim'],
  [/INSERT INTO replay_guard_(records|producers)/, 'claim'],
  [/^SELECT fence FROM replay_guard_(records|producers)/, 'lock'],
  [/^SELECT state/, 'find'],
  [/^SET LOCAL lock_timeout = 25$/, 'shorten'],
  [/^SET LOCAL lock_timeout TO DEFAULT$/, 'restore'],
  [/^INSERT INTO effects/, 'work'],
  [/^UPDATE replay_guard_producers SET state = 1 WHERE/, 'release'],
  [/^UPDATE replay_guard_(records|producers)/, 'complete'],
  [/^DELETE FROM replay_guard_records/, 'release'],
  [/^COMMIT/, 'commit'],
  [/^ROLLBACK$/, 'rollback'],
];
const kindOf = (text: string) => kinds.find(([pattern]) => pattern.test(text))?.[1] ?? text;

interface Counted {
  readonly ledger: Ledger;
  readonly proxy: PostgresProxy;
  /** Resolves to the statements and round trips of `work` on a connection with prepared statements. */
  count(work: () => Promise<unknown>): Promise<{ statements: string[]; roundTrips: number }>;
}

/** Opens a ledger on one connection, behind a proxy that counts statements and round trips. */
async function counted(t: Parameters<typeof emptied>[0]): Promise<Counted> {
  const data = await emptied(t, 'postgres');
  const proxy = await startProxy(t, data.url, { latencyMs: 10 });
  const opened = await openUrl(proxy.url, { maxConnections: 1 });
  t.teardown(opened.close);
  const ledger = await openLedger(t, data, {
    opened,
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await writeEffect(database, account);
        if (account === 'fails') callback({ code: 9 });
        else if (account === 'aborts') callback({ code: 10 });
        else callback(null, {});
      }),
  });
  const count = async (work: () => Promise<unknown>) => {
    proxy.reset();
    await work();
    return { statements: proxy.statements.map(kindOf), roundTrips: proxy.roundTrips };
  };
  return { ledger, proxy, count };
}

/** Prepares every statement of every outcome on the one connection. */
async function warm(ledger: Ledger) {
  for (const method of methods)
    for (const account of ['ok', 'ok', 'fails', 'aborts'])
      await ledger.ask(method, `warm-${account}`, account);
}

test.serial(
  'postgres: a TRANSACTION call needs no more round trips than an unguarded transaction',
  async (t) => {
    const { ledger, count } = await counted(t);
    const { database } = ledger;
    const unguarded = () => database.transaction(() => writeEffect(database, 'plain'));
    await unguarded();
    await warm(ledger);
    const plain = await count(unguarded);
    const guarded = await count(() => ledger.append('key', { account: 'alice' }));
    t.deepEqual(plain.statements, ['begin', 'work', 'commit']);
    t.deepEqual(guarded.statements, ['begin', 'shorten', 'claim', 'restore', 'work', 'complete', 'commit']);
    t.is(plain.roundTrips, 3);
    t.is(guarded.roundTrips, plain.roundTrips);
  },
);

test.serial('postgres: a LEASE call commits twice', async (t) => {
  const { ledger, count } = await counted(t);
  await warm(ledger);
  const { statements, roundTrips } = await count(() => ledger.transfer('key', { from: 'alice' }));
  const claiming = ['find', 'begin', 'shorten', 'claim', 'commit'];
  t.deepEqual(statements, [...claiming, 'begin', 'lock', 'work', 'complete', 'commit']);
  t.is(roundTrips, 5);
});

test.serial('postgres: a replay commits no write', async (t) => {
  const { ledger, count } = await counted(t);
  await warm(ledger);
  const replays = {
    append: ['begin', 'shorten', 'claim', 'find', 'rollback'],
    transfer: ['find'],
  };
  for (const method of methods) {
    await ledger.ask(method, 'key', 'alice');
    const replay = await count(() => ledger.ask(method, 'key', 'alice'));
    t.deepEqual(replay.statements, replays[method], method);
    // The end of the empty transaction travels with the look-up.
    t.is(replay.roundTrips, method === 'append' ? 2 : 1, method);
  }
});

test.serial('postgres: a kept failure commits once, and another failure rolls back', async (t) => {
  const { ledger, count } = await counted(t);
  await warm(ledger);
  const kept = await count(() => ledger.append('kept', { account: 'fails' }));
  t.deepEqual(kept.statements, [
    ...['begin', 'shorten', 'claim', 'restore', 'work', 'rollback'],
    ...['begin', 'shorten', 'claim', 'complete', 'commit'],
  ]);
  t.is(kept.roundTrips, 5);
  const released = await count(() => ledger.append('released', { account: 'aborts' }));
  t.deepEqual(released.statements, ['begin', 'shorten', 'claim', 'restore', 'work', 'rollback']);
  const lease = await count(() => ledger.transfer('released', { from: 'aborts' }));
  t.deepEqual(lease.statements.slice(-2), ['rollback', 'release']);
});

test.serial('postgres: a call with a sequence sends the same statements as a call with a key', async (t) => {
  const { ledger, count } = await counted(t);
  const calls = {
    append: (account: string, key?: string, settings = {}) => ledger.append(key, { account }, settings),
    transfer: (account: string, key?: string, settings = {}) =>
      ledger.transfer(key, { from: account }, settings),
  };
  await warm(ledger);
  for (const method of methods) {
    const ask = calls[method];
    const at = (sequence: number) => sequenceSettings(`producer of ${method}`, sequence);
    for (const account of ['ok', 'fails', 'aborts'])
      await ask(account, undefined, sequenceSettings(`warm ${account}`, 0));
    const kinds = [
      { account: 'ok', sequences: [0, 1, 2] },
      { account: 'fails', sequences: [3, 4] },
      { account: 'aborts', sequences: [5, 5] },
    ];
    for (const { account, sequences } of kinds) {
      const withKey = await count(() => ask(account, `${method} ${account}`));
      for (const sequence of sequences)
        t.deepEqual(
          await count(() => ask(account, undefined, at(sequence))),
          withKey,
          `${account} ${sequence}`,
        );
    }
    const replayOfKey = await count(() => ask('ok', `${method} ok`));
    t.deepEqual(await count(() => ask('ok', undefined, at(2))), replayOfKey);
  }
});

/** Opens a ledger with one connection, whose handlers wait at a barrier. */
async function waitingLedger(t: ExecutionContext) {
  const barrier = new Barrier();
  const data = await emptied(t, 'postgres');
  const proxy = await startProxy(t, data.url);
  const opened = await openUrl(proxy.url, { maxConnections: 1 });
  t.teardown(opened.close);
  const ledger = await openLedger(t, data, {
    opened,
    handlers: () => onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, {}))),
  });
  proxy.reset();
  return { barrier, proxy, ledger };
}

test.serial('postgres: duplicates that join an in-flight call send no statements', async (t) => {
  const { barrier, proxy, ledger } = await waitingLedger(t);
  const calls = [ledger.append('key')];
  await barrier.reached();
  calls.push(...Array.from({ length: 20 }, () => ledger.append('key')));
  barrier.open();
  await Promise.all(calls);
  t.is(ledger.outcomes.count('executed'), 1);
  t.deepEqual(proxy.statements.filter((text) => kindOf(text) === 'commit').length, 1);
  t.is(proxy.statements.filter((text) => kindOf(text) === 'complete').length, 1);
});

test.serial(
  'postgres: a call that waits for the previous sequence in this process sends no statements',
  async (t) => {
    const { barrier, proxy, ledger } = await waitingLedger(t);
    const call = (sequence: number) => ledger.append(undefined, {}, sequenceSettings('producer', sequence));
    const calls = [call(0)];
    await barrier.reached();
    calls.push(...[1, 2, 3, 4].map(call));
    barrier.open();
    for (const reply of await Promise.all(calls)) t.is(reply.code, 0);
    const kinds = proxy.statements.map(kindOf);
    const each = ['begin', 'shorten', 'claim', 'complete', 'commit'];
    t.deepEqual(kinds, [...each, ...each, ...each, ...each, ...each]);
  },
);
