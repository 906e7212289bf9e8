import type { Pool } from 'pg';
import type { Row } from '../database.js';
import type { DatabaseEngine, Session, Statement } from '../engine.js';
import { CommitInDoubtError } from '../errors.js';
import { checkOut, returnToPool, send } from './connection.js';
import { isReadOnlyViolation, leavesCommitInDoubt, toDatabaseError } from './errors.js';
import { PostgresSession } from './session.js';

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

  async open(first?: Statement): Promise<{ session: Session; rows: Row[] }> {
    const session = new PostgresSession(await checkOut(this.#pool));
    return { session, rows: await session.begin(first) };
  }

  async run(statement: Statement): Promise<Row[]> {
    const client = await checkOut(this.#pool);
    try {
      const rows = await send(client, statement);
      returnToPool(client, false);
      return rows;
    } catch (error) {
      const isInDoubt = leavesCommitInDoubt(error);
      returnToPool(client, isInDoubt);
      if (isInDoubt && !onlyReads(statement.text)) {
        throw new CommitInDoubtError('the statement was sent and its answer was lost', { cause: error });
      }
      throw toDatabaseError(error);
    }
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

function onlyReads(text: string): boolean {
  return reading.test(text) && !locking.test(text);
}
