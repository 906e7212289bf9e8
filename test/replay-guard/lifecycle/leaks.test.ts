import { getEventListeners } from 'node:events';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { OpenStore } from 'grpc-replay-guard/store';
import pg from 'pg';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { type Engine, engines, freshFolder } from '../../helpers/databases/engines.js';
import {
  type Ledger,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';
import { RememberedClaims } from '../../helpers/stores/remembered-claims.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const emptied = emptiedData(test);
captureUnhandledErrors(test);
const unitLimitMs = 500;

/** Opens a store. Also returns a check that no transaction and no connection is in use. */
async function open(t: ExecutionContext, engine: Engine): Promise<[OpenStore, () => Promise<boolean>]> {
  if (engine === 'postgres') {
    const { url } = await emptied(t, engine);
    // An idle connection would hold a timer of the pool, and the number of idle connections depends on the speed.
    const config: pg.PoolConfig & { pipeline: boolean } = {
      ...{ connectionString: url, pipeline: true, max: 4, idleTimeoutMillis: 0 },
    };
    const pool = new pg.Pool(config);
    t.teardown(() => pool.end());
    const busy = `SELECT state FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`;
    const isFree = async () => {
      const { rows } = await pool.query(busy);
      return rows.length === 0 && pool.idleCount === pool.totalCount && pool.waitingCount === 0;
    };
    return [await openPostgres({ pool, unitLimitMs }), isFree];
  }
  const path = join(await freshFolder(t), 'test.db');
  const database = new Sqlite(path);
  const other = new Sqlite(path, { timeout: 0 });
  t.teardown(() => void other.close());
  t.teardown(() => void database.close());
  const opened = await openSqlite({ database, unitLimitMs });
  t.teardown(opened.close);
  const isFree = async () => {
    if (database.inTransaction) return false;
    // Throws when a connection holds the write lock.
    other.exec('BEGIN IMMEDIATE; ROLLBACK');
    return true;
  };
  return [opened, isFree];
}

const never = new Barrier();
const endings: Record<string, number> = {
  ...{ answers: status.OK, fails: status.NOT_FOUND, 'is not available': status.UNAVAILABLE },
  ...{ rejects: status.INTERNAL, 'answers too much': status.RESOURCE_EXHAUSTED },
  ...{ 'answers nonsense': status.INTERNAL, 'swallows a failure': status.INTERNAL },
  'never answers': status.UNAVAILABLE,
};

async function openWithEndings(t: ExecutionContext, opened: OpenStore, store: RememberedClaims) {
  const data = { engine: 'sqlite', url: '', open: async () => opened } as const;
  return openLedger(t, data, {
    opened: { ...opened, store },
    handlers: (database) =>
      onBoth(async (ending, callback) => {
        await writeEffect(database, ending);
        if (ending === 'fails') return callback({ code: status.NOT_FOUND });
        if (ending === 'is not available') return callback({ code: status.UNAVAILABLE });
        if (ending === 'rejects') throw new Error('on purpose');
        if (ending === 'never answers') return never.pass();
        if (ending === 'swallows a failure')
          await database.query('INSERT INTO nowhere VALUES (1)').catch(() => {});
        const text = ending === 'answers nonsense' ? Object.create(null) : '';
        const id = ending === 'answers too much' ? 'x'.repeat(1024 * 1024) : text;
        callback(null, { entryId: id, transferId: id });
      }),
  });
}

/** Ends calls in every way, also by clients that disconnect. */
async function endInEveryWay(t: ExecutionContext, ledger: Ledger, round: number) {
  for (const method of methods) {
    for (const [ending, code] of Object.entries(endings)) {
      const reply = await ledger.ask(method, `${ending}-${round}`.replaceAll(' ', '-'), ending);
      t.is(reply.code, code, `${method}: ${ending}`);
    }
    const client = new AbortController();
    const cancelled = ledger.ask(method, `cancelled-${round}`, 'answers', { signal: client.signal });
    client.abort();
    await cancelled;
  }
}

for (const engine of engines) {
  test.serial(
    `${engine}: no ending of a call leaks a transaction, a connection, a listener or a timer`,
    async (t) => {
      const before = process.listenerCount('unhandledRejection');
      const { emit } = process;
      const [opened, isFree] = await open(t, engine);
      const store = new RememberedClaims(opened.store);
      const ledger = await openWithEndings(t, opened, store);
      const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
      t.not(process.emit, emit);
      await endInEveryWay(t, ledger, 1);
      await poll('nothing is in use', isFree);
      const idle = timers();
      for (const round of [2, 3]) await endInEveryWay(t, ledger, round);
      await poll('nothing is in use', isFree);
      await poll('all timers are cleared', () => timers() <= idle, 5_000);
      t.true(store.granted.length >= 50);
      for (const claim of store.granted) t.is(getEventListeners(claim.lost, 'abort').length, 0);
      t.is(ledger.outcomes.running, 0);
      // Two endings report a failure (`rejects` and `answers nonsense`), for two methods in three rounds.
      t.is(ledger.outcomes.failures.length, 12);
      await ledger.guard.close();
      await ledger.guard.close();
      t.is(process.listenerCount('unhandledRejection'), before);
      t.is(process.emit, emit);
    },
  );
}
