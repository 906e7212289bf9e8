import test, { type ExecutionContext } from 'ava';
import {
  createOutbox,
  createRelay,
  type Delivery,
  type Destination,
  type RelayOptions,
  UndeliverableError,
} from 'grpc-replay-guard/outbox';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  append,
  elapse,
  NEVER_MS,
  nameOf,
  note,
  notebook,
  openOutbox,
  RecordingObserver,
  relayTo,
  rounds,
  states,
} from '../helpers/databases/outbox.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const data = emptiedData(test);

/** Longer than a lease with the default timeout. */
const LEASE_MS = 60_000;

const failing: Delivery = async () => {
  throw new Error('down', { cause: new Error('the cause') });
};

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);
  const open = async (t: ExecutionContext, routes?: Record<string, string[]>) =>
    openOutbox(await data(t, engine), routes);

  it('events of one aggregate are delivered in order, and other aggregates in parallel', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['a', 2], ['b', 1], ['a', 3]);
    const { notes, write } = notebook();
    t.deepEqual(await rounds(relayTo(t, outbox, write)), [2, 1, 1]);
    t.deepEqual(notes.slice(0, 2).sort(), ['a1', 'b1']);
    t.deepEqual(notes.slice(2), ['a2', 'a3']);
  });

  it('a relay delivers at most as many events at once as the concurrency of the destination', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['b', 1], ['c', 1], ['d', 1], ['e', 1]);
    const barrier = new Barrier();
    const relay = relayTo(t, outbox, { deliveries: { note: () => barrier.pass() }, concurrency: 2 });
    const round = relay.runOnce();
    await barrier.reached(2);
    t.is(await relay.runOnce(), 0);
    t.is(barrier.arrived, 2);
    barrier.open();
    t.is(await round, 2);
    t.deepEqual(await rounds(relay), [2, 1]);
  });

  it('a failed event is retried after its pause and delays only its own aggregate', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
    const { notes, write } = notebook();
    const attempts: [number, number][] = [];
    const recorder = new RecordingObserver();
    const relay = relayTo(
      t,
      outbox,
      {
        deliveries: {
          note: async (event, attempt) => {
            if (event.aggregate === 'a') attempts.push([attempt.number, attempt.firstAt.getTime()]);
            if (event.aggregate === 'a' && attempts.length < 3) return failing(event, attempt);
            return write(event, attempt);
          },
        },
        retry: { initialBackoffMs: 10_000 },
      },
      { observer: recorder },
    );
    t.is(await relay.runOnce(), 1);
    t.is(await relay.runOnce(), 0);
    await elapse(outbox.database, 10_000);
    t.is(await relay.runOnce(), 0);
    await elapse(outbox.database, 10_000);
    t.is(await relay.runOnce(), 0, 'the second pause is twice as long');
    t.is(attempts.length, 2);
    await elapse(outbox.database, 10_000);
    t.deepEqual(await rounds(relay), [1, 1]);
    t.deepEqual(notes, ['b1', 'a1', 'a2']);
    t.deepEqual(
      attempts.map(([number]) => number),
      [1, 2, 3, 1],
    );
    t.is(attempts[0]?.[1], attempts[2]?.[1], 'firstAt is equal in every attempt');
    t.deepEqual(recorder.log.slice(0, 3).sort(), ['delivered b', 'failed a', 'failed a']);
  });

  it('a blocked destination does not delay another one', async (t) => {
    const outbox = await open(t, { note: ['desk', 'shelf'] });
    await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
    const barrier = new Barrier();
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, () => barrier.pass(), {
      destinations: {
        desk: { deliveries: { note: () => barrier.pass() }, concurrency: 1 },
        shelf: { deliveries: { note: write } },
      },
    });
    relay.start();
    await barrier.reached();
    await poll('all events are delivered to the shelf', async () =>
      (await states(outbox.database, 'shelf')).every(([, state]) => state === 'delivered'),
    );
    t.deepEqual(notes.sort(), ['a1', 'a2', 'b1']);
    t.deepEqual((await states(outbox.database)).map(([attempts]) => attempts).sort(), [0, 0, 1]);
    barrier.open();
  });

  it('a relay does not claim events of destinations that it does not serve', async (t) => {
    const outbox = await open(t, { note: ['desk', 'shelf'] });
    await append(outbox, ['a', 1]);
    t.deepEqual(await rounds(relayTo(t, outbox, async () => {})), [1]);
    t.deepEqual(await states(outbox.database, 'shelf'), [[0, 'pending']]);
  });

  it('an event without a delivery for its type waits for a relay with one', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1]);
    const recorder = new RecordingObserver();
    t.is(await relayTo(t, outbox, { deliveries: {} }, { observer: recorder }).runOnce(), 0);
    t.regex(String(recorder.errors[0]), /no delivery for events of type note/);
    await elapse(outbox.database, NEVER_MS);
    t.is(await relayTo(t, outbox, async () => {}).runOnce(), 1);
  });

  it('an event is delivered again after its lease, and the first relay cannot mark it any more', async (t) => {
    const ends: [string, (barrier: Barrier) => Delivery][] = [
      ['delivered', (barrier) => () => barrier.pass()],
      [
        'failed',
        (barrier) =>
          async (...given) =>
            barrier.pass().then(() => failing(...given)),
      ],
      [
        'undeliverable',
        (barrier) => async () => barrier.pass().then(() => Promise.reject(new UndeliverableError('no'))),
      ],
    ];
    const outbox = await open(t);
    for (const [name, zombieDelivery] of ends) {
      await append(outbox, [name, 1]);
      const barrier = new Barrier();
      const recorder = new RecordingObserver();
      const zombie = relayTo(t, outbox, zombieDelivery(barrier), { observer: recorder }).runOnce();
      await barrier.reached();
      await append(outbox, [name, 2]);
      const [resumed, { notes, write }] = [new Barrier(), notebook()];
      const relay = relayTo(t, outbox, (event, attempt) => resumed.pass().then(() => write(event, attempt)));
      t.is(await relay.runOnce(), 0, 'the lease has not expired');
      await elapse(outbox.database, LEASE_MS);
      const round = relay.runOnce();
      await resumed.reached();
      barrier.open();
      t.is(await zombie, 0);
      t.deepEqual(recorder.log, [`lost ${name}`]);
      t.is(await relayTo(t, outbox, write).runOnce(), 0, 'the second relay still has the lease');
      resumed.open();
      t.is(await round, 1);
      t.deepEqual(await rounds(relay), [1]);
      t.deepEqual(notes, [`${name}1`, `${name}2`]);
    }
  });

  it('an event is a dead letter after its last attempt, and later events of the aggregate wait', async (t) => {
    const outbox = await open(t);
    const [id] = await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
    const recorder = new RecordingObserver();
    const { notes, write } = notebook();
    let works = false;
    const relay = relayTo(
      t,
      outbox,
      {
        deliveries: {
          note: (event, attempt) => (works || event.aggregate === 'b' ? write : failing)(event, attempt),
        },
        retry: { maxAttempts: 3 },
      },
      { observer: recorder },
    );
    for (const _ of [1, 2, 3]) {
      await relay.runOnce();
      await elapse(outbox.database, LEASE_MS);
    }
    t.deepEqual(recorder.log.slice(-2), ['failed a', 'dead a']);
    t.deepEqual(await rounds(relay), []);
    t.deepEqual(await states(outbox.database), [
      [3, 'dead'],
      [0, 'pending'],
      [1, 'delivered'],
    ]);
    const [letter, ...others] = await outbox.deadLetters();
    t.deepEqual(others, []);
    t.like(letter, {
      eventId: id as string,
      destination: 'desk',
      type: 'note',
      aggregate: 'a',
      attempts: 3,
      error: 'Error: down: the cause',
    });
    t.deepEqual(
      Object.keys(letter ?? {})
        .sort()
        .slice(0, 5),
      ['aggregate', 'appendedAt', 'attempts', 'deadAt', 'destination'],
    );
    t.true((letter?.deadAt.getTime() ?? 0) >= (letter?.appendedAt.getTime() ?? Number.NaN));

    works = true;
    t.is(await outbox.requeue('no such event'), 0);
    t.is(await outbox.requeue(id as string), 1);
    t.is(await outbox.requeue(id as string), 0, 'the event is no longer a dead letter');
    t.deepEqual(await outbox.deadLetters(), []);
    t.deepEqual(await rounds(relay), [1, 1]);
    t.deepEqual(notes, ['b1', 'a1', 'a2']);
    t.is(await outbox.requeue(id as string), 0, 'a delivered event cannot be requeued');
  });

  it('a requeued dead letter has the full number of attempts', async (t) => {
    const outbox = await open(t);
    const [id] = await append(outbox, ['a', 1]);
    const relay = relayTo(t, outbox, { deliveries: { note: failing }, retry: { maxAttempts: 2 } });
    for (const _ of [1, 2]) {
      await relay.runOnce();
      await elapse(outbox.database, LEASE_MS);
      await relay.runOnce();
      t.deepEqual(await states(outbox.database), [[2, 'dead']]);
      t.is(await outbox.requeue(id as string), 1);
    }
  });

  it('the events behind a discarded dead letter are delivered', async (t) => {
    const outbox = await open(t);
    const [id] = await append(outbox, ['a', 1], ['a', 2]);
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, async (event, attempt) => {
      if (nameOf(event) === 'a1') throw new UndeliverableError('never');
      await write(event, attempt);
    });
    t.is(await outbox.discard(id as string), 0, 'a pending event cannot be discarded');
    t.is(await relay.runOnce(), 0);
    t.deepEqual(await states(outbox.database), [
      [1, 'dead'],
      [0, 'pending'],
    ]);
    t.is(await outbox.discard(id as string), 1);
    t.is(await outbox.requeue(id as string), 0, 'a discarded event cannot be requeued');
    t.deepEqual(await rounds(relay), [1]);
    t.deepEqual(notes, ['a2']);
    t.deepEqual(await states(outbox.database), [
      [1, 'discarded'],
      [1, 'delivered'],
    ]);
  });

  it('dead letters are listed oldest first up to the limit, and requeueAll requeues those of one destination', async (t) => {
    const outbox = await open(t, { note: ['desk', 'shelf'] });
    await append(outbox, ['a', 1], ['b', 1], ['c', 1]);
    const never = async () => Promise.reject(new UndeliverableError('never'));
    const shelf = { deliveries: { note: never }, concurrency: 1 };
    const relay = relayTo(t, outbox, never, { destinations: { desk: shelf, shelf } });
    for (const _ of [1, 2, 3]) {
      await relay.runOnce();
      await elapse(outbox.database, 10);
    }
    const letters = await outbox.deadLetters();
    t.deepEqual([...new Set(letters.map(({ aggregate }) => aggregate))], ['a', 'b', 'c']);
    t.is((await outbox.deadLetters(4)).length, 4);
    t.is(await outbox.requeueAll('desk'), 3);
    t.deepEqual([...new Set((await outbox.deadLetters()).map(({ destination }) => destination))], ['shelf']);
  });

  it('an event whose attempts never record a result becomes a dead letter', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1]);
    const barrier = new Barrier();
    const options = { deliveries: { note: () => barrier.pass() }, retry: { maxAttempts: 2 } };
    const crashes = [];
    for (const count of [1, 2]) {
      crashes.push(relayTo(t, outbox, options).runOnce());
      await barrier.reached(count);
      await elapse(outbox.database, LEASE_MS);
    }
    t.is(await relayTo(t, outbox, options).runOnce(), 0);
    t.is(barrier.arrived, 2, 'no further attempt was made');
    t.regex((await outbox.deadLetters())[0]?.error ?? '', /no attempt recorded a result/);
    barrier.open();
    await Promise.all(crashes);
  });

  it('an attempt that exceeds its timeout fails, also if it ignores its signal', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['b', 1]);
    const recorder = new RecordingObserver();
    const aborted: unknown[] = [];
    const deliveries: Record<string, Delivery> = {
      note: ({ aggregate }, { signal }) =>
        new Promise((_resolve, reject) => {
          if (aggregate === 'b') return;
          signal.addEventListener('abort', () => {
            aborted.push(signal.reason);
            reject(new Error('aborted'));
          });
        }),
    };
    const retry = { initialBackoffMs: NEVER_MS, maxBackoffMs: NEVER_MS };
    const relay = relayTo(t, outbox, { deliveries, timeoutMs: 5, retry }, { observer: recorder });
    t.is(await relay.runOnce(), 0);
    t.deepEqual(recorder.log.sort(), ['failed a', 'failed b']);
    t.like(aborted[0], { name: 'TimeoutError' });
    t.deepEqual(await states(outbox.database), [
      [1, 'pending'],
      [1, 'pending'],
    ]);
  });

  it('a stop waits for the running deliveries and starts no other', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['a', 2]);
    const barrier = new Barrier();
    const relay = relayTo(t, outbox, () => barrier.pass(), { graceMs: NEVER_MS });
    relay.start();
    await barrier.reached();
    let isStopped = false;
    const stop = relay.stop().then(() => {
      isStopped = true;
    });
    await append(outbox, ['b', 1]);
    relay.wake();
    t.false(isStopped);
    barrier.open();
    await stop;
    t.deepEqual(await states(outbox.database), [
      [1, 'delivered'],
      [0, 'pending'],
      [0, 'pending'],
    ]);
  });

  it('a stop aborts deliveries after graceMs, and another relay delivers them after their lease', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['b', 1]);
    const recorder = new RecordingObserver();
    const barrier = new Barrier();
    const signals: AbortSignal[] = [];
    const relay = relayTo(
      t,
      outbox,
      async ({ aggregate }, { signal }) => {
        signals.push(signal);
        await Promise.race([
          barrier.pass(),
          new Promise((_resolve, reject) => {
            if (aggregate === 'b') signal.addEventListener('abort', () => reject(new Error('aborted')));
          }),
        ]);
      },
      { graceMs: 1, observer: recorder },
    );
    relay.start();
    await barrier.reached(2);
    await relay.stop();
    t.true(signals.every((signal) => signal.aborted));
    t.deepEqual(recorder.log, []);
    const { notes, write } = notebook();
    const other = relayTo(t, outbox, write);
    t.is(await other.runOnce(), 0);
    await elapse(outbox.database, LEASE_MS);
    t.is(await other.runOnce(), 2);
    t.deepEqual(notes.sort(), ['a1', 'b1']);
    barrier.open();
  });

  it('an unreadable payload makes a dead letter that does not quote the payload', async (t) => {
    const outbox = await open(t);
    const [id] = await append(outbox, ['a', 1], ['b', 1]);
    await outbox.database.query('UPDATE replay_guard_outbox SET payload = $1 WHERE event_id = $2', [
      Buffer.from('{secret'),
      id as string,
    ]);
    const { notes, write } = notebook();
    t.is(await relayTo(t, outbox, write).runOnce(), 1);
    t.deepEqual(notes, ['b1']);
    const [letter] = await outbox.deadLetters();
    t.is(letter?.eventId, id);
    t.is(letter?.error, 'UndeliverableError: the stored payload is not valid JSON');
  });

  it('a relay that is stopped during a claim releases the claimed events', async (t) => {
    const source = await data(t, engine);
    const outbox = await openOutbox(source);
    await append(outbox, ['a', 1]);
    const [claimed, resumed] = [new Barrier(), new Barrier()];
    const query = outbox.database.query.bind(outbox.database);
    const slow = async (...given: Parameters<typeof query>) => {
      const rows = await query(...given);
      if (!given[0].includes('attempts = CASE WHEN')) return rows;
      void claimed.pass();
      await resumed.pass();
      return rows;
    };
    outbox.database.query = slow as typeof query;
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, write);
    relay.start();
    await claimed.reached();
    // The stop ends after graceMs, before the claim returns.
    await relay.stop();
    resumed.open();
    outbox.database.query = query;
    await poll('the claim is released', async () => (await states(outbox.database))[0]?.[0] === 0);
    t.deepEqual(notes, []);
    t.is(await relay.runOnce(), 0, 'a stopped relay claims nothing');
    t.is(await relayTo(t, outbox, write).runOnce(), 1, 'the event is due without a wait for the lease');
  });

  it('requeueAll requeues each dead letter once, in batches, while a relay makes new ones', async (t) => {
    const outbox = await open(t);
    await outbox.database.transaction(async () => {
      for (let number = 0; number < 1_100; number++) await outbox.append(note(`a${number}`, 1));
    });
    await outbox.database.query('UPDATE replay_guard_outbox SET dead_at = created_at, attempts = 5');
    const query = outbox.database.query.bind(outbox.database);
    let maxRows = 0;
    const measured = async (...given: Parameters<typeof query>) => {
      const rows = await query(...given);
      maxRows = Math.max(maxRows, rows.length);
      return rows;
    };
    outbox.database.query = measured as typeof query;
    relayTo(t, outbox, async () => Promise.reject(new UndeliverableError('never'))).start();
    t.is(await outbox.requeueAll('desk'), 1_100);
    t.is(await outbox.requeueAll('shelf'), 0);
    t.is(maxRows, 500);
  });

  it('a relay delivers undelivered events after a restart', async (t) => {
    const source = await data(t, engine);
    const before = await source.open();
    const outbox = await openOutbox({ ...source, open: async () => before });
    await append(outbox, ['a', 1], ['a', 2]);
    t.is(await relayTo(t, outbox, failing).runOnce(), 0);
    await before.close();
    const after = await openOutbox(source);
    await elapse(after.database, NEVER_MS);
    const { notes, write } = notebook();
    t.deepEqual(await rounds(relayTo(t, after, write)), [1, 1]);
    t.deepEqual(notes, ['a1', 'a2']);
  });
}

