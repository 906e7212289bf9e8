import type { Pool } from 'pg';
import type { Row } from '../database.js';
import type { DatabaseEngine, Session, Statement } from '../engine.js';
import { CommitInDoubtError } from '../errors.js';
import { checkOut, giveBack } from './checkout.js';
import { isReadOnlyViolation, leavesCommitInDoubt, toDatabaseError } from './errors.js';
import { send } from './query.js';
import { PostgresSession } from './session.js';

const reading = /^\s*(select|values|table)\b/i;
/** WITH may lead to either. */
const perhapsReading = /^\s*(select|values|table|with)\b/i;
const locking = /\bfor\s+(no\s+key\s+update|update|key\s+share|share)\b/i;

/** Postgres: a pool of pipelined clients; a unit of work holds one from its first statement to its last. */
export class PostgresEngine implements DatabaseEngine {
  readonly name = 'postgres';
  readonly now = '(extract(epoch from statement_timestamp()) * 1000)::bigint';
  readonly readsAreCheap = false;
  readonly unitLimitMs: number;
  /** Servers that start together migrate one after another, however long the first one takes. */
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
      giveBack(client, false);
      return rows;
    } catch (error) {
      const lost = leavesCommitInDoubt(error);
      giveBack(client, lost);
      if (lost && !this.#reads(statement.text)) {
        throw new CommitInDoubtError('the statement was sent and its answer lost', { cause: error });
      }
      throw toDatabaseError(error);
    }
  }

  mayOnlyRead(text: string): boolean {
    return perhapsReading.test(text) && !locking.test(text);
  }

  /** The database has the last word: a function that is called by SELECT may write. */
  async read(statement: Statement): Promise<Row[] | undefined> {
    const client = await checkOut(this.#pool);
    const [begun, rows, ended] = await Promise.allSettled([
      client.query('BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY'),
      send(client, statement),
      client.query('COMMIT'),
    ]);
    giveBack(client, begun.status === 'rejected' || ended.status === 'rejected');
    if (rows.status === 'fulfilled') return rows.value;
    if (isReadOnlyViolation(rows.reason)) return undefined;
    throw toDatabaseError(rows.reason);
  }

  #reads(text: string): boolean {
    return reading.test(text) && !locking.test(text);
  }
}
