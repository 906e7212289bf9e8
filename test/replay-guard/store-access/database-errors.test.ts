import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import Sqlite from 'better-sqlite3';
import {
  CommitInDoubtError,
  DatabaseUnavailableError,
  LeaseLostError,
  LockTimeoutError,
  NoConnectionError,
} from 'grpc-replay-guard/database';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { administer } from '../../helpers/databases/administer.js';
import { engines, freshData, freshFolder } from '../../helpers/databases/engines.js';
import { type Ledger, methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { captureUnhandledErrors } from '../../helpers/servers/unhandled-errors.js';

// AVA would report the rejections of the handlers.
captureUnhandledErrors(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
/** The policy stores the failures of handlers, so that a stored error of the database would be replayed. */
const keepUnknown = Object.fromEntries(paths.map((path) => [path, { replayedCodes: [status.UNKNOWN] }]));

const ofAnotherCopy = Object.assign(new Error('text'), { code: 'REPLAY_GUARD_DATABASE_UNAVAILABLE' });
const serialization = Object.assign(new Error('text'), { code: '40001', severity: 'ERROR' });
const reasons: readonly [error: Error, reason: string][] = [
  [new DatabaseUnavailableError('text'), 'IDEMPOTENCY_STORE_UNAVAILABLE'],
  [new NoConnectionError('text'), 'IDEMPOTENCY_STORE_UNAVAILABLE'],
  [new LockTimeoutError('text'), 'IDEMPOTENCY_STORE_UNAVAILABLE'],
  [new Error('of the handler', { cause: new LockTimeoutError('text') }), 'IDEMPOTENCY_STORE_UNAVAILABLE'],
  [ofAnotherCopy, 'IDEMPOTENCY_STORE_UNAVAILABLE'],
  [serialization, 'IDEMPOTENCY_STORE_UNAVAILABLE'],
  [new LeaseLostError('text'), 'IDEMPOTENCY_LEASE_LOST'],
  [new CommitInDoubtError('text'), 'IDEMPOTENCY_OUTCOME_UNKNOWN'],
];

for (const [error, reason] of reasons) {
  const { name, cause } = error;
  const text = 'code' in error ? `${name} ${error.code}` : `${name} caused by ${(cause as Error).name}`;
  test.serial(
    `a handler that rejects with ${text} is answered with ${reason}, and a retry executes`,
    async (t) => {
      const { ledger, repair } = await failing(t, 'memory', async () => {
        throw error;
      });
      for (const method of methods) {
        const reply = await ledger.ask(method, 'key');
        assertRefused(t, reply, status.UNAVAILABLE, reason, 'RetryInfo');
        t.false(reply.details.includes('text'));
      }
      repair();
      for (const method of methods)
        t.like(await ledger.ask(method, 'key'), { code: status.OK, replayed: false });
    },
  );
}

test.serial('the failure of a downstream call stays the result of the handler', async (t) => {
  const { ledger } = await failing(t, 'memory', async (callback) =>
    callback(Object.assign(new Error(), { code: status.UNAVAILABLE, details: 'downstream' })),
  );
  for (const method of methods)
    t.like(await ledger.ask(method, 'key'), { code: status.UNAVAILABLE, details: 'downstream' });
});

/** How an error of a statement leaves a handler. */
const exits: Record<string, (error: Error, callback: (error: Error) => void) => void> = {
  'is passed to the callback': (error, callback) => callback(error),
  'is wrapped and passed to the callback': (error, callback) =>
    callback(new Error('order not saved', { cause: error })),
  'is replaced by another error': () => {
    throw new Error('order not saved');
  },
};

for (const [how, exit] of Object.entries(exits)) {
  for (const engine of engines) {
    test.serial(
      `${engine}: an outage in a statement whose error ${how} is answered as unavailable, never stored`,
      async (t) => {
        const { ledger, repair } = await failing(t, engine, async (callback, fail) => {
          await fail().catch((error: Error) => exit(error, callback));
        });
        for (const method of methods) {
          const reply = await ledger.ask(method, 'key');
          assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
        }
        repair();
        for (const method of methods) {
          t.like(await ledger.ask(method, 'key'), { code: status.OK, replayed: false });
          t.like(await ledger.ask(method, 'key'), { code: status.OK, replayed: true });
        }
      },
    );
  }
}

for (const engine of engines) {
  test.serial(
    `${engine}: an outage or contention in a nested transaction is answered as unavailable, never stored`,
    async (t) => {
      const { ledger, repair } = await failing(t, engine, async (callback, fail) => {
        const { database } = ledger;
        const work = () => (engine === 'sqlite' ? fail() : database.query(lockRefusal));
        await database.transaction(() => database.transaction(work)).catch(callback);
      });
      for (const method of methods) {
        const reply = await ledger.ask(method, 'key');
        assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      }
      repair();
      for (const method of methods)
        t.like(await ledger.ask(method, 'key'), { code: status.OK, replayed: false });
    },
  );

  test.serial(
    `${engine}: a handler that answers OK after an outage in its statement is answered as unavailable`,
    async (t) => {
      const { ledger } = await failing(t, engine, async (callback, fail) => {
        await fail().catch(() => {});
        callback(null);
      });
      for (const method of methods) {
        const reply = await ledger.ask(method, 'key');
        assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      }
    },
  );

  test.serial(
    `${engine}: the status that a handler chooses after an outage in its statement is its result`,
    async (t) => {
      const { ledger } = await failing(t, engine, async (callback, fail) => {
        await fail().catch(() => {});
        callback(Object.assign(new Error(), { code: status.INTERNAL, details: 'chosen' }));
      });
      for (const method of methods)
        t.like(await ledger.ask(method, 'key'), { code: status.INTERNAL, details: 'chosen' });
    },
  );
}

/** Fails as a statement does that has waited too long for a lock. The transaction around it goes on after a rollback. */
const lockRefusal = `DO $$ BEGIN RAISE EXCEPTION 'text' USING ERRCODE = 'lock_not_available'; END $$`;

type Failing = (
  callback: (error: Error | null) => void,
  /** Runs a statement that fails because of an outage. */
  fail: () => Promise<unknown>,
) => Promise<void>;

/** Starts a ledger whose handlers fail in the given way until `repair` is called. */
async function failing(
  t: Parameters<typeof openLedger>[0],
  engine: (typeof engines)[number] | 'memory',
  work: Failing,
) {
  const handle = engine === 'sqlite' ? new Sqlite(join(await freshFolder(t), 'test.db')) : undefined;
  if (handle) t.teardown(() => void handle.close());
  const data = engine === 'memory' ? engine : await freshData(t, engine);
  const opened = handle && (await openSqlite({ database: handle }));
  if (opened) t.teardown(opened.close);
  let isRepaired = false;
  /** The disk is full, or an operator ends the session of the call. */
  const breakDatabase = async (ledger: Ledger) => {
    if (handle) {
      handle.pragma(`max_page_count = ${handle.pragma('page_count', { simple: true })}`);
      return ledger.database.query('INSERT INTO effects VALUES ($1, 1)', ['e'.repeat(50_000)]);
    }
    const rows = await ledger.database.query(
      'INSERT INTO effects VALUES ($1, 1) RETURNING pg_backend_pid() AS pid',
      ['a'],
    );
    const url = (data as { url: string }).url;
    await administer(url, `SELECT pg_terminate_backend(${rows[0]?.pid})`);
    return ledger.database.query('INSERT INTO effects VALUES ($1, 1)', ['b']);
  };
  const ledger: Ledger = await openLedger(t, data, {
    ...(opened && { opened }),
    guard: { policies: keepUnknown },
    handlers: () =>
      onBoth(async (_account, callback) => {
        if (isRepaired) return callback(null, {});
        const answer = (error: Error | null) => (error ? callback(error) : callback(null, {}));
        return work(answer, () => breakDatabase(ledger));
      }),
  });
  const repair = () => {
    isRepaired = true;
    handle?.pragma('max_page_count = 1000000');
  };
  return { ledger, repair };
}
