import { AsyncResource } from 'node:async_hooks';
import type { ExecutionContext, TestFn } from 'ava';
import { CommitInDoubtError, DatabaseUnavailableError, UnitOfWorkError } from 'grpc-replay-guard/database';
import type { OpenStore } from 'grpc-replay-guard/store';
import type { DataSource } from '../../helpers/databases/engines.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

type Database = OpenStore['database'];

/** A database under test, and what the suite must be able to do to it from outside. */
export interface DatabaseSubject {
  readonly data: DataSource;
  /** Makes writes impossible for what `opened` is connected to, until the function it returns is called. */
  outage(t: ExecutionContext): Promise<{ opened: OpenStore; begin(): Promise<() => Promise<void>> }>;
  /** Runs `migrate` in three processes at once; gives what each of them printed. */
  migrateInProcesses(component: string, steps: readonly string[]): Promise<string[]>;
}

const table = [
  'CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT, data BYTEA, rate DOUBLE PRECISION, amount BIGINT)',
];
// What better-sqlite3 throws does not pass for an error of the language.
const raw = { any: true } as const;
const insert = 'INSERT INTO notes (id, text) VALUES ($1, $2)';
const texts = 'SELECT text FROM notes ORDER BY id';

async function written(database: Database): Promise<string[]> {
  return (await database.query<{ text: string }>(texts)).map((row) => row.text);
}

