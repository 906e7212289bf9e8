import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type Database, UnitOfWorkError } from 'grpc-replay-guard/database';
import { createOutbox, migrateOutbox, type NewEvent, type Outbox } from 'grpc-replay-guard/outbox';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { openUrl } from '../helpers/databases/open-url.js';
import { append, elapse, note, notebook, openOutbox, relayTo, rounds } from '../helpers/databases/outbox.js';
import { startProxy } from '../helpers/proxies/postgres-proxy.js';
import { methods, onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const data = emptiedData(test);

const waitingForLocks = async (database: Database) => {
  const [row] = await database.query(
    `SELECT COUNT(*) AS waiting FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return Number(row?.waiting);
};

const ids = async (database: Database) =>
  (await database.query('SELECT event_id FROM replay_guard_outbox ORDER BY event_id')).map(
    (row) => row.event_id,
  );

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);

  it('an event exists if and only if its transaction commits', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const { database } = outbox;
    const failing = (number: number) =>
      database.transaction(async () => {
        await outbox.append(note('a', number));
        throw new Error('no');
      });
    await t.throwsAsync(failing(1), { message: 'no' });
    await database.transaction(async () => {
      await outbox.append(note('a', 2));
      await t.throwsAsync(failing(3), { message: 'no' });
      await database.transaction(() => outbox.append(note('a', 4)));
    });
    const { notes, write } = notebook();
    t.deepEqual(await rounds(relayTo(t, outbox, write)), [1, 1]);
    t.deepEqual(notes, ['a2', 'a4']);
  });

  it('an append outside a unit of work is refused', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    await t.throwsAsync(outbox.append(note('a', 1)), {
      instanceOf: UnitOfWorkError,
      message: /append of an outbox must be called inside a unit of work: a guarded call, or/,
    });
    t.deepEqual(await ids(outbox.database), []);
  });

  it('an invalid event is refused, and the transaction can continue', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const cyclic: { self?: object } = {};
    cyclic.self = cyclic;
    const refused: [Partial<NewEvent>, typeof TypeError][] = [
      [{ type: 'nothing' }, TypeError],
      [{ type: 'constructor' }, TypeError],
      [{ payload: undefined }, TypeError],
      [{ payload: cyclic }, TypeError],
      [{ payload: 1n }, TypeError],
      [{ payload: 'x'.repeat(999) }, RangeError],
      [{ payload: Buffer.alloc(1_001) }, RangeError],
      [{ aggregate: '' }, RangeError],
      [{ aggregate: 'x'.repeat(256) }, RangeError],
      [{ aggregate: 'unpaired surrogate: \ud83d' }, RangeError],
      [{ aggregate: 'a\0b' }, RangeError],
    ];
    const [id] = await outbox.database.transaction(async () => {
      for (const [part, error] of refused) {
        await t.throwsAsync(outbox.append({ ...note('a', 1), ...part }), { instanceOf: error });
      }
      return [await outbox.append({ ...note('x'.repeat(255), 1), payload: 'x'.repeat(998) })];
    });
    t.deepEqual(await ids(outbox.database), [id]);
  });

  it('JSON and byte payloads are delivered unchanged', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const payloads = [
      { text: 'Grüße, 世界 🐘 \u0301 \\ \' " \0 $1', list: [1, null, { b: 1, a: 2 }], number: 1e21 },
      'text',
      0,
      null,
      [],
      Buffer.from([0, 1, 255]),
      Buffer.alloc(0),
    ];
    await outbox.database.transaction(async () => {
      for (const payload of payloads) await outbox.append({ type: 'note', aggregate: 'a', payload });
    });
    const received: unknown[] = [];
    const relay = relayTo(t, outbox, async ({ payload }) => void received.push(payload));
    t.is((await rounds(relay)).length, payloads.length);
    t.deepEqual(received, payloads);
  });

  it('an event goes to each destination in the route of its type, and an empty route is allowed', async (t) => {
    const routes = { note: ['desk', 'shelf', 'desk'], whisper: [] };
    const outbox = await openOutbox(await data(t, engine), routes);
    const [id] = await append(outbox, ['a', 1]);
    await outbox.database.transaction(() => outbox.append({ type: 'whisper', aggregate: 'a', payload: 1 }));
    const rows = await outbox.database.query(
      'SELECT event_id, destination FROM replay_guard_outbox ORDER BY destination',
    );
    t.deepEqual(rows, [
      { event_id: id as string, destination: 'desk' },
      { event_id: id as string, destination: 'shelf' },
    ]);
  });

  it('concurrent appends to one aggregate wait for each other and are delivered in the order of commits', async (t) => {
    const source = await data(t, engine);
    const routes = { note: ['desk', 'shelf'], memo: ['desk'] };
    const one = await openOutbox(source, routes);
    // Two SQLite handles in one thread block each other, so both names share one handle.
    const two = engine === 'sqlite' ? one : await openOutbox(source, routes);
    const { notes, write } = notebook();
    const relay = relayTo(t, one, { deliveries: { note: write, memo: write } });
    for (const [aggregate, fails] of [
      ['new', false],
      ['new', false],
      ['other', true],
    ] as const) {
      const [appended, held] = [new Barrier(), new Barrier()];
      const first = one.database.transaction(async () => {
        await one.append(note(aggregate, 1));
        void appended.pass();
        await held.pass();
        if (fails) throw new Error('no');
      });
      await appended.reached();
      let ended = false;
      const second = two.database.transaction(() => two.append({ ...note(aggregate, 2), type: 'memo' }));
      void second.then(() => {
        ended = true;
      });
      if (engine === 'postgres') {
        await append(two, ['beside', 1]);
        await poll(
          'the second append waits for a lock',
          async () => (await waitingForLocks(one.database)) === 1,
        );
      }
      for (let round = 0; round < 100; round++) await nextTurn();
      t.false(ended);
      held.open();
      await Promise.all([first.catch(() => {}), second]);
      notes.length = 0;
      await rounds(relay);
      const names = fails ? [`${aggregate}2`] : [`${aggregate}1`, `${aggregate}2`];
      t.deepEqual(
        notes.filter((name) => name !== 'beside1'),
        names,
      );
    }
  });

  it('the order of an aggregate continues after some or all earlier events were purged', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    await append(outbox, ['a', 1], ['a', 2]);
    const { notes, write } = notebook();
    const relay = relayTo(t, outbox, write, { retentionMs: 1_000 });
    t.is(await relay.runOnce(), 1);
    await elapse(outbox.database, 1_000);
    await relay.runMaintenance();
    await append(outbox, ['a', 3]);
    t.deepEqual(await rounds(relay), [1, 1]);
    await elapse(outbox.database, 1_000);
    await relay.runMaintenance();
    t.deepEqual(await ids(outbox.database), []);
    await append(outbox, ['a', 4], ['a', 5]);
    t.deepEqual(await rounds(relay), [1, 1]);
    t.deepEqual(notes, ['a1', 'a2', 'a3', 'a4', 'a5']);
  });

  for (const method of methods) {
    it(`a guarded call (${method}) commits its events with the reply, and rolls them back with a failure`, async (t) => {
      const source = await data(t, engine);
      const appended: string[] = [];
      const failures = [status.UNAVAILABLE, status.NOT_FOUND];
      let outbox: Outbox | undefined;
      const ledger = await openLedger(t, source, {
        handlers: (database) => {
          outbox = createOutbox({ database, routes: { note: ['desk'] } });
          return onBoth(async (account, callback) => {
            for (const number of [1, 2])
              appended.push(await (outbox as Outbox).append(note(account, number)));
            const code = failures.shift();
            callback(code ? { code } : null, {});
          });
        },
      });
      await migrateOutbox(ledger.database);
      t.is((await ledger.ask(method, 'k', 'a')).code, status.UNAVAILABLE);
      t.is((await ledger.ask(method, 'l', 'a')).code, status.NOT_FOUND);
      t.deepEqual(await ids(ledger.database), []);
      t.is((await ledger.ask(method, 'k', 'a')).code, status.OK);
      t.true((await ledger.ask(method, 'k', 'a')).replayed);
      t.is((await ledger.ask(method, 'm', 'a')).code, status.OK);
      t.is(new Set(appended).size, 8, 'every append has a new id');
      t.deepEqual(await ids(ledger.database), appended.slice(4).sort());
    });
  }

  it('a key that is used again after its retention appends a new event', async (t) => {
    const source = await data(t, engine);
    const ledger = await openLedger(t, source, {
      handlers: (database) => {
        const outbox = createOutbox({ database, routes: { note: ['desk', 'shelf'] } });
        return onBoth(async (account, callback) => {
          await outbox.append(note(account, 1));
          callback(null, {});
        });
      },
    });
    await migrateOutbox(ledger.database);
    await ledger.append('k', { account: 'a' });
    await ledger.database.query('DELETE FROM replay_guard_records WHERE TRUE');
    const again = await ledger.append('k', { account: 'a' });
    t.deepEqual([again.code, again.replayed], [status.OK, false]);
    t.is((await ids(ledger.database)).length, 4);
    t.is(new Set(await ids(ledger.database)).size, 2);
  });
}

test.serial(
  'postgres: an append is one statement, and many appends share one NOTIFY after the commit',
  async (t) => {
    const source = await data(t, 'postgres');
    await openOutbox(source);
    const proxy = await startProxy(t, source.url);
    const opened = await openUrl(proxy.url);
    t.teardown(() => opened.close());
    const outbox = createOutbox({ database: opened.database, routes: { note: ['desk', 'shelf'] } });
    await append(outbox, ['a', 1]);
    await poll('the first NOTIFY', () => proxy.statements.some((text) => text.includes('pg_notify')));
    proxy.reset();
    await outbox.database.transaction(async () => {
      for (const number of [2, 3, 4, 5]) await outbox.append(note('a', number));
    });
    // The first transaction of a connection also reads the settings of its session.
    const sent = () => proxy.statements.filter((text) => !text.startsWith('SELECT differs'));
    const words = () => sent().map((text) => text.split(/\s/, 1)[0]);
    const commit = ['BEGIN', 'INSERT', 'INSERT', 'INSERT', 'INSERT', 'COMMIT'];
    t.deepEqual(words().slice(0, commit.length), commit);
    await poll('the NOTIFY statements', () => words().length === commit.length + 2);
    // The first NOTIFY covers the first event. The second covers all events appended during the first NOTIFY.
    await append(outbox, ['a', 6]);
    t.deepEqual(words().slice(commit.length, commit.length + 3), ['SELECT', 'SELECT', 'BEGIN']);
  },
);