test.serial('options out of their range are refused by name', async (t) => {
  const outbox = await openOutbox(await data(t, 'sqlite'));
  const wrong: [string, Partial<Destination>][] = [
    ['timeoutMs', { timeoutMs: 0 }],
    ['timeoutMs', { timeoutMs: 1_000.5 }],
    ['concurrency', { concurrency: Number.NaN }],
    // A caller may compute a fraction, for example half of an odd number of processors.
    ['concurrency', { concurrency: 2.5 }],
    ['initialBackoffMs', { retry: { initialBackoffMs: -1 } }],
    ['maxBackoffMs', { retry: { maxBackoffMs: Number.POSITIVE_INFINITY } }],
    ['maxAttempts', { retry: { maxAttempts: 0 } }],
  ];
  for (const [name, options] of wrong) {
    const make = () => createRelay({ outbox, destinations: { desk: { deliveries: {}, ...options } } });
    t.throws(make, { instanceOf: TypeError, message: new RegExp(`^${name} of destination desk`) });
  }
  const never = Number.POSITIVE_INFINITY;
  // Node runs a timer above the maximum at once. A batch of size 0 would repeat for ever.
  const wrongRelayOptions: Partial<RelayOptions>[] = [
    ...[0, never, 2 ** 31].map((pollMs) => ({ pollMs })),
    ...[-1, never, 2 ** 31].map((graceMs) => ({ graceMs })),
    ...[-1, Number.NaN, 0.5].map((retentionMs) => ({ retentionMs })),
    ...[0, 2.5].map((purgeBatch) => ({ purgeBatch })),
  ];
  for (const options of wrongRelayOptions) {
    const [name] = Object.keys(options);
    const make = () => createRelay({ outbox, destinations: {}, ...options });
    t.throws(make, { instanceOf: TypeError, message: new RegExp(`^${name} must be a whole number`) });
  }
  t.notThrows(() => createRelay({ outbox, destinations: {}, graceMs: 0, retentionMs: 0 }));
  // A comparison with NaN is false, so no payload would be too large. SQLite treats a limit of -1 as unlimited.
  for (const number of [0, -1, 1.5, Number.NaN]) {
    const make = () => createOutbox({ database: outbox.database, routes: {}, maxPayloadBytes: number });
    t.throws(make, { instanceOf: TypeError, message: /^maxPayloadBytes must be/ });
    await t.throwsAsync(outbox.deadLetters(number), { instanceOf: TypeError, message: /^limit must be/ });
  }
  for (const routes of [{ '': ['desk'] }, { note: [''] }, { note: ['x'.repeat(256)] }]) {
    t.throws(() => createOutbox({ database: outbox.database, routes }), { instanceOf: RangeError });
  }
});
