import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type Database, UnitOfWorkError } from 'grpc-replay-guard';
import { type NewEvent, Outbox, outboxSchema } from 'grpc-replay-guard/outbox';
import { Barrier } from '../helpers/barrier.js';
import { emptiedData } from '../helpers/emptied-data.js';
import { engines } from '../helpers/engines.js';
import { methods, onBoth, openLedger } from '../helpers/guarded-ledger.js';
import { openUrl } from '../helpers/open-url.js';
import { append, elapse, note, notebook, openOutbox, relayTo, rounds } from '../helpers/outbox.js';
import { poll } from '../helpers/poll.js';
import { startProxy } from '../helpers/proxy.js';

const data = emptiedData(test);

const ids = async (database: Database) =>
  (await database.query('SELECT event_id FROM replay_guard_outbox ORDER BY event_id')).map(
    (row) => row.event_id,
  );

for (const engine of engines) {
  const it = (title: string, check: (t: ExecutionContext) => Promise<void>) =>
    test.serial(`${engine}: ${title}`, check);

  it('an event is there if and only if its transaction commits', async (t) => {
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

  it('nothing is appended where nothing would bind it to a commit', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    await t.throwsAsync(outbox.append(note('a', 1)), { instanceOf: UnitOfWorkError });
    t.deepEqual(await ids(outbox.database), []);
  });

  it('what cannot be appended is refused, and the transaction goes on', async (t) => {
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
    ];
    const [id] = await outbox.database.transaction(async () => {
      for (const [part, error] of refused) {
        await t.throwsAsync(outbox.append({ ...note('a', 1), ...part }), { instanceOf: error });
      }
      return [await outbox.append({ ...note('x'.repeat(255), 1), payload: 'x'.repeat(998) })];
    });
    t.deepEqual(await ids(outbox.database), [id]);
  });

  it('payloads arrive as they were, JSON and bytes', async (t) => {
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
    const seen: unknown[] = [];
    const relay = relayTo(t, outbox, async ({ payload }) => void seen.push(payload));
    t.is((await rounds(relay)).length, payloads.length);
    t.deepEqual(seen, payloads);
  });

  it('an event goes to each destination of its type, and to none where the route says so', async (t) => {
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

  it('appends to one aggregate at once are ordered as their commits are', async (t) => {
    const source = await data(t, engine);
    const one = await openOutbox(source);
    // In one thread two servers cannot wait for each other on a file.
    const two = engine === 'sqlite' ? one : await openOutbox(source);
    for (const fails of [false, true]) {
      const [appended, held] = [new Barrier(), new Barrier()];
      const first = one.database.transaction(async () => {
        await one.append(note('a', 1));
        void appended.pass();
        await held.pass();
        if (fails) throw new Error('no');
      });
      await appended.reached();
      const others = [2, 3, 4].map((number) => append(two, ['a', number], ['b', number]));
      const beside = append(two, ['c', 1]);
      if (engine === 'postgres') await beside;
      held.open();
      await Promise.all([first.catch(() => {}), ...others, beside]);
      const { notes, write } = notebook();
      t.is((await rounds(relayTo(t, one, write))).length, fails ? 3 : 4);
      const ofA = notes.filter((name) => name.startsWith('a'));
      t.is(ofA.length, fails ? 3 : 4);
      if (!fails) t.is(ofA[0], 'a1');
      t.is(notes.length, fails ? 7 : 8);
      const places = await one.database.query(
        "SELECT DISTINCT sequence FROM replay_guard_outbox WHERE aggregate = 'a'",
      );
      t.is(places.length, fails ? 7 : 4);
    }
  });

  it('the order goes on where everything before was purged', async (t) => {
    const outbox = await openOutbox(await data(t, engine));
    const place = async () => {
      const [row] = await outbox.database.query('SELECT MAX(sequence) AS place FROM replay_guard_outbox');
      return row?.place as bigint;
    };
    await append(outbox, ['a', 1], ['a', 2]);
    const before = await place();
    const relay = relayTo(t, outbox, async () => {}, { retentionMs: 1_000 });
    t.is((await rounds(relay)).length, 2);
    await elapse(outbox.database, 1_000);
    await relay.tidy();
    t.deepEqual(await ids(outbox.database), []);
    await append(outbox, ['a', 3]);
    t.true((await place()) >= before);
  });

  for (const method of methods) {
    it(`in a guarded call (${method}): with the reply, and the same in every execution`, async (t) => {
      const source = await data(t, engine);
      const appended: string[] = [];
      const failures = [status.UNAVAILABLE, status.NOT_FOUND];
      let outbox: Outbox | undefined;
      const ledger = await openLedger(t, source, {
        handlers: (database) => {
          outbox = new Outbox({ database, routes: { note: ['desk'] } });
          return onBoth(async (account, callback) => {
            for (const number of [1, 2])
              appended.push(await (outbox as Outbox).append(note(account, number)));
            const code = failures.shift();
            callback(code ? { code } : null, {});
          });
        },
      });
      await ledger.database.migrate('outbox', outboxSchema);
      t.is((await ledger.ask(method, 'k', 'a')).code, status.UNAVAILABLE);
      t.is((await ledger.ask(method, 'l', 'a')).code, status.NOT_FOUND);
      t.deepEqual(await ids(ledger.database), []);
      t.is((await ledger.ask(method, 'k', 'a')).code, status.OK);
      t.true((await ledger.ask(method, 'k', 'a')).replayed);
      t.is((await ledger.ask(method, 'm', 'a')).code, status.OK);
      t.deepEqual(appended.slice(0, 2), appended.slice(4, 6), 'the same ids in both executions');
      t.is(new Set(appended).size, 6, 'others for other events and other operations');
      t.deepEqual(await ids(ledger.database), appended.slice(4).sort());
    });
  }

  it('an operation that is executed after its record was lost appends no second event', async (t) => {
    const source = await data(t, engine);
    const ledger = await openLedger(t, source, {
      handlers: (database) => {
        const outbox = new Outbox({ database, routes: { note: ['desk', 'shelf'] } });
        return onBoth(async (account, callback) => {
          await outbox.append(note(account, 1));
          callback(null, {});
        });
      },
    });
    await ledger.database.migrate('outbox', outboxSchema);
    await ledger.append('k', { account: 'a' });
    const before = await ids(ledger.database);
    await ledger.database.query('DELETE FROM replay_guard_records WHERE TRUE');
    const again = await ledger.append('k', { account: 'a' });
    t.deepEqual([again.code, again.replayed], [status.OK, false]);
    t.deepEqual(await ids(ledger.database), before);
  });
}

test.serial(
  'postgres: an append is one statement, and telling of many is one more, after the commit',
  async (t) => {
    const source = await data(t, 'postgres');
    await openOutbox(source);
    const proxy = await startProxy(t, source.url);
    const opened = await openUrl(proxy.url);
    t.teardown(() => opened.close());
    const outbox = new Outbox({ database: opened.database, routes: { note: ['desk', 'shelf'] } });
    await append(outbox, ['a', 1]);
    await poll('it was told of', () => proxy.statements.some((text) => text.includes('pg_notify')));
    proxy.reset();
    await outbox.database.transaction(async () => {
      for (const number of [2, 3, 4, 5]) await outbox.append(note('a', number));
    });
    const words = () => proxy.statements.map((text) => text.split(/\s/, 1)[0]);
    const commit = ['BEGIN', 'INSERT', 'INSERT', 'INSERT', 'INSERT', 'COMMIT'];
    t.deepEqual(words().slice(0, commit.length), commit);
    await poll('they were told of', () => words().length === commit.length + 2);
    // The first tells of the first; one more tells of all that came meanwhile.
    await append(outbox, ['a', 6]);
    t.deepEqual(words().slice(commit.length, commit.length + 3), ['SELECT', 'SELECT', 'BEGIN']);
  },
);
