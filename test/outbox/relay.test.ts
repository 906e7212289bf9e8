import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import type { Database } from 'grpc-replay-guard';
import { backoffMs } from '#src/outbox/backoff.js';
import type { Delivery, OutboxEvent } from '#src/outbox/event.js';
import { createOutbox } from '#src/outbox/outbox.js';
import { createRelay } from '#src/outbox/relay.js';
import { Barrier } from '../helpers/barrier.js';
import { engines, freshData } from '../helpers/engines.js';
import { openDatabase, openTables, randomIds, silent, TestClock } from '../helpers/shop.js';

interface Setting {
  readonly database: Database;
  readonly clock: TestClock;
}

const outboxOf = (setting: Setting) => createOutbox({ ...setting, ids: randomIds });

function relayOf(setting: Setting, note: Delivery, leaseMs = 60_000) {
  return createRelay({ ...setting, deliveries: { note }, log: silent, leaseMs, random: () => 1 });
}

async function append({ database, clock }: Setting, ...events: [aggregate: string, number: number][]) {
  for (const [aggregate, number] of events) {
    await outboxOf({ database, clock }).append({ aggregate, type: 'note', payload: { number } });
  }
}

/** A delivery that writes down what it was given. */
function notebook() {
  const notes: string[] = [];
  const write = async ({ aggregate, payload }: OutboxEvent) => {
    notes.push(`${aggregate}${(payload as { number: number }).number}`);
  };
  return { notes, write };
}

const rows = ({ database }: Setting) =>
  database.query(
    'SELECT attempts, last_error, done_at, due_at FROM outbox_events ORDER BY aggregate, sequence',
  );

