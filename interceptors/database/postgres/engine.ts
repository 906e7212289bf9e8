import type { Pool, PoolClient } from 'pg';
import type { Row } from '../database.js';
import type {
  Attempt,
  AttemptMode,
  DatabaseEngine,
  OpenedSession,
  Statement,
  StatementTime,
} from '../engine.js';
import { CommitInDoubtError, LockTimeoutError } from '../errors.js';
import { checkOut, returnToPool, send } from './connection.js';
import { isReadOnlyViolation, leavesCommitInDoubt, toDatabaseError } from './errors.js';
import { beginWithShortLockWait, PostgresSession } from './session.js';

const reading = /^\s*(select|values|table)\b/i;
/** A statement that starts with WITH may read or write. */
const perhapsReading = /^\s*(select|values|table|with)\b/i;
const locking = /\bfor\s+(no\s+key\s+update|update|key\s+share|share)\b/i;

/**
 * The Postgres engine over a pool of pipelined clients. A unit of work holds one client from its start to its end.
 */
export class PostgresEngine implements DatabaseEngine {
  readonly name = 'postgres';
  readonly now = '(extract(epoch from statement_timestamp()) * 1000)::bigint';
  readonly hasSeparateReader = false;
  readonly time: StatementTime = { sql: () => this.now, params: [] };
  readonly unitLimitMs: number;
  /** Servers that start at the same time migrate one after another. The wait for the lock has no limit. */
  readonly migrationLock: Statement = {
    text: "SELECT set_config('lock_timeout', '0', true), pg_advisory_xact_lock(7267136, 1)",
    params: [],
  };
  readonly #pool: Pool;

  constructor(pool: Pool, unitLimitMs: number) {
    this.#pool = pool;
    this.unitLimitMs = unitLimitMs;
  }

  async open(first?: Statement): Promise<OpenedSession> {
    const session = new PostgresSession(await checkOut(this.#pool));
    return { session, rows: await session.begin(first) };
  }

  async run(statement: Statement): Promise<Row[]> {
    const client = await checkOut(this.#pool);
    return this.#returnAfter(
      client,
      () => send(client, statement),
      () => !onlyReads(statement.text),
    );
  }

  /**
   * Returns the client to the pool after `work`.
   * @param mayCommit whether a lost answer leaves a commit in doubt
   */
  async #returnAfter<T>(client: PoolClient, work: () => Promise<T>, mayCommit: () => boolean): Promise<T> {
    try {
      const result = await work();
      returnToPool(client, false);
      return result;
    } catch (error) {
      const isInDoubt = leavesCommitInDoubt(error);
      returnToPool(client, isInDoubt);
      if (isInDoubt && mayCommit()) {
        throw new CommitInDoubtError('the statement was sent and its answer was lost', { cause: error });
      }
      throw toDatabaseError(error);
    }
  }

  async attempt(first: Statement, instead: Statement, mode: AttemptMode): Promise<Attempt> {
    const client = await checkOut(this.#pool);
    if (mode === 'open') return new PostgresSession(client).attempt(first, instead);
    let isDecided = false;
    const work = async (): Promise<Attempt> => {
      const rows = await runAlone(client, first);
      isDecided = true;
      if (rows && rows.length > 0) return { rows };
      return { instead: await send(client, instead), isLocked: rows === undefined };
    };
    return this.#returnAfter(client, work, () => !isDecided);
  }

  mayOnlyRead(text: string): boolean {
    return perhapsReading.test(text) && !locking.test(text);
  }

  /** Runs the statement in a read-only transaction, because a function that a SELECT calls may write. */
  async read(statement: Statement): Promise<Row[] | undefined> {
    const client = await checkOut(this.#pool);
    const [begin, rows, commit] = await Promise.allSettled([
      client.query('BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY'),
      send(client, statement),
      client.query('COMMIT'),
    ]);
    returnToPool(client, begin.status === 'rejected' || commit.status === 'rejected');
    if (rows.status === 'fulfilled') return rows.value;
    if (isReadOnlyViolation(rows.reason)) return undefined;
    throw toDatabaseError(rows.reason);
  }
}

/**
 * Runs a statement that waits only briefly for a locked row, and commits it. The transaction costs no round trip.
 * @returns the rows, or undefined if another transaction holds the row
 * @throws the error of the connection or of the statement
 */
async function runAlone(client: PoolClient, statement: Statement): Promise<Row[] | undefined> {
  const [begun, rows, committed] = await Promise.allSettled([
    client.query(beginWithShortLockWait),
    send(client, statement),
    client.query('COMMIT'),
  ]);
  if (begun.status === 'rejected') throw begun.reason;
  if (committed.status === 'rejected') throw committed.reason;
  if (rows.status === 'fulfilled') return rows.value;
  if (toDatabaseError(rows.reason) instanceof LockTimeoutError) return undefined;
  throw rows.reason;
}

function onlyReads(text: string): boolean {
  return reading.test(text) && !locking.test(text);
}
