import { createHash, randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { CommitInDoubtError, DatabaseUnavailableError, UnitOfWorkError } from 'grpc-replay-guard/database';
import { openPostgres } from 'grpc-replay-guard/postgres';
import type { Claim, ClaimRequest, OpenStore } from 'grpc-replay-guard/store';
import pg, { type PoolConfig } from 'pg';
import { freshData } from '../../helpers/databases/engines.js';
import { transactionsEnded } from '../../helpers/databases/open-transactions.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const table = ['CREATE TABLE notes (id BIGINT PRIMARY KEY)'];
const insert = 'INSERT INTO notes (id) VALUES ($1)';

function request(atomicity: ClaimRequest['atomicity']): ClaimRequest {
  const bytes = () => createHash('sha256').update(randomUUID()).digest();
  return {
    id: bytes(),
    scope: 'tenant',
    fingerprint: bytes(),
    atomicity,
    leaseMs: 30_000,
    retentionMs: 3_600_000,
  };
}

async function claim({ store }: OpenStore, operation: ClaimRequest): Promise<Claim> {
  const result = await store.claim(operation);
  if (result.outcome !== 'claimed') throw new Error(result.outcome);
  return result.claim;
}

/** Opens a new database through a proxy and creates a table. No notes statement is prepared yet. */
async function throughProxy(t: ExecutionContext, latencyMs = 0, maxConnections = 1) {
  const data = await freshData(t, 'postgres');
  const proxy = await startProxy(t, data.url, { latencyMs });
  const opened = await openUrl(proxy.url, { maxConnections });
  t.teardown(() => opened.close());
  await opened.database.migrate('notes', table);
  const direct = (await data.open()).database;
  const ids = async () =>
    (await direct.query<{ id: bigint }>('SELECT id FROM notes ORDER BY id')).map(({ id }) => id);
  const noneOpen = () => transactionsEnded(direct);
  return { proxy, opened, database: opened.database, ids, noneOpen };
}

async function ownPool(t: ExecutionContext, config: PoolConfig = {}, unitLimitMs = 60_000) {
  const data = await freshData(t, 'postgres');
  const pool = new pg.Pool({ connectionString: data.url, pipeline: true, ...config } as PoolConfig);
  pool.on('error', () => {});
  t.teardown(() => pool.end());
  const opened = await openPostgres({ pool, unitLimitMs });
  t.teardown(() => opened.close());
  await opened.database.migrate('notes', table);
  return { pool, opened, database: opened.database };
}

test('a pool of the application is usable after close', async (t) => {
  const { pool, opened, database } = await ownPool(t);
  await database.query(insert, [1]);
  await opened.close();
  t.deepEqual((await pool.query('SELECT id FROM notes')).rows, [{ id: '1' }]);
});

test('every end of a unit of work returns a clean connection to the pool', async (t) => {
  const { pool, database } = await ownPool(t, { max: 1 }, 1_000);
  let barrier = new Barrier();
  const endings: (() => Promise<unknown>)[] = [
    async () => database.query(insert, [1]),
    async () => database.query(insert, [1]),
    async () => {
      await database.query(insert, [2]);
      throw new Error('thrown');
    },
    async () => {
      await database.query(insert, [1]).catch(() => {});
    },
    async () => database.transaction(() => database.query(insert, [1])),
    async () => {
      await database.transaction(() => database.query('SELECT nothing')).catch(() => {});
    },
    async () => {
      await database.query(insert, [3]);
      await barrier.pass();
    },
    async () => {},
  ];
  const listeners = new Set<number>();
  for (const work of endings) {
    barrier = new Barrier();
    const ended = database.transaction(work).catch((error: Error) => error);
    const client = await pool.connect();
    const { rows } = await client.query(
      'SELECT statement_timestamp() = transaction_timestamp() AS alone, txid_current_if_assigned() AS tx',
    );
    t.deepEqual(rows, [{ alone: true, tx: null }]);
    listeners.add(client.listenerCount('error'));
    client.release();
    barrier.open();
    await ended;
  }
  t.is(listeners.size, 1, 'the number of listeners grows');
  t.is(pool.totalCount, 1);
  t.is(pool.idleCount, 1);
  t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 1n }]);
});

test('a hundred transactions leave no listener on their connections', async (t) => {
  const { pool, database } = await ownPool(t, { max: 2 });
  const counts: number[] = [];
  for (let round = 0; round < 50; round++) {
    await database.transaction(() => database.query(insert, [round]));
    await t.throwsAsync(database.transaction(() => database.query(insert, [round])));
    await database.query('SELECT 1 AS one');
  }
  const client = await pool.connect();
  for (const event of ['error', 'end', 'drain', 'notice']) counts.push(client.listenerCount(event));
  client.release();
  t.true(Math.max(...counts) < 3, counts.join());
});

