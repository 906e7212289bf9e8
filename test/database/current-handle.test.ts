import { AsyncResource } from 'node:async_hooks';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { type Database, UnitOfWorkError } from 'grpc-replay-guard/database';
import { engines, openEngine } from '../helpers/databases/engines.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';

type Task = () => Promise<unknown>;

const refused = { instanceOf: UnitOfWorkError, message: /database\.current\(\)/ };

/**
 * A queue as many libraries have it: one task at a time. A task runs in the asynchronous context of the task before,
 * and so in the context of another call.
 */
class SharedQueue {
  readonly #waiting: Task[] = [];
  #isBusy = false;

  add(work: Task): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => work().then(resolve, reject));
      if (!this.#isBusy) this.#next();
    });
  }

  #next(): void {
    const task = this.#waiting.shift();
    this.#isBusy = task !== undefined;
    task?.().finally(() => this.#next());
  }
}

for (const engine of engines) {
  for (const method of methods) {
    for (const remedy of ['current()', 'AsyncResource.bind'] as const) {
      test(`${engine} ${method}: with ${remedy}, a task of a shared queue writes in its own call`, async (t) => {
        const queue = new SharedQueue();
        const [running, failing] = [new Barrier(), new Barrier()];
        const ledger = await openLedger(t, engine, {
          handlers: (database) =>
            onBoth(async (account, callback) => {
              const handle = remedy === 'current()' ? database.current() : database;
              const task: Task = async () => {
                // SQLite has one writer, so the tasks of other calls begin after the first call has ended.
                if (account === 'first') await running.pass();
                await handle.transaction(() => writeEffect(handle, account));
              };
              try {
                await queue.add(remedy === 'current()' ? task : AsyncResource.bind(task));
                if (account === 'first') await failing.pass();
                callback(account === 'first' ? { code: status.INTERNAL } : null, { entryId: account });
              } catch (error) {
                callback({ code: status.ABORTED, details: String(error) });
              }
            }),
        });
        const first = ledger.ask(method, 'key-1', 'first');
        await running.reached();
        const second = ledger.ask(method, 'key-2', 'second');
        running.open();
        await failing.reached();
        if (engine === 'postgres') t.is((await second).code, status.OK);
        failing.open();
        t.is((await first).code, status.INTERNAL);
        t.is((await second).code, status.OK);
        t.deepEqual(await ledger.effects(), ['second']);
      });
    }

    test(`${engine} ${method}: a worker that outlives its call is refused in every later call`, async (t) => {
      const later: { use: (database: Database) => unknown; done: (error: unknown) => void }[] = [];
      const ready = new Barrier();
      let working: Promise<void> | undefined;
      let isStopped = false;
      let wake = () => {};
      const work = async (database: Database) => {
        while (!isStopped) {
          const job = later.shift();
          if (!job)
            await new Promise<void>((resolve) => {
              wake = resolve;
              void ready.pass();
            });
          else await (async () => job.use(database))().then(job.done, job.done);
        }
      };
      const uses: Record<string, (database: Database) => unknown> = {
        write: (database) => writeEffect(database, 'foreign'),
        read: (database) => database.query('SELECT account FROM effects'),
        transaction: (database) => database.transaction(async () => {}),
        afterCommit: (database) => database.afterCommit(() => {}),
        current: (database) => database.current(),
      };
      const ledger = await openLedger(t, engine, {
        handlers: (database) =>
          onBoth(async (account, callback) => {
            if (account === 'starter') {
              await writeEffect(database, account);
              working = work(database);
            } else {
              const error = await new Promise((done) => {
                later.push({ use: uses[account] as (database: Database) => unknown, done });
                wake();
              });
              t.throws(
                () => {
                  throw error;
                },
                refused,
                account,
              );
            }
            callback(null, { entryId: account });
          }),
      });
      t.is((await ledger.ask(method, 'starter', 'starter')).code, status.OK);
      await ready.reached();
      for (const use of Object.keys(uses)) t.is((await ledger.ask(method, use, use)).code, status.OK);
      isStopped = true;
      wake();
      await working;
      t.deepEqual(await ledger.effects(), ['starter']);
    });
  }

  test(`${engine}: a handle from outside of every unit of work writes on its own inside of one`, async (t) => {
    const { database } = await openEngine(t, engine);
    await database.query('CREATE TABLE notes (id BIGINT)');
    const outside = database.current();
    let written: Promise<unknown> | undefined;
    const unit = database.transaction(async () => {
      await database.query('INSERT INTO notes VALUES (1)');
      written = outside.transaction(() => outside.query('INSERT INTO notes VALUES (2)'));
      throw new Error('rolled back');
    });
    await t.throwsAsync(unit, { message: 'rolled back' });
    await written;
    t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 2n }]);
    t.throws(() => outside.afterCommit(() => {}), { instanceOf: UnitOfWorkError });
  });

  test(`${engine}: statements in a transaction of a bound handle are part of that transaction`, async (t) => {
    const { database } = await openEngine(t, engine);
    await database.query('CREATE TABLE notes (id BIGINT)');
    const insert = (handle: Database, id: number) => handle.query('INSERT INTO notes VALUES ($1)', [id]);
    const done: number[] = [];
    await database.transaction(async () => {
      const handle = database.current();
      t.is(handle.current(), handle);
      await insert(handle, 1);
      const nested = (id: number) =>
        handle.transaction(async () => {
          await insert(handle, id);
          await insert(database, id + 1);
          await insert(database.current(), id + 2);
          handle.afterCommit(() => done.push(id));
          if (id === 10) throw new Error('no');
        });
      await t.throwsAsync(nested(10), { message: 'no' });
      await nested(20);
    });
    const ids = (await database.query('SELECT id FROM notes ORDER BY id')).map(({ id }) => Number(id));
    t.deepEqual(ids, [1, 20, 21, 22]);
    t.deepEqual(done, [20]);
  });

  test(`${engine}: a bound handle is refused after the end of its transaction`, async (t) => {
    const { database } = await openEngine(t, engine);
    const bound: Database[] = [];
    await database.transaction(async () => {
      bound.push(database.current());
      await database.transaction(async () => {
        bound.push(database.current());
      });
      await t.throwsAsync((bound[1] as Database).query('SELECT 1 AS one'), refused);
    });
    for (const handle of bound) {
      await t.throwsAsync(handle.query('SELECT 1 AS one'), refused);
      await t.throwsAsync(
        handle.transaction(async () => {}),
        refused,
      );
      t.throws(() => handle.current(), refused);
    }
  });
}
