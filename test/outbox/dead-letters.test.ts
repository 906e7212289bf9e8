import test, { type ExecutionContext } from 'ava';
import { UndeliverableError } from 'grpc-replay-guard/outbox';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  append,
  elapse,
  failing,
  LEASE_MS,
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

const data = emptiedData(test);

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);
  const open = async (t: ExecutionContext, routes?: Record<string, string[]>) =>
    openOutbox(await data(t, engine), routes);

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

  it('dead letters are listed oldest first up to the limit, and requeueAll requeues the dead letters of one destination', async (t) => {
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

  it('requeueAll requeues each dead letter once, in batches, while a relay makes new dead letters', async (t) => {
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
}
