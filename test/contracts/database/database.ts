import { AsyncResource } from 'node:async_hooks';
import type { ExecutionContext, TestFn } from 'ava';
import { CommitInDoubtError, DatabaseUnavailableError, UnitOfWorkError } from 'grpc-replay-guard/database';
import type { OpenStore } from 'grpc-replay-guard/store';
import type { DataSource } from '../../helpers/databases/engines.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

type Database = OpenStore['database'];

/** A database under test, and the means to disturb the database from outside. */
export interface DatabaseSubject {
  readonly data: DataSource;
  /**
   * Opens the database such that `begin` makes writes impossible, until the function that `begin` returns is called.
   */
  outage(t: ExecutionContext): Promise<{ opened: OpenStore; begin(): Promise<() => Promise<void>> }>;
  /** Runs `migrate` in three processes at the same time. Resolves to the output of each. */
  migrateInProcesses(component: string, steps: readonly string[]): Promise<string[]>;
}

const table = [
  'CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT, data BYTEA, rate DOUBLE PRECISION, amount BIGINT)',
];
// Ava does not recognise an error of better-sqlite3 as an Error.
const raw = { any: true } as const;
const insert = 'INSERT INTO notes (id, text) VALUES ($1, $2)';
const texts = 'SELECT text FROM notes ORDER BY id';

async function written(database: Database): Promise<string[]> {
  return (await database.query<{ text: string }>(texts)).map((row) => row.text);
}

