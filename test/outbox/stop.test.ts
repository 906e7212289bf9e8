import test, { type ExecutionContext } from 'ava';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  append,
  elapse,
  LEASE_MS,
  NEVER_MS,
  notebook,
  openOutbox,
  RecordingObserver,
  relayTo,
  states,
} from '../helpers/databases/outbox.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const data = emptiedData(test);

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);
  const open = async (t: ExecutionContext) => openOutbox(await data(t, engine));

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
}