for (const [when, there] of [
  ['before', []],
  ['after', [1n]],
] as const) {
  test(`a connection cut ${when} COMMIT leaves the commit in doubt`, async (t) => {
    const { proxy, database, ids } = await throughProxy(t);
    proxy.cutAt(/^COMMIT/, when);
    const cut = database.transaction(() => database.query(insert, [1]));
    await t.throwsAsync(cut, { instanceOf: CommitInDoubtError });
    t.deepEqual(await ids(), [...there]);
    await database.transaction(() => database.query(insert, [2]));
    t.deepEqual(await ids(), [...there, 2n]);
  });

  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    test(`${atomicity}: a connection cut ${when} COMMIT leaves a claim in doubt, and the record shows the outcome`, async (t) => {
      const { proxy, opened, database, ids, noneOpen } = await throughProxy(t);
      const operation = request(atomicity);
      const claimed = await claim(opened, operation);
      await claimed.run(() => database.query(insert, [1]));
      proxy.cutAt(/^COMMIT/, when);
      await t.throwsAsync(claimed.complete(Buffer.from('done')), { instanceOf: CommitInDoubtError });
      t.deepEqual(await ids(), [...there]);
      await noneOpen();
      const found = await opened.store.claim(operation);
      if (when === 'after') t.is(found.outcome, 'completed');
      else t.is(found.outcome, atomicity === 'LEASE' ? 'in-progress' : 'claimed');
      if (found.outcome === 'claimed') await found.claim.release();
    });
  }

  test(`a connection cut ${when} a single write leaves the write in doubt`, async (t) => {
    const { proxy, database, ids } = await throughProxy(t);
    proxy.cutAt(/^INSERT INTO notes/, when);
    await t.throwsAsync(database.query(insert, [1]), { instanceOf: CommitInDoubtError });
    t.deepEqual(await ids(), [...there]);
    await database.query(insert, [2]);
  });

  test(`a connection cut ${when} a read makes the read fail as unavailable`, async (t) => {
    const { proxy, database } = await throughProxy(t);
    proxy.cutAt(/^SELECT id/, when);
    await t.throwsAsync(database.query('SELECT id FROM notes'), { instanceOf: DatabaseUnavailableError });
    t.deepEqual(await database.query('SELECT id FROM notes'), []);
  });

  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    test(`${atomicity}: a connection cut ${when} a claim makes the claim fail as unavailable`, async (t) => {
      const { proxy, opened, noneOpen } = await throughProxy(t);
      proxy.cutAt(/INSERT INTO replay_guard_records/, when);
      await t.throwsAsync(async () => opened.store.claim(request(atomicity)), {
        instanceOf: DatabaseUnavailableError,
      });
      await noneOpen();
      await (await claim(opened, request(atomicity))).release();
    });
  }
}

test('a connection cut inside a transaction rolls back, and the transaction fails as unavailable', async (t) => {
  const { proxy, database, ids } = await throughProxy(t);
  const cut = database.transaction(async () => {
    await database.query(insert, [1]);
    proxy.cutAt(/^INSERT/, 'after');
    await database.query(insert, [2]);
  });
  await t.throwsAsync(cut, { instanceOf: DatabaseUnavailableError });
  t.deepEqual(await ids(), []);
  await database.transaction(() => database.query(insert, [3]));
  t.deepEqual(await ids(), [3n]);
});

test('an outage between two calls makes later calls fail as unavailable and does not end the process', async (t) => {
  const { proxy, database, opened } = await throughProxy(t, 0, 4);
  await Promise.all([1, 2, 3, 4].map((id) => database.query(insert, [id])));
  proxy.down();
  const calls = [
    database.query(insert, [5]),
    database.query('SELECT 1 AS one'),
    opened.ping(),
    opened.store.purge(1),
  ];
  for (const { status } of await Promise.allSettled(calls)) t.is(status, 'rejected');
  await t.throwsAsync(opened.ping(), { instanceOf: DatabaseUnavailableError });
  await t.throwsAsync(async () => opened.store.claim(request('LEASE')), {
    instanceOf: DatabaseUnavailableError,
  });
  await t.throwsAsync(async () => opened.store.claim(request('TRANSACTION')), {
    instanceOf: DatabaseUnavailableError,
  });
  proxy.up();
  await opened.ping();
  await (await claim(opened, request('TRANSACTION'))).complete(Buffer.alloc(0));
});

test('a transaction fails as unavailable when an operator terminates its session, and a retry commits', async (t) => {
  const data = await freshData(t, 'postgres');
  const { database } = await data.open({ maxConnections: 1 });
  await database.migrate('notes', table);
  const operator = (await data.open()).database;
  const cut = database.transaction(async () => {
    await database.query(insert, [1]);
    await operator.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    );
    await database.query(insert, [2]);
  });
  await t.throwsAsync(cut, { instanceOf: DatabaseUnavailableError });
  await database.transaction(() => database.query(insert, [3]));
  t.deepEqual(await operator.query('SELECT id FROM notes'), [{ id: 3n }]);
});

