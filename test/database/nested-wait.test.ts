import test from 'ava';
import { UnitOfWorkError } from 'grpc-replay-guard/database';
import { engines, openEngine } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';

const insert = 'INSERT INTO notes (id) VALUES ($1)';
const waitsForItself = { instanceOf: UnitOfWorkError, message: /nested transaction waits for a statement/ };

for (const engine of engines) {
  const open = async (t: Parameters<typeof openEngine>[0]) => {
    // The tests fail at the time limit of Ava if a transaction waits for its own limit.
    const { database } = await openEngine(t, engine, { unitLimitMs: 600_000 });
    await database.query('CREATE TABLE notes (id BIGINT PRIMARY KEY)');
    const ids = async () =>
      (await database.query('SELECT id FROM notes ORDER BY id')).map(({ id }) => Number(id));
    return { database, ids };
  };

  const waits: Record<string, (query: Promise<unknown>) => Promise<unknown>> = {
    await: async (query) => {
      await query;
    },
    'a returned promise': (query) => query,
    'Promise.all': (query) => Promise.all([query, null]),
    'a reaction': (query) => query.then((rows) => rows),
    'an async function around it': async (query) => (async () => query)(),
  };
  for (const [form, wait] of Object.entries(waits)) {
    test(`${engine}: a nested transaction that waits for an outer statement fails at once (${form})`, async (t) => {
      const { database, ids } = await open(t);
      const outer = database.transaction(async () => {
        await database.query(insert, [1]);
        const nestedRuns = new Barrier();
        let query: Promise<unknown> | undefined;
        const nested = database.transaction(async () => {
          await nestedRuns.pass();
          await database.query(insert, [2]);
          return wait(query as Promise<unknown>);
        });
        await nestedRuns.reached();
        query = database.query(insert, [3]);
        nestedRuns.open();
        await nested;
      });
      await t.throwsAsync(outer, waitsForItself);
      t.deepEqual(await ids(), []);
    });
  }

  test(`${engine}: a nested transaction that uses the handle of its outer transaction fails at once`, async (t) => {
    const { database, ids } = await open(t);
    for (const use of ['query', 'returned query', 'transaction'] as const) {
      const outer = database.transaction(async () => {
        const handle = database.current();
        await database.transaction(async () => {
          if (use === 'returned query') return handle.query(insert, [1]);
          if (use === 'query') return [await handle.query(insert, [1])];
          return [await handle.transaction(() => handle.query(insert, [1]))];
        });
      });
      await t.throwsAsync(outer, waitsForItself, use);
    }
    t.deepEqual(await ids(), []);
  });

  test(`${engine}: a nested transaction that waits for a sibling that has not started fails at once`, async (t) => {
    const { database, ids } = await open(t);
    const outer = database.transaction(async () => {
      const begun = new Barrier();
      let sibling: Promise<unknown> | undefined;
      const nested = database.transaction(async () => {
        await begun.pass();
        await sibling;
      });
      await begun.reached();
      sibling = database.transaction(() => database.query(insert, [1]));
      begun.open();
      await nested;
    });
    await t.throwsAsync(outer, waitsForItself);
    t.deepEqual(await ids(), []);
  });

  test(`${engine}: outer statements beside a nested transaction run after the nested transaction`, async (t) => {
    const { database, ids } = await open(t);
    await database.transaction(async () => {
      const handle = database.current();
      const begun = new Barrier();
      let fromInside: Promise<unknown> | undefined;
      const nested = database.transaction(async () => {
        // The nested transaction starts an outer statement, and does not wait for it.
        fromInside = handle.query(insert, [4]);
        await begun.pass();
        await database.query(insert, [1]);
        throw new Error('nested');
      });
      await begun.reached();
      const beside = [
        database.query(insert, [2]),
        database.transaction(() => database.query(insert, [3])),
        Promise.all([database.query(insert, [5])]),
      ];
      begun.open();
      await t.throwsAsync(nested, { message: 'nested' });
      await Promise.all([...beside, fromInside]);
    });
    t.deepEqual(await ids(), [2, 3, 4, 5]);
  });

  test(`${engine}: a statement that waits for a nested transaction fails when the unit exceeds its limit`, async (t) => {
    const { database } = await openEngine(t, engine, { unitLimitMs: 100 });
    const unit = database.transaction(async () => {
      const begun = new Barrier();
      let save: Promise<unknown> | undefined;
      const nested = database.transaction(async () => {
        await begun.pass();
        await save;
      });
      await begun.reached();
      // The promise of an async function does not show who waits for it.
      save = (async () => {
        await database.query('SELECT 1 AS one');
      })();
      begun.open();
      await nested;
    });
    await t.throwsAsync(unit, {
      instanceOf: UnitOfWorkError,
      message: /100 ms.*waited for a nested transaction/,
    });
  });
}
