import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { retryWhileUnavailable } from '../../helpers/calls/retry-while-unavailable.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { freshFolder } from '../../helpers/databases/engines.js';
import {
  type Ledger,
  type LedgerSetup,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';

const emptied = emptiedData(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = (policy: object) => Object.fromEntries(paths.map((path) => [path, policy]));

/** A database that accepts a claim and the handler's write, and refuses the reply. */
interface HalfWorking {
  readonly ledger: Ledger;
  repair(): Promise<void>;
}

const handlers: NonNullable<LedgerSetup['handlers']> = (database) =>
  onBoth(async (account, callback) => {
    await writeEffect(database, account);
    const id = account === 'large' ? 'x'.repeat(500_000) : account;
    callback(null, { entryId: id, transferId: id });
  });

/** @param broken the statements on records that fail with `disk full`: completing a record, deleting it */
async function fullPostgres(
  t: ExecutionContext,
  leaseMs: number,
  ...broken: ('UPDATE' | 'DELETE')[]
): Promise<HalfWorking> {
  const ledger = await openLedger(t, await emptied(t, 'postgres'), {
    handlers,
    guard: { policies: policies({ leaseMs }) },
  });
  const { database } = ledger;
  await database.query('CREATE TABLE broken (operation TEXT)');
  await database.query(`
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP IN (SELECT operation FROM broken) AND (TG_OP = 'DELETE' OR NEW.state = 1) THEN
        RAISE EXCEPTION 'no space left' USING ERRCODE = '53100';
      END IF;
      RETURN coalesce(NEW, OLD);
    END $$`);
  await database.query(`
    CREATE TRIGGER fail BEFORE UPDATE OR DELETE ON replay_guard_records FOR EACH ROW EXECUTE FUNCTION fail()`);
  for (const operation of broken) await database.query('INSERT INTO broken VALUES ($1)', [operation]);
  return { ledger, repair: async () => void (await database.query('DELETE FROM broken')) };
}

async function fullSqlite(t: ExecutionContext): Promise<HalfWorking> {
  const handle = new Sqlite(join(await freshFolder(t), 'test.db'));
  t.teardown(() => void handle.close());
  const opened = await openSqlite({ database: handle });
  t.teardown(opened.close);
  const ledger = await openLedger(t, 'sqlite', { opened, handlers });
  const pages = Number(handle.pragma('page_count', { simple: true }));
  const repair = async () => void handle.pragma('max_page_count = 1000000');
  // The file has room for the claim and the write, but not for the reply.
  handle.pragma(`max_page_count = ${pages + 20}`);
  return { ledger, repair };
}

const full = {
  sqlite: fullSqlite,
  postgres: (t: ExecutionContext) => fullPostgres(t, 1_000, 'UPDATE'),
} as const;

for (const [engine, open] of Object.entries(full)) {
  for (const method of methods) {
    test.serial(
      `${engine}, ${method}: a reply that cannot be stored rolls the writes back and releases the key`,
      async (t) => {
        const { ledger, repair } = await open(t);
        for (const _ of [1, 2]) {
          const refused = await ledger.ask(method, 'key', 'large');
          assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
          t.deepEqual(await ledger.effects(), []);
          t.deepEqual(await ledger.database.query('SELECT state FROM replay_guard_records'), []);
        }
        t.is(ledger.entered, 2, 'the key was free again');
        t.is(ledger.outcomes.did('release'), 2);
        await repair();
        const first = await ledger.ask(method, 'key', 'large');
        t.like(first, { code: status.OK, replayed: false });
        t.deepEqual(ledger.outcomes.takenOver, [false, false, false]);
        t.like(await ledger.ask(method, 'key', 'large'), { bytes: first.bytes, replayed: true });
        t.deepEqual(await ledger.effects(), ['large']);
      },
    );
  }
}

test.serial(
  'postgres, transfer: a key that cannot be released is released when the database works again, before its lease expires',
  async (t) => {
    const { ledger, repair } = await fullPostgres(t, 60_000, 'UPDATE', 'DELETE');
    const refused = await ledger.transfer('key', { from: 'alice' });
    assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
    t.deepEqual(await ledger.database.query('SELECT state FROM replay_guard_records'), [{ state: -2n }]);
    t.deepEqual(await ledger.effects(), []);
    await repair();
    const retry = await retryWhileUnavailable(() => ledger.transfer('key', { from: 'alice' }));
    t.like(retry, { code: status.OK, replayed: false });
    t.deepEqual(ledger.outcomes.takenOver, [false, false]);
    t.deepEqual(await ledger.effects(), ['alice']);
  },
);

test.serial(
  'sqlite: each call that shares a commit with a failed call is committed completely or not at all',
  async (t) => {
    const { ledger, repair } = await fullSqlite(t);
    const accounts = Array.from({ length: 12 }, (_, i) => (i % 4 === 1 ? 'large' : `small-${i}`));
    const ask = (account: string, i: number) => ledger.append(`key-${i}`, { account });
    const replies = await Promise.all(accounts.map(ask));
    const done = accounts.filter((_, i) => replies[i]?.code === status.OK);
    for (const reply of replies) t.true([status.OK, status.UNAVAILABLE].includes(reply.code), reply.details);
    t.false(done.includes('large'));
    t.deepEqual(await ledger.effects(), done.sort());
    await repair();
    for (const reply of await Promise.all(accounts.map(ask))) t.is(reply.code, status.OK);
    t.deepEqual(await ledger.effects(), [...accounts].sort());
  },
);