/** The contract of the database handle, on every database. */
export function databaseContract(
  test: TestFn,
  name: string,
  create: (t: ExecutionContext) => Promise<DatabaseSubject>,
): void {
  const it = (title: string, check: (t: ExecutionContext, subject: DatabaseSubject) => Promise<void>) =>
    test.serial(`${name}: ${title}`, async (t) => check(t, await create(t)));

  /** Runs a test on a table of notes, with the handles of two servers. */
  const onNotes = (
    title: string,
    check: (t: ExecutionContext, database: Database, other: Database) => Promise<void>,
  ) =>
    it(title, async (t, { data }) => {
      const { database } = await data.open({ unitLimitMs: 60_000, lockTimeoutMs: 20_000 });
      await database.migrate('notes', table);
      await check(t, database, (await data.open()).database);
    });

  onNotes('values are read as they were written', async (t, database) => {
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

  onNotes('numbers and byte arrays are valid parameters', async (t, database) => {
    const write =
      'INSERT INTO notes (id, data, amount) VALUES ($1, $2, $3) RETURNING data, amount, amount + 1 AS next';
    const [row] = await database.query(write, [1, new Uint8Array([1, 2, 3]), Number.MAX_SAFE_INTEGER]);
    const amount = BigInt(Number.MAX_SAFE_INTEGER);
    t.deepEqual(row, { data: Buffer.from([1, 2, 3]), amount, next: amount + 1n });
    t.deepEqual(await database.query('SELECT count(*) AS notes FROM notes'), [{ notes: 1n }]);
  });

  onNotes('a parameter may be used more than once', async (t, database) => {
    await database.query('INSERT INTO notes (id, text, amount) VALUES ($1, $2, $1)', [5, 'five']);
    t.deepEqual(await database.query('SELECT id, amount FROM notes WHERE id = $1 AND amount = $1', [5]), [
      { id: 5n, amount: 5n },
    ]);
  });

  onNotes(
    'a query outside a transaction is committed when the query resolves',
    async (t, database, other) => {
      t.deepEqual(await database.query(insert, [1, 'one']), []);
      t.deepEqual(await written(other), ['one']);
      t.deepEqual(await database.query('SELECT text FROM notes WHERE id = $1', [2]), []);
    },
  );

  onNotes(
    'an invalid statement fails with its own error and does not affect later statements',
    async (t, database) => {
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
    },
  );

  onNotes('a transaction commits when its work resolves', async (t, database, other) => {
    const result = await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      await database.query(insert, [2, 'two']);
      t.deepEqual(await written(database), ['one', 'two'], 'the transaction reads its own writes');
      return 'done';
    });
    t.is(result, 'done');
    t.deepEqual(await written(other), ['one', 'two']);
  });

  onNotes(
    'a transaction rolls back when its work rejects, and rejects with the same error',
    async (t, database) => {
      const thrown = new Error('rejected');
      const work = database.transaction(async () => {
        await database.query(insert, [1, 'one']);
        throw thrown;
      });
      t.is(await t.throwsAsync(work), thrown);
      t.deepEqual(await written(database), []);
    },
  );

  onNotes('an empty transaction commits and rolls back', async (t, database) => {
    t.is(await database.transaction(async () => 1), 1);
    await t.throwsAsync(
      database.transaction(async () => Promise.reject(new Error('no'))),
      { message: 'no' },
    );
    t.deepEqual(await written(database), []);
  });

  onNotes('a read outside a transaction sees only committed data', async (t, database, other) => {
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

  onNotes('50 simultaneous transactions all commit', async (t, database) => {
    await database.query('INSERT INTO notes (id, amount) VALUES (1, 0)');
    const add = () =>
      database.transaction(async () => {
        await database.query('UPDATE notes SET amount = amount + $1 WHERE id = 1', [1]);
      });
    await Promise.all(Array.from({ length: 50 }, add));
    t.deepEqual(await database.query('SELECT amount FROM notes'), [{ amount: 50n }]);
  });

  onNotes('a nested transaction that rejects rolls back only its own writes', async (t, database) => {
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

  onNotes(
    'a nested transaction whose work throws at once does not block later statements',
    async (t, database) => {
      const thrown = (): never => {
        throw new Error('at once');
      };
      await database.transaction(async () => {
        await t.throwsAsync(database.transaction(thrown), { message: 'at once' });
        await database.query(insert, [1, 'query']);
        await database.transaction(() => database.query(insert, [2, 'nested']));
      });
      t.deepEqual(await written(database), ['query', 'nested']);
    },
  );

  onNotes('a nested transaction rolls back with the outer transaction', async (t, database) => {
    const outer = database.transaction(async () => {
      t.is(await database.transaction(async () => (await database.query(insert, [1, 'one'])).length), 0);
      throw new Error('outer');
    });
    await t.throwsAsync(outer, { message: 'outer' });
    t.deepEqual(await written(database), []);
  });

  onNotes(
    'an afterCommit action runs after the commit, unless its transaction rolled back',
    async (t, database, other) => {
      const done: string[] = [];
      const note = (name: string) => database.afterCommit(() => done.push(name));
      const failing = (name: string) =>
        database.transaction(async () => {
          note(name);
          throw new Error('no');
        });
      let visible: Promise<string[]> | undefined;
      await database.transaction(async () => {
        await database.query(insert, [1, 'one']);
        database.afterCommit(() => {
          visible = written(other);
        });
        note('outer');
        await database.transaction(async () => note('inner'));
        await t.throwsAsync(failing('inner that fails'));
        await Promise.resolve();
        t.deepEqual(done, []);
      });
      await Promise.resolve();
      t.deepEqual(done, ['outer', 'inner']);
      t.deepEqual(await visible, ['one']);
      await t.throwsAsync(failing('outer that fails'));
      await database.query(insert, [2, 'two']);
      t.deepEqual(done, ['outer', 'inner']);
    },
  );

  onNotes('afterCommit is refused outside a unit of work and after its end', async (t, database) => {
    const none = { instanceOf: UnitOfWorkError };
    t.throws(() => database.afterCommit(() => {}), none);
    let late: (() => void) | undefined;
    await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      late = AsyncResource.bind(() => database.afterCommit(() => {}));
    });
    t.throws(() => late?.(), none);
  });

  onNotes('transactions can be nested three deep', async (t, database) => {
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

  onNotes('nested transactions that start at the same time run one after another', async (t, database) => {
    const order: string[] = [];
    const nested = (id: number) =>
      database.transaction(async () => {
        order.push(`begin ${id}`);
        await database.query(insert, [id, `${id}`]);
        await written(database);
        order.push(`end ${id}`);
        if (id === 2) throw new Error('rejected');
      });
    await database.transaction(() => Promise.allSettled([nested(1), nested(2), nested(3)]));
    t.deepEqual(order, ['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3']);
    t.deepEqual(await written(database), ['1', '3']);
  });

  onNotes(
    'a query beside a nested transaction does not roll back with the nested transaction',
    async (t, database) => {
      await database.transaction(async () => {
        const nested = database.transaction(async () => {
          await database.query(insert, [1, 'nested']);
          throw new Error('nested');
        });
        await Promise.allSettled([nested, database.query(insert, [2, 'beside'])]);
      });
      t.deepEqual(await written(database), ['beside']);
    },
  );

  onNotes('after a failed statement a transaction cannot commit', async (t, database) => {
    const swallowing = database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      await t.throwsAsync(database.query(insert, [1, 'again']), raw);
    });
    await t.throwsAsync(swallowing, { instanceOf: UnitOfWorkError });
    t.deepEqual(await written(database), []);
  });

  onNotes('after a failed statement a transaction refuses further statements', async (t, database) => {
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

  onNotes(
    'a failed statement in a nested transaction does not affect the outer transaction',
    async (t, database) => {
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
    },
  );

  onNotes('queries after the end of their transaction are refused', async (t, database) => {
    const gate = new Barrier();
    const late: Promise<unknown>[] = [];
    const start = (id: number) => {
      late.push(gate.pass().then(() => database.query(insert, [id, 'late'])));
      late.push(gate.pass().then(() => database.transaction(() => database.query(insert, [id, 'late']))));
      late.push(gate.pass().then(() => written(database)));
    };
    await database.transaction(async () => {
      await database.query(insert, [1, 'one']);
      start(2);
      await database.transaction(async () => start(3));
    });
    await t.throwsAsync(
      database.transaction(async () => {
        start(4);
        throw new Error('rolled back');
      }),
    );
    gate.open();
    for (const query of late) await t.throwsAsync(query, { instanceOf: UnitOfWorkError });
    t.deepEqual(await written(database), ['one']);
  });

  it('a unit of work that exceeds its time limit is rolled back, and other units continue', async (t, {
    data,
  }) => {
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
    await poll('the next write', () => free);
    await next;
    barrier.open();
    await rejected;
    t.deepEqual(await written(database), ['quick']);
  });

  it('migration steps are applied once and in order, and new steps are added', async (t, { data }) => {
    const { database } = await data.open();
    const steps = [...table, "INSERT INTO notes (id, text) VALUES (1, 'one')"];
    await database.migrate('notes', steps);
    await database.migrate('notes', steps);
    await (await data.open()).database.migrate('notes', steps);
    t.deepEqual(await written(database), ['one']);
    await database.migrate('notes', [...steps, "INSERT INTO notes (id, text) VALUES (2, 'two')"]);
    t.deepEqual(await written(database), ['one', 'two']);
  });

  it('a database that a newer server migrated is not changed', async (t, { data }) => {
    const { database } = await data.open();
    const steps = [...table, "INSERT INTO notes (id, text) VALUES (1, 'one')"];
    await database.migrate('notes', steps);
    await database.migrate('notes', table);
    await database.migrate('notes', steps);
    t.deepEqual(await written(database), ['one'], 'the older server did not lower the version');
  });

  it('components migrate independently', async (t, { data }) => {
    const { database } = await data.open();
    await database.migrate('notes', table);
    await database.migrate('others', ["INSERT INTO notes (id, text) VALUES (1, 'one')"]);
    t.deepEqual(await written(database), ['one']);
  });

  it('a migration that fails changes nothing and can be retried', async (t, { data }) => {
    const { database } = await data.open();
    await t.throwsAsync(database.migrate('notes', [...table, 'INSERT INTO nowhere VALUES (1)']), raw);
    await t.throwsAsync(written(database), raw);
    await database.migrate('notes', table);
    t.deepEqual(await written(database), []);
  });

  it('three processes can migrate an empty database at the same time', async (t, {
    data,
    migrateInProcesses,
  }) => {
    const steps = [...table, "INSERT INTO notes (id, text) VALUES (1, 'one')"];
    t.deepEqual(await migrateInProcesses('notes', steps), ['migrated', 'migrated', 'migrated']);
    t.deepEqual(await written((await data.open()).database), ['one']);
  });

  it('statements fail as unavailable while the database cannot be reached, and then succeed', async (t, {
    outage,
  }) => {
    const { opened, begin } = await outage(t);
    const { database, store } = opened;
    await database.migrate('notes', table);
    await database.query(insert, [1, 'one']);
    const end = await begin();
    const unavailable = { instanceOf: DatabaseUnavailableError };
    // The connection may break after the statement was sent, so the first write may be in doubt.
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
    t.is((await store.purge(1)).purged, 0);
    await opened.ping();
  });

  it('close waits for running units of work', async (t, { data }) => {
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

  onNotes(
    'a transaction inside a transaction that was rolled back writes nothing, and does not undo a sibling',
    async (t, database) => {
      const orphanMayWrite = new Barrier();
      let orphan: Promise<unknown> | undefined;
      await database.transaction(async () => {
        const failed = database.transaction(async () => {
          orphan = database.transaction(async () => {
            await orphanMayWrite.pass();
            await database.query(insert, [1, 'of the orphan']);
          });
          orphan.catch(() => {});
          await orphanMayWrite.reached();
          throw new Error('rolled back');
        });
        await t.throwsAsync(failed, { message: 'rolled back' });
        await database.transaction(async () => {
          await database.transaction(async () => {
            await database.query(insert, [2, 'of the sibling']);
            orphanMayWrite.open();
            await t.throwsAsync(orphan as Promise<unknown>, { instanceOf: UnitOfWorkError });
            await database.query(insert, [3, 'of the sibling too']);
          });
        });
      });
      t.deepEqual(await written(database), ['of the sibling', 'of the sibling too']);
    },
  );
}