test('COMMIT of an aborted transaction does not count as a commit', async (t) => {
  const { opened, database } = await ownPool(t, { max: 3 });
  const operation = request('TRANSACTION');
  const claimed = await claim(opened, operation);
  await t.throwsAsync(claimed.run(() => database.query('SELECT nothing FROM nowhere')));
  await t.throwsAsync(claimed.complete(Buffer.from('done')), { instanceOf: UnitOfWorkError });
  await (await claim(opened, operation)).release();
});

test('a commit is in doubt if the server reports an unknown outcome', async (t) => {
  const data = await freshData(t, 'postgres');
  const { database } = await data.open();
  await database.migrate('notes', [
    ...table,
    `CREATE FUNCTION unknown() RETURNS TRIGGER LANGUAGE plpgsql AS
     'BEGIN RAISE EXCEPTION USING ERRCODE = ''40003''; END'`,
    `CREATE CONSTRAINT TRIGGER unknown AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED
     FOR EACH ROW WHEN (NEW.id > 100) EXECUTE FUNCTION unknown()`,
  ]);
  const inDoubt = { instanceOf: CommitInDoubtError };
  await t.throwsAsync(
    database.transaction(() => database.query(insert, [101])),
    inDoubt,
  );
  await t.throwsAsync(database.query(insert, [101]), inDoubt);
  await database.transaction(() => database.query(insert, [1]));
});

test('TRANSACTION: a claim adds statements, but no commits and no round trips', async (t) => {
  const { proxy, opened, database } = await throughProxy(t, 15);
  const work = async () => {
    await database.query(insert, [BigInt(Date.now())]);
  };
  const guarded = async () => {
    const claimed = await claim(opened, request('TRANSACTION'));
    await claimed.run(work);
    await claimed.complete(Buffer.from('done'));
  };
  await guarded();
  proxy.reset();
  await database.transaction(work);
  const unguarded = proxy.roundTrips;
  proxy.reset();
  await guarded();
  t.true(proxy.roundTrips <= unguarded);
  t.is(proxy.roundTrips, 3);
  const kinds = proxy.statements.map((text) => /^[A-Z]+/.exec(text)?.[0]);
  t.deepEqual(kinds, ['BEGIN', 'SET', 'INSERT', 'SET', 'INSERT', 'UPDATE', 'COMMIT']);
});

test('LEASE: a claim has two commits and no open transaction before the first write', async (t) => {
  const { proxy, opened, database } = await throughProxy(t, 15);
  const guarded = async (between: () => Promise<void>) => {
    const claimed = await claim(opened, request('LEASE'));
    await between();
    await claimed.run(() => database.query(insert, [BigInt(Date.now())]));
    await claimed.complete(Buffer.from('done'));
  };
  await guarded(async () => {});
  proxy.reset();
  // The only connection is free between the claim and the first write.
  await guarded(async () => {
    await database.query('SELECT 1 AS one');
  });
  const kinds = proxy.statements.map((text) => /^[A-Z]+/.exec(text)?.[0]);
  t.deepEqual(kinds, [
    'SELECT',
    'BEGIN',
    'SET',
    'INSERT',
    'COMMIT',
    'SELECT',
    'BEGIN',
    'SELECT',
    'INSERT',
    'UPDATE',
    'COMMIT',
  ]);
});

test('three servers can start on an empty database at the same time', async (t) => {
  const data = await freshData(t, 'postgres');
  const open = () => data.open({ lockTimeoutMs: 20_000 });
  const opened = await Promise.all([open(), open(), open()]);
  const steps = [...table, 'INSERT INTO notes (id) VALUES (1)'];
  await Promise.all(opened.map(({ database }) => database.migrate('notes', steps)));
  for (const { database } of opened) t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 1n }]);
});

test('a server that starts during a long migration waits for the migration', async (t) => {
  const data = await freshData(t, 'postgres');
  const { database } = await data.open();
  const operator = (await data.open({ unitLimitMs: 60_000 })).database;
  await operator.migrate('gate', ['CREATE TABLE gate (id INT)']);
  const waits = (event: string, minMs: number) =>
    poll(`a wait for the ${event} lock`, async () => {
      const waiting = `SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock' AND wait_event = $1 AND clock_timestamp() - query_start > $2::interval`;
      return (await database.query(waiting, [event, `${minMs} ms`])).length > 0;
    });
  const starting = await operator.transaction(async () => {
    await operator.query('LOCK TABLE gate');
    const slow = database.migrate('slow', ['SELECT id FROM gate']);
    await waits('relation', 0);
    const started = data.open({ lockTimeoutMs: 100 });
    await Promise.race([started, waits('advisory', 200)]);
    return { slow, started };
  });
  await t.notThrowsAsync(starting.started);
  await starting.slow;
});
