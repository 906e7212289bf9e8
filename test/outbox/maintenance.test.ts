import test, { type ExecutionContext } from 'ava';
import { UndeliverableError } from 'grpc-replay-guard/outbox';
import { createPrometheusOutboxObserver } from 'grpc-replay-guard/outbox/prometheus';
import { Registry } from 'prom-client';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  append,
  elapse,
  failing,
  NEVER_MS,
  notebook,
  openOutbox,
  RecordingObserver,
  relayTo,
  rounds,
  states,
} from '../helpers/databases/outbox.js';
import { poll } from '../helpers/waiting/poll.js';

const data = emptiedData(test);

const letters = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

const failingDeletes = {
  sqlite: [
    "CREATE TRIGGER no_delete BEFORE DELETE ON replay_guard_outbox BEGIN SELECT RAISE(ABORT, 'not today'); END",
  ],
  postgres: [
    "CREATE FUNCTION no_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$",
    'CREATE TRIGGER no_delete BEFORE DELETE ON replay_guard_outbox EXECUTE FUNCTION no_delete()',
  ],
};

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);

  it('a failed purge does not stop the advance of parked events', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, write, { retentionMs: 1_000 });
    await append(outbox, ['a', 1]);
    await relay.runOnce();
    await elapse(outbox.database, 1_000);
    await append(outbox, ['b', 1]);
    // The state after a crash between parking and advancing.
    await outbox.database.query("UPDATE replay_guard_outbox SET due_at = NULL WHERE aggregate = 'b'");
    for (const statement of failingDeletes[engine]) await outbox.database.query(statement);
    await t.throwsAsync(relay.runMaintenance(), { any: true, message: /not today/ });
    t.is(await relay.runOnce(), 1);
    t.deepEqual(notes, ['a1', 'b1']);
  });

  it('events whose due time lies beyond every lease and pause become due: the clock was set back', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, write);
    const setBack =
      'UPDATE replay_guard_outbox SET due_at = due_at + 7200000, created_at = created_at + 7200000';
    await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
    await outbox.database.query(setBack);
    t.is(await relay.runOnce(), 0);
    await relay.runMaintenance();
    t.is(await relay.runOnce(), 2);
    // The second event of the aggregate is due since its creation, which lies ahead too.
    await relay.runMaintenance();
    t.is(await relay.runOnce(), 1);
    t.deepEqual(notes.sort(), ['a1', 'a2', 'b1']);
  });

  it('an event that waits for its next attempt is not due earlier', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const backoff = { initialBackoffMs: NEVER_MS, maxBackoffMs: NEVER_MS };
    const relay = relayTo(t, outbox, { deliveries: { note: failing }, retry: backoff });
    await append(outbox, ['a', 1]);
    t.is(await relay.runOnce(), 0);
    await relay.runMaintenance();
    t.is(await relay.runOnce(), 0);
    t.deepEqual(await states(outbox.database), [[1, 'pending']]);
  });

  it('a purge deletes only events that ended before the retention, in batches', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const recorder = new RecordingObserver();
    const options = { observer: recorder, retentionMs: 1_000, purgeBatch: 3 };
    const relay = relayTo(
      t,
      outbox,
      async ({ aggregate }) => {
        if (aggregate === 'dead') throw new UndeliverableError('never');
        if (aggregate === 'failing') throw new Error('down');
      },
      options,
    );
    await append(
      outbox,
      ...letters.map((letter): [string, number] => [letter, 1]),
      ['dead', 1],
      ['failing', 1],
    );
    const [appended] = await append(outbox, ['dead', 2]);
    await rounds(relay);
    const [letter] = await outbox.deadLetters();
    await outbox.discard(letter?.eventId as string);
    await relay.runOnce();
    t.truthy(appended);
    await elapse(outbox.database, 1_000);
    await append(outbox, ['a', 2]);
    t.is(await relay.runOnce(), 1);
    recorder.log.length = 0;
    await relay.runMaintenance();
    t.deepEqual(recorder.log, ['purged 3', 'purged 3', 'purged 2']);
    t.deepEqual(await states(outbox.database), [
      [1, 'delivered'],
      [1, 'dead'],
      [1, 'pending'],
    ]);
    await relay.runMaintenance();
    t.is(recorder.log.length, 3);
  });

  it('a started relay purges old events', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    await append(outbox, ['a', 1]);
    await relayTo(t, outbox, async () => {}).runOnce();
    await elapse(outbox.database, 1_000);
    relayTo(t, outbox, async () => {}, { retentionMs: 1_000 }).start();
    await poll('the event is deleted', async () => (await states(outbox.database)).length === 0);
    t.pass();
  });

  it('the metrics count pending, delivered and dead events', async (t) => {
    const outbox = await openOutbox(await data(t, engine), { note: ['desk', 'shelf'] });
    const registry = new Registry();
    const relay = relayTo(
      t,
      outbox,
      {
        deliveries: {
          note: async ({ aggregate }) => {
            if (aggregate === 'dead') throw new UndeliverableError('never');
            if (aggregate === 'failing') throw new Error('down');
          },
        },
        retry: { initialBackoffMs: NEVER_MS, maxBackoffMs: NEVER_MS },
      },
      { observer: createPrometheusOutboxObserver(registry), retentionMs: 1_000 },
    );
    await append(outbox, ['a', 1], ['dead', 1], ['dead', 2], ['failing', 1]);
    await relay.runOnce();
    await elapse(outbox.database, 90_000);
    await relay.runMaintenance();
    const lines = (await registry.metrics()).split('\n');
    const value = (name: string) => {
      const line = lines.find((each) => each.startsWith(`replay_guard_outbox_${name} `));
      return line && Number(line.split(' ').at(-1));
    };
    const [of, desk] = ['{destination="desk",type="note"}', '{destination="desk"}'];
    t.is(value(`delivered_total${of}`), 1);
    t.is(value(`failed_attempts_total${of}`), 2);
    t.is(value(`dead_letters_total${of}`), 1);
    t.is(value(`pending${desk}`), 2);
    t.is(value(`dead${desk}`), 1);
    t.is(value(`closed${desk}`), 0);
    t.is(value(`delivery_duration_seconds_count${desk}`), 3);
    t.is(value('purged_total'), 1);
    t.true(Number(value(`oldest_age_seconds${desk}`)) >= 90);
    t.false(
      lines.some((line) => /shelf|aggregate|failing/.test(line)),
      'only destinations of this relay, and only bounded labels',
    );
  });
}
