import test, { type ExecutionContext } from 'ava';
import { SubscriptionEndedError } from 'grpc-replay-guard/outbox';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  append,
  elapse,
  NEVER_MS,
  notebook,
  openOutbox,
  RecordingObserver,
  relayTo,
  rounds,
  states,
} from '../helpers/databases/outbox.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const data = emptiedData(test);

/** The report of a destination without events. */
const idle = (destination: string) => ({ destination, pending: 0, dead: 0, oldestMs: 0, closed: [] });

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);

  it('an ended subscription gets no events until the destination is reopened', async (t) => {
    const outbox = await openOutbox(await data(t, engine), { note: ['desk', 'shelf'] });
    const recorder = new RecordingObserver();
    const { notes, write } = notebook();
    const barrier = new Barrier();
    let isOpen = false;
    const desk = {
      deliveries: {
        note: async (...given: Parameters<typeof write>) => {
          await barrier.pass();
          if (!isOpen) throw new SubscriptionEndedError('the receiver answered 410');
          await write(...given);
        },
      },
      endpoint: 'one',
    };
    const relay = relayTo(t, outbox, desk, { observer: recorder });
    await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
    const round = relay.runOnce();
    // Two deliveries run when the receiver ends the subscription.
    await barrier.reached(2);
    barrier.open();
    t.is(await round, 0);
    t.deepEqual(recorder.log, ['ended desk'], 'the observer is called once');
    isOpen = true;
    await append(outbox, ['c', 1]);
    t.deepEqual(await rounds(relay), []);
    t.is(barrier.arrived, 2, 'nothing more was sent');
    t.deepEqual(
      await rounds(relayTo(t, outbox, write, { destinations: { shelf: { deliveries: { note: write } } } })),
      [3, 1],
    );
    notes.length = 0;

    const report = await outbox.report();
    t.like(report[0], { destination: 'desk', pending: 4, dead: 0 });
    t.is(report[0]?.closed[0]?.reason, 'the receiver answered 410');
    t.true(Math.abs((report[0]?.closed[0]?.at.getTime() ?? 0) - Date.now()) < 3_600_000);
    t.like(report[1], { destination: 'shelf', pending: 0, dead: 0, oldestMs: 0, closed: [] });
    t.is(report.length, 2);
    t.deepEqual(await states(outbox.database), Array(4).fill([0, 'pending']), 'no attempt was counted');

    t.false(await outbox.reopen('shelf'));
    t.true(await outbox.reopen('desk'));
    t.false(await outbox.reopen('desk'));
    t.deepEqual(await rounds(relay), [3, 1]);
    t.deepEqual(notes.sort(), ['a1', 'a2', 'b1', 'c1']);
    t.deepEqual(await outbox.report(), ['desk', 'shelf'].map(idle));
  });

  it('an ended subscription applies to its endpoint only, not to a later endpoint of the destination', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const { notes, write } = notebook();
    const recorder = new RecordingObserver();
    let sent = 0;
    const ending = async () => {
      sent++;
      throw new SubscriptionEndedError('ended');
    };
    await append(outbox, ['a', 1]);
    const one = relayTo(t, outbox, { deliveries: { note: ending }, endpoint: 'one' });
    t.is(await one.runOnce(), 0);
    t.is(await relayTo(t, outbox, { deliveries: { note: write }, endpoint: 'one' }).runOnce(), 0);
    const other = relayTo(
      t,
      outbox,
      { deliveries: { note: write }, endpoint: 'two' },
      { observer: recorder, retentionMs: 1_000 },
    );
    t.is(await other.runOnce(), 1);
    t.deepEqual(notes, ['a1']);
    await other.runMaintenance();
    t.deepEqual(recorder.reports.at(-1)?.closed, [], 'the current endpoint is open');
    t.is((await outbox.report())[0]?.closed[0]?.endpoint, 'one');
    await append(outbox, ['b', 1]);
    t.is(await one.runOnce(), 0, 'a relay with the old endpoint sends nothing');
    t.is(await other.runOnce(), 1);
    t.is(sent, 1);
    await elapse(outbox.database, 1_000);
    await other.runMaintenance();
    const [desk] = await outbox.report();
    t.deepEqual(desk?.closed, [], 'the old endpoint is deleted after the retention');
  });

  it('reopen opens every endpoint of a destination', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const ending = async () => Promise.reject(new SubscriptionEndedError('ended'));
    await append(outbox, ['a', 1]);
    for (const endpoint of ['one', 'two']) {
      t.is(await relayTo(t, outbox, { deliveries: { note: ending }, endpoint }).runOnce(), 0);
    }
    const [report] = await outbox.report();
    t.deepEqual(report?.closed.map(({ endpoint }) => endpoint).sort(), ['one', 'two']);
    t.true(await outbox.reopen('desk'));
    t.deepEqual((await outbox.report())[0]?.closed, []);
    const { notes, write } = notebook();
    t.is(await relayTo(t, outbox, { deliveries: { note: write }, endpoint: 'one' }).runOnce(), 1);
    t.deepEqual(notes, ['a1']);
  });

  it('the retention of waiting events counts from the end of the subscription', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    let answer: Error = new Error('down');
    const relay = relayTo(t, outbox, async () => Promise.reject(answer), { retentionMs: 1_000 });
    await append(outbox, ['a', 1], ['b', 1]);
    await relay.runOnce();
    await elapse(outbox.database, NEVER_MS);
    answer = new SubscriptionEndedError('ended');
    await relay.runOnce();
    await relay.runMaintenance();
    t.is((await states(outbox.database)).length, 2);
    await elapse(outbox.database, 1_000);
    await relay.runMaintenance();
    t.deepEqual(await states(outbox.database), []);
  });

  it('events behind an ended subscription are purged after the retention', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const recorder = new RecordingObserver();
    const ending = async () => Promise.reject(new SubscriptionEndedError('ended'));
    const relay = relayTo(t, outbox, ending, { observer: recorder, retentionMs: 1_000, purgeBatch: 2 });
    await append(outbox, ['a', 1], ['b', 1], ['c', 1]);
    await relay.runOnce();
    await elapse(outbox.database, 1_000);
    await append(outbox, ['d', 1]);
    await relay.runMaintenance();
    t.deepEqual(recorder.log, ['ended desk', 'purged 2', 'purged 1']);
    t.deepEqual(await states(outbox.database), [[0, 'pending']]);
    await elapse(outbox.database, 1_000);
    await outbox.reopen('desk');
    await relay.runMaintenance();
    t.deepEqual(
      await states(outbox.database),
      [[0, 'pending']],
      'events of an open subscription have no expiry',
    );
  });
}