/** What the handle has to do, whatever database it stands on. */
export function databaseContract(
  test: TestFn,
  name: string,
  create: (t: ExecutionContext) => Promise<DatabaseSubject>,
): void {
  const it = (title: string, check: (t: ExecutionContext, subject: DatabaseSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await create(t)));

  /** With a table of notes, seen by two servers. */
  const onNotes = (
    title: string,
    check: (t: ExecutionContext, database: Database, other: Database) => Promise<void>,
  ) =>
    it(title, async (t, { data }) => {
      const { database } = await data.open({ unitLimitMs: 60_000, lockTimeoutMs: 20_000 });
      await database.migrate('notes', table);
      await check(t, database, (await data.open()).database);
    });

  onNotes('values come back as they went in', async (t, database) => {
    const write =
      'INSERT INTO notes (id, text, data, rate, amount) VALUES ($1, $2, $3, $4, $5) RETURNING text, data, rate, amount';
    const read = 'SELECT text, data, rate, amount FROM notes WHERE id = $1';
    const rows = [
      { text: 'plain', data: Buffer.from([0, 1, 255]), rate: 0.1, amount: 2n ** 63n - 1n },
      { text: 'Grüße, 世界 🐘 \u0301 \\ \' " $1', data: Buffer.alloc(0), rate: -1e300, amount: -(2n ** 63n) },
      { text: '', data: Buffer.alloc(100_000, 7), rate: 3, amount: 0n },
      { text: null, data: null, rate: null, amount: null },
    ];
    for (const [id, row] of rows.entries()) {
      const back = await database.query(write, [id, row.text, row.data, row.rate, row.amount]);
      t.deepEqual(back, [row]);
      t.deepEqual(await database.query(read, [BigInt(id)]), [row]);
    }
  });

  onNotes('numbers and plain byte arrays are taken too', async (t, database) => {
    const write =
      'INSERT INTO notes (id, data, amount) VALUES ($1, $2, $3) RETURNING data, amount, amount + 1 AS next';
    const [row] = await database.query(write, [1, new Uint8Array([1, 2, 3]), Number.MAX_SAFE_INTEGER]);
    const amount = BigInt(Number.MAX_SAFE_INTEGER);
    t.deepEqual(row, { data: Buffer.from([1, 2, 3]), amount, next: amount + 1n });
    t.deepEqual(await database.query('SELECT count(*) AS notes FROM notes'), [{ notes: 1n }]);
  });

  onNotes('a parameter may stand in several places', async (t, database) => {
    await database.query('INSERT INTO notes (id, text, amount) VALUES ($1, $2, $1)', [5, 'five']);
    t.deepEqual(await database.query('SELECT id, amount FROM notes WHERE id = $1 AND amount = $1', [5]), [
      { id: 5n, amount: 5n },
    ]);
  });

  onNotes('a query on its own is committed when it resolves', async (t, database, other) => {
    t.deepEqual(await database.query(insert, [1, 'one']), []);
    t.deepEqual(await written(other), ['one']);
    t.deepEqual(await database.query('SELECT text FROM notes WHERE id = $1', [2]), []);
  });

  onNotes('a statement that is wrong fails as itself, and harms nothing', async (t, database) => {
    await database.query(insert, [1, 'one']);
    const wrong: [string, number[]][] = [
      ['INSERT INTO notes (id) VALUES ($1)', [1]],
      ['SELECT nothing FROM nowhere', []],
      ['INSERT INTO', []],
    ];
    for (const [text, params] of wrong) {
      const error = await t.throwsAsync(database.query(text, params), raw);
      t.false(error instanceof DatabaseUnavailableError, String(error));
    }
    await database.query(insert, [2, 'two']);
    t.deepEqual(await written(database), ['one', 'two']);
  });

  onNotes('a transaction commits when its work resolves', async (t, database, other) => {
    const result = await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      await database.query(insert, [2, 'two']);
      t.deepEqual(await written(database), ['one', 'two'], 'it sees its own writes');
      return 'done';
    });
    t.is(result, 'done');
    t.deepEqual(await written(other), ['one', 'two']);
  });

  onNotes('a transaction rolls back when its work rejects, with that error', async (t, database) => {
    const thrown = new Error('changed my mind');
    const work = database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      throw thrown;
    });
    t.is(await t.throwsAsync(work), thrown);
    t.deepEqual(await written(database), []);
  });

  onNotes('an empty transaction is fine', async (t, database) => {
    t.is(await database.transaction(async () => 1), 1);
    await t.throwsAsync(
      database.transaction(async () => Promise.reject(new Error('no'))),
      { message: 'no' },
    );
    t.deepEqual(await written(database), []);
  });

  onNotes('reads outside never see what is not committed', async (t, database, other) => {
    const barrier = new Barrier();
    const work = database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      await barrier.pass();
    });
    await barrier.reached();
    t.deepEqual(await written(database), []);
    t.deepEqual(await written(other), []);
    barrier.open();
    await work;
    t.deepEqual(await written(database), ['one']);
    t.deepEqual(await written(other), ['one']);
  });

  onNotes('50 transactions at once all count', async (t, database) => {
    await database.query('INSERT INTO notes (id, amount) VALUES (1, 0)');
    const add = () =>
      database.transaction(async () => {
        await database.query('UPDATE notes SET amount = amount + $1 WHERE id = 1', [1]);
      });
    await Promise.all(Array.from({ length: 50 }, add));
    t.deepEqual(await database.query('SELECT amount FROM notes'), [{ amount: 50n }]);
  });

  onNotes('a nested transaction that rejects takes back only its own', async (t, database) => {
    await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      const inner = database.transaction(async () => {
        await database.query(insert, [2, 'two']);
        throw new Error('inner');
      });
      await t.throwsAsync(inner, { message: 'inner' });
      await database.query(insert, [3, 'three']);
    });
    t.deepEqual(await written(database), ['one', 'three']);
  });

  onNotes('a nested transaction goes with the outer one', async (t, database) => {
    const outer = database.transaction(async () => {
      t.is(await database.transaction(async () => (await database.query(insert, [1, 'one'])).length), 0);
      throw new Error('outer');
    });
    await t.throwsAsync(outer, { message: 'outer' });
    t.deepEqual(await written(database), []);
  });

  onNotes(
    'what waits for the commit is done after it, unless what it belongs to is taken back',
    async (t, database, other) => {
      const done: string[] = [];
      const note = (name: string) => database.afterCommit(() => done.push(name));
      const failing = (name: string) =>
        database.transaction(async () => {
          note(name);
          throw new Error('no');
        });
      let seen: Promise<string[]> | undefined;
      await database.transaction(async () => {
        await database.query(insert, [1, 'one']);
        database.afterCommit(() => {
          seen = written(other);
        });
        note('outer');
        await database.transaction(async () => note('inner'));
        await t.throwsAsync(failing('inner that fails'));
        await Promise.resolve();
        t.deepEqual(done, []);
      });
      await Promise.resolve();
      t.deepEqual(done, ['outer', 'inner']);
      t.deepEqual(await seen, ['one']);
      await t.throwsAsync(failing('outer that fails'));
      await database.query(insert, [2, 'two']);
      t.deepEqual(done, ['outer', 'inner']);
    },
  );

  onNotes('nothing can wait for a commit where there will be none', async (t, database) => {
    const none = { instanceOf: UnitOfWorkError };
    t.throws(() => database.afterCommit(() => {}), none);
    let late: (() => void) | undefined;
    await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      late = AsyncResource.bind(() => database.afterCommit(() => {}));
    });
    t.throws(() => late?.(), none);
  });

  onNotes('nesting goes three deep', async (t, database) => {
    await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      await database.transaction(async () => {
        await database.query(insert, [2, 'two']);
        const innermost = database.transaction(async () => {
          await database.query(insert, [3, 'three']);
          throw new Error('innermost');
        });
        await t.throwsAsync(innermost);
        await database.query(insert, [4, 'four']);
      });
      await database.query(insert, [5, 'five']);
    });
    t.deepEqual(await written(database), ['one', 'two', 'four', 'five']);
  });

  onNotes('nested transactions started at once run one after another', async (t, database) => {
    const seen: string[] = [];
    const nested = (id: number) =>
      database.transaction(async () => {
        seen.push(`begin ${id}`);
        await database.query(insert, [id, `${id}`]);
        await written(database);
        seen.push(`end ${id}`);
        if (id === 2) throw new Error('not this one');
      });
    await database.transaction(() => Promise.allSettled([nested(1), nested(2), nested(3)]));
    t.deepEqual(seen, ['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3']);
    t.deepEqual(await written(database), ['1', '3']);
  });

  onNotes('a query beside a nested transaction is not taken back with it', async (t, database) => {
    await database.transaction(async () => {
      const nested = database.transaction(async () => {
        await database.query(insert, [1, 'nested']);
        throw new Error('nested');
      });
      await Promise.allSettled([nested, database.query(insert, [2, 'beside'])]);
    });
    t.deepEqual(await written(database), ['beside']);
  });

  onNotes('after a failed statement a transaction cannot commit', async (t, database) => {
    const swallowing = database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      await t.throwsAsync(database.query(insert, [1, 'again']), raw);
    });
    await t.throwsAsync(swallowing, { instanceOf: UnitOfWorkError });
    t.deepEqual(await written(database), []);
  });

  onNotes('after a failed statement a transaction takes no other', async (t, database) => {
    const going = database.transaction(async () => {
      await t.throwsAsync(database.query('SELECT nothing FROM nowhere'), raw);
      await t.throwsAsync(database.query(insert, [1, 'one']), { instanceOf: UnitOfWorkError });
      await t.throwsAsync(
        database.transaction(async () => {}),
        { instanceOf: UnitOfWorkError },
      );
    });
    await t.throwsAsync(going, { instanceOf: UnitOfWorkError });
    await database.query(insert, [2, 'two']);
    t.deepEqual(await written(database), ['two']);
  });

  onNotes('a failed statement in a nested transaction ends with it', async (t, database) => {
    await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      const nested = database.transaction(() => database.query(insert, [1, 'again']));
      t.false((await t.throwsAsync(nested, raw)) instanceof UnitOfWorkError);
      const swallowing = database.transaction(async () => {
        await database.query(insert, [2, 'two']);
        await t.throwsAsync(database.query(insert, [2, 'again']), raw);
      });
      await t.throwsAsync(swallowing, { instanceOf: UnitOfWorkError });
      await database.query(insert, [3, 'three']);
    });
    t.deepEqual(await written(database), ['one', 'three']);
  });

  onNotes('queries after the end of their transaction fail', async (t, database) => {
    const gate = new Barrier();
    const late: Promise<unknown>[] = [];
    const leave = (id: number) => {
      late.push(gate.pass().then(() => database.query(insert, [id, 'late'])));
      late.push(gate.pass().then(() => database.transaction(() => database.query(insert, [id, 'late']))));
      late.push(gate.pass().then(() => written(database)));
    };
    await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      leave(2);
      await database.transaction(async () => leave(3));
    });
    await t.throwsAsync(
      database.transaction(async () => {
        leave(4);
        throw new Error('rolled back');
      }),
    );
    gate.open();
    for (const query of late) await t.throwsAsync(query, { instanceOf: UnitOfWorkError });
    t.deepEqual(await written(database), ['one']);
  });

  it('a unit that holds its transaction too long is rolled back, and others go on', async (t, { data }) => {
    const { database } = await data.open({ unitLimitMs: 100 });
    await database.migrate('notes', table);
    const barrier = new Barrier();
    const slow = database.transaction(async () => {
      await database.query(insert, [1, 'slow']);
      await barrier.pass();
      await database.query(insert, [2, 'slow']);
    });
    const rejected = t.throwsAsync(slow, { instanceOf: UnitOfWorkError, message: /100 ms/ });
    await barrier.reached();
    let free = false;
    // On Postgres the same row waits for the same transaction.
    const quick = async () => {
      for (;;) {
        try {
          return await database.query(insert, [1, 'quick']);
        } catch (error) {
          if (!(error instanceof DatabaseUnavailableError)) throw error;
        }
      }
    };
    const next = quick().then(() => {
      free = true;
    });
    await poll('the next one is served', () => free);
    await next;
    barrier.open();
    await rejected;
    t.deepEqual(await written(database), ['quick']);
  });

  it('migrations are applied once, in order, and added to', async (t, { data }) => {
    const { database } = await data.open();
    const steps = [...table, "INSERT INTO notes (id, text) VALUES (1, 'one')"];
    await database.migrate('notes', steps);
    await database.migrate('notes', steps);
    await (await data.open()).database.migrate('notes', steps);
    t.deepEqual(await written(database), ['one']);
    await database.migrate('notes', [...steps, "INSERT INTO notes (id, text) VALUES (2, 'two')"]);
    t.deepEqual(await written(database), ['one', 'two']);
  });

  it('a database that is ahead is left alone', async (t, { data }) => {
    const { database } = await data.open();
    const steps = [...table, "INSERT INTO notes (id, text) VALUES (1, 'one')"];
    await database.migrate('notes', steps);
    await database.migrate('notes', table);
    await database.migrate('notes', steps);
    t.deepEqual(await written(database), ['one'], 'the older server did not set the version back');
  });

  it('components migrate independently', async (t, { data }) => {
    const { database } = await data.open();
    await database.migrate('notes', table);
    await database.migrate('others', ["INSERT INTO notes (id, text) VALUES (1, 'one')"]);
    t.deepEqual(await written(database), ['one']);
  });

  it('a migration that fails leaves nothing, and can be tried again', async (t, { data }) => {
    const { database } = await data.open();
    await t.throwsAsync(database.migrate('notes', [...table, 'INSERT INTO nowhere VALUES (1)']), raw);
    await t.throwsAsync(written(database), raw);
    await database.migrate('notes', table);
    t.deepEqual(await written(database), []);
  });

  it('three processes may migrate an empty database at once', async (t, { data, migrateInProcesses }) => {
    const steps = [...table, "INSERT INTO notes (id, text) VALUES (1, 'one')"];
    t.deepEqual(await migrateInProcesses('notes', steps), ['migrated', 'migrated', 'migrated']);
    t.deepEqual(await written((await data.open()).database), ['one']);
  });

  it('what fails while the database is out of reach is worth a retry', async (t, { outage }) => {
    const { opened, begin } = await outage(t);
    const { database, store } = opened;
    await database.migrate('notes', table);
    await database.query(insert, [1, 'one']);
    const end = await begin();
    const unavailable = { instanceOf: DatabaseUnavailableError };
    // What the connection's end overtakes may have been done.
    const first = await t.throwsAsync(database.query(insert, [2, 'two']));
    t.true(first instanceof DatabaseUnavailableError || first instanceof CommitInDoubtError, String(first));
    await t.throwsAsync(database.query(insert, [2, 'two']), unavailable);
    await t.throwsAsync(
      database.transaction(async () => database.query(insert, [3, 'three'])),
      unavailable,
    );
    await end();
    await database.query(insert, [4, 'four']);
    await database.transaction(() => database.query(insert, [5, 'five']));
    t.deepEqual(await written(database), ['one', 'four', 'five']);
    t.is(await store.purge(1), 0);
    await opened.ping();
  });

  it('close waits for what is running', async (t, { data }) => {
    const opened = await data.open();
    await opened.database.migrate('notes', table);
    const barrier = new Barrier();
    const work = opened.database.transaction(async () => {
      await opened.database.query(insert, [1, 'one']);
      await barrier.pass();
      await opened.database.query(insert, [2, 'two']);
    });
    await barrier.reached();
    const closed = opened.close();
    barrier.open();
    await work;
    await closed;
    t.deepEqual(await written((await data.open()).database), ['one', 'two']);
  });
}
