import test, { type ExecutionContext } from 'ava';
import { type Delivery, UndeliverableError } from 'grpc-replay-guard/outbox';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  append,
  elapse,
  failing,
  LEASE_MS,
  NEVER_MS,
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

  it('a blocked destination does not delay another destination', async (t) => {
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
    for (const [name, lateDelivery] of ends) {
      await append(outbox, [name, 1]);
      const barrier = new Barrier();
      const recorder = new RecordingObserver();
      const lateRun = relayTo(t, outbox, lateDelivery(barrier), { observer: recorder }).runOnce();
      await barrier.reached();
      await append(outbox, [name, 2]);
      const [resumed, { notes, write }] = [new Barrier(), notebook()];
      const relay = relayTo(t, outbox, (event, attempt) => resumed.pass().then(() => write(event, attempt)));
      t.is(await relay.runOnce(), 0, 'the lease has not expired');
      await elapse(outbox.database, LEASE_MS);
      const round = relay.runOnce();
      await resumed.reached();
      barrier.open();
      t.is(await lateRun, 0);
      t.deepEqual(recorder.log, [`lost ${name}`]);
      t.is(await relayTo(t, outbox, write).runOnce(), 0, 'the second relay still has the lease');
      resumed.open();
      t.is(await round, 1);
      t.deepEqual(await rounds(relay), [1]);
      t.deepEqual(notes, [`${name}1`, `${name}2`]);
    }
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

  it('a delivery that ends in its own abort listener keeps its result', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['b', 1]);
    const recorder = new RecordingObserver();
    const deliveries: Record<string, Delivery> = {
      note: ({ aggregate }, { signal }) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => {
            if (aggregate === 'a') resolve();
            else reject(new UndeliverableError('refused'));
          });
        }),
    };
    const relay = relayTo(t, outbox, { deliveries, timeoutMs: 5 }, { observer: recorder });
    t.is(await relay.runOnce(), 1);
    t.deepEqual(recorder.log.sort(), ['dead b', 'delivered a']);
    t.deepEqual(await states(outbox.database), [
      [1, 'delivered'],
      [1, 'dead'],
    ]);
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
