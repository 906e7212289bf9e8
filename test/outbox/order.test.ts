import test, { type ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { type Outbox, SubscriptionEndedError, UndeliverableError } from 'grpc-replay-guard/outbox';
import pg from 'pg';
import { administer } from '../helpers/databases/administer.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  append,
  elapse,
  nameOf,
  note,
  notebook,
  openOutbox,
  relayTo,
  rounds,
  states,
} from '../helpers/databases/outbox.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const data = emptiedData(test);

/** Counts the claims through a database handle, and the events that they park. */
function countClaims(database: Database) {
  const counts = { claims: 0, parked: 0 };
  const query = database.query.bind(database);
  const counting = async (sql: string, params?: Parameters<Database['query']>[1]) => {
    const rows = await query(sql, params);
    if (!sql.includes('attempts = CASE WHEN')) return rows;
    counts.claims++;
    counts.parked += rows.filter(({ due_at }) => due_at === null).length;
    return rows;
  };
  database.query = counting as Database['query'];
  return counts;
}

function appendMany(outbox: Outbox, aggregate: string, count: number): Promise<void> {
  return outbox.database.transaction(async () => {
    for (let number = 1; number <= count; number++) await outbox.append(note(aggregate, number));
  });
}

const parked = async ({ database }: Outbox) =>
  (await database.query('SELECT event_id FROM replay_guard_outbox WHERE due_at IS NULL')).length;

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);
  const open = async (t: ExecutionContext) => openOutbox(await data(t, engine));

  it('events behind a dead letter are examined once and do not delay other aggregates', async (t) => {
    const outbox = await open(t);
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, async (event, attempt) => {
      if (nameOf(event) === 'blocked1') throw new UndeliverableError('never');
      await write(event, attempt);
    });
    await appendMany(outbox, 'blocked', 1);
    await relay.runOnce();
    await appendMany(outbox, 'blocked', 2_000);
    for (let number = 1; number <= 50; number++) await appendMany(outbox, `healthy${number}-`, 1);
    const counts = countClaims(outbox.database);
    const delivered = await rounds(relay);
    t.is(
      delivered.reduce((sum, count) => sum + count, 0),
      50,
    );
    t.false(notes.some((name) => name.startsWith('blocked')));
    t.is(counts.parked, 2_000);
    t.true(counts.claims <= 2_000 / 200 + 10, `${counts.claims} claims`);
    await rounds(relay);
    t.is(counts.parked, 2_000);
    t.is(await parked(outbox), 2_000);
  });

  it('300 events of one aggregate are delivered in order, each after one claim', async (t) => {
    const outbox = await open(t);
    const count = 300;
    await appendMany(outbox, 'a', count);
    const { notes, write } = notebook();
    const counts = countClaims(outbox.database);
    relayTo(t, outbox, write).start();
    await poll('all events are delivered', () => notes.length === count);
    t.deepEqual(
      notes,
      Array.from({ length: count }, (_, index) => `a${index + 1}`),
    );
    t.is(counts.parked, count - 1);
    t.true(counts.claims <= 2 * count + 10, `${counts.claims} claims`);
  });

  it('an advanced event is delivered before younger events of other aggregates', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['a', 2]);
    await elapse(outbox.database, 1_000);
    await append(outbox, ['b', 1], ['c', 1]);
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, { deliveries: { note: write }, concurrency: 1 });
    t.deepEqual(await rounds(relay), [1, 1, 1, 1]);
    t.deepEqual(notes.slice(0, 2), ['a1', 'a2']);
  });

  it('maintenance advances events that a crash left parked', async (t) => {
    const outbox = await open(t);
    await append(outbox, ['a', 1], ['a', 2], ['b', 1]);
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, write);
    await outbox.database.query('UPDATE replay_guard_outbox SET due_at = NULL');
    t.is(await relay.runOnce(), 0);
    await relay.runMaintenance();
    t.deepEqual(await rounds(relay), [2, 1]);
    t.deepEqual(notes.sort(), ['a1', 'a2', 'b1']);
  });

  it('an event behind a purged event is advanced', async (t) => {
    const outbox = await open(t);
    const { notes, write } = notebook();
    let isEnded = true;
    const relay = relayTo(
      t,
      outbox,
      async (event, attempt) => {
        if (isEnded) throw new SubscriptionEndedError('ended');
        await write(event, attempt);
      },
      { retentionMs: 1_000 },
    );
    await append(outbox, ['a', 1]);
    const round = relay.runOnce();
    await append(outbox, ['a', 2]);
    await round;
    await outbox.database.query('UPDATE replay_guard_outbox SET due_at = NULL WHERE sequence > 1');
    await elapse(outbox.database, 1_000);
    await append(outbox, ['b', 1]);
    await outbox.database.query(
      'UPDATE replay_guard_outbox SET created_at = created_at + 1000 WHERE sequence > 1',
    );
    await relay.runMaintenance();
    isEnded = false;
    await outbox.reopen('desk');
    t.is(await relay.runOnce(), 2);
    t.deepEqual(notes.sort(), ['a2', 'b1']);
  });
}

test.serial('postgres: an event that is parked while its predecessor ends is advanced', async (t) => {
  const source = await data(t, 'postgres');
  const [outbox, other] = [await openOutbox(source), await openOutbox(source)];
  // The transaction that parks an event waits for this lock after it has decided to park.
  await administer(
    source.url,
    `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$`,
  );
  await administer(
    source.url,
    `CREATE TRIGGER hold BEFORE UPDATE ON replay_guard_outbox FOR EACH ROW
     WHEN (OLD.due_at IS NOT NULL AND NEW.due_at IS NULL) EXECUTE FUNCTION hold()`,
  );
  const lock = new pg.Client({ connectionString: source.url });
  await lock.connect();
  t.teardown(() => lock.end());
  await lock.query('SELECT pg_advisory_lock(1)');

  const barrier = new Barrier();
  const { notes, write } = notebook();
  const one = relayTo(t, outbox, (event, attempt) => barrier.pass().then(() => write(event, attempt)));
  const two = relayTo(t, other, write);
  await append(outbox, ['a', 1]);
  const delivering = one.runOnce();
  await barrier.reached();
  await append(outbox, ['a', 2]);
  const parking = two.runOnce();
  await poll('the second relay waits for the lock', async () => {
    const waiting = await lock.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    return waiting.rows.length === 1;
  });
  barrier.open();
  t.is(await delivering, 1);
  await lock.query('SELECT pg_advisory_unlock(1)');
  t.is(await parking, 0);
  t.is(await two.runOnce(), 1);
  t.deepEqual(notes, ['a1', 'a2']);
  t.deepEqual(await states(outbox.database), [
    [1, 'delivered'],
    [1, 'delivered'],
  ]);
});