for (const engine of engines) {
  const setUp = async (t: Parameters<typeof openDatabase>[0]): Promise<Setting> => ({
    database: await openDatabase(t, engine),
    clock: new TestClock(),
  });

  test(`${engine}: an event is there if and only if its transaction commits`, async (t) => {
    const setting = await setUp(t);
    const failing = setting.database.transaction(async () => {
      await append(setting, ['a', 1]);
      throw new Error('no');
    });
    await t.throwsAsync(failing, { message: 'no' });
    await setting.database.transaction(() => append(setting, ['a', 2]));
    const { notes, write } = notebook();
    t.is(await relayOf(setting, write).runOnce(), 1);
    t.deepEqual(notes, ['a2']);
  });

  test(`${engine}: the events of one aggregate come in their order, those of others beside them`, async (t) => {
    const setting = await setUp(t);
    await append(setting, ['a', 1], ['a', 2], ['b', 1], ['a', 3]);
    const { notes, write } = notebook();
    const relay = relayOf(setting, write);
    t.is(await relay.runOnce(), 2);
    t.deepEqual(notes.sort(), ['a1', 'b1']);
    t.deepEqual([await relay.runOnce(), await relay.runOnce(), await relay.runOnce()], [1, 1, 0]);
    t.deepEqual(notes.slice(2), ['a2', 'a3']);
  });

  test(`${engine}: what fails is tried again later and holds up only its own aggregate`, async (t) => {
    const setting = await setUp(t);
    await append(setting, ['a', 1], ['a', 2], ['b', 1]);
    const { notes, write } = notebook();
    let isDown = true;
    const relay = relayOf(setting, async (event) => {
      if (isDown && event.aggregate === 'a') throw new Error('down');
      await write(event);
    });
    t.is(await relay.runOnce(), 1);
    t.is(await relay.runOnce(), 0);
    t.like((await rows(setting))[0], { attempts: 1n, last_error: 'Error: down', done_at: null });
    setting.clock.advance(250);
    t.is(await relay.runOnce(), 0);
    setting.clock.advance(499);
    t.is((await rows(setting))[0]?.attempts, 2n);
    isDown = false;
    t.is(await relay.runOnce(), 0);
    setting.clock.advance(1);
    t.deepEqual([await relay.runOnce(), await relay.runOnce()], [1, 1]);
    t.deepEqual(notes, ['b1', 'a1', 'a2']);
    t.like((await rows(setting))[0], {
      attempts: 3n,
      last_error: null,
      done_at: BigInt(setting.clock.now()),
    });
  });

  test(`${engine}: an event that nobody delivers waits for somebody who does`, async (t) => {
    const setting = await setUp(t);
    await append(setting, ['a', 1]);
    const without = createRelay({ ...setting, deliveries: {}, log: silent });
    t.is(await without.runOnce(), 0);
    t.regex(String((await rows(setting))[0]?.last_error), /no delivery for events of type note/);
    setting.clock.advance(250);
    const { notes, write } = notebook();
    await relayOf(setting, write).runOnce();
    t.deepEqual(notes, ['a1']);
  });

  test(`${engine}: two relays deliver each event once`, async (t) => {
    const data = await freshData(t, engine);
    const clock = new TestClock();
    const one = { database: await openTables(data), clock };
    // Two servers cannot wait for each other's lock on a file in one thread.
    const two = engine === 'sqlite' ? one : { database: await openTables(data), clock };
    await append(one, ...Array.from({ length: 40 }, (_, i): [string, number] => [`${i % 20} `, i]));
    const { notes, write } = notebook();
    const relays = [relayOf(one, write), relayOf(two, write), relayOf(one, write), relayOf(two, write)];
    const rounds = async (relay: ReturnType<typeof relayOf>) => {
      while ((await rows(one)).some((row) => row.done_at === null)) {
        await relay.runOnce();
        // Reads of SQLite never leave the microtasks; the writer needs more than that.
        await setImmediate();
      }
    };
    await Promise.all(relays.map(rounds));
    t.is(notes.length, 40);
    t.is(new Set(notes).size, 40);
  });

  test(`${engine}: an event comes again when its lease ran out, and only the last claim marks it`, async (t) => {
    const setting = await setUp(t);
    await append(setting, ['a', 1], ['a', 2]);
    const barrier = new Barrier();
    const slow = relayOf(setting, () => barrier.pass(), 1000);
    const first = slow.runOnce();
    await barrier.reached();
    const { notes, write } = notebook();
    const other = relayOf(setting, write);
    t.is(await other.runOnce(), 0);
    setting.clock.advance(1000);
    const second = slow.runOnce();
    await barrier.reached(2);
    barrier.open();
    t.deepEqual(await Promise.all([first, second]), [0, 1]);
    t.is(await other.runOnce(), 1);
    t.deepEqual(notes, ['a2']);
  });

  test(`${engine}: what a relay left undone the next one delivers, after a restart`, async (t) => {
    const data = await freshData(t, engine);
    const clock = new TestClock();
    const before = await data.open();
    await openTables(data);
    await append({ database: before.database, clock }, ['a', 1], ['a', 2]);
    await relayOf({ database: before.database, clock }, async () =>
      Promise.reject(new Error('down')),
    ).runOnce();
    await before.close();
    clock.advance(250);
    const { notes, write } = notebook();
    const relay = relayOf({ database: await openTables(data), clock }, write);
    t.deepEqual([await relay.runOnce(), await relay.runOnce()], [1, 1]);
    t.deepEqual(notes, ['a1', 'a2']);
  });

  test(`${engine}: a started relay delivers by itself, is woken, and stops after what it has begun`, async (t) => {
    const setting = await setUp(t);
    await append(setting, ['a', 1]);
    const first = new Barrier();
    const second = new Barrier();
    const relay = createRelay({
      ...setting,
      deliveries: { note: ({ aggregate }) => (aggregate === 'a' ? first : second).pass() },
      log: silent,
      // So long that only waking explains the second delivery.
      pollMs: 3_600_000,
    });
    relay.start();
    await first.reached();
    await append(setting, ['b', 1]);
    relay.wake();
    first.open();
    await second.reached();
    await append(setting, ['c', 1]);
    let isStopped = false;
    const stopped = relay.stop().then(() => {
      isStopped = true;
    });
    await rows(setting);
    t.false(isStopped);
    second.open();
    await stopped;
    relay.wake();
    const done = (await rows(setting)).map((row) => row.done_at !== null);
    t.deepEqual(done, [true, true, false]);
  });
}

test('the wait doubles up to a minute, between half and all of it', (t) => {
  t.deepEqual(
    [1n, 2n, 3n, 9n, 1000n].map((attempt) => backoffMs(attempt, 1)),
    [250, 500, 1000, 60_000, 60_000],
  );
  t.deepEqual(
    [1n, 9n].map((attempt) => backoffMs(attempt, 0)),
    [125, 30_000],
  );
});
