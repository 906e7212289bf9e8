import { setTimeout as delay } from 'node:timers/promises';
import { types } from 'node:util';
import type { Database as Handle } from 'better-sqlite3';
import type { Clock } from '../../timing/clock.js';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { Row, SqlColumn, SqlValue } from '../database.js';
import { currentTime, type Statement } from '../engine.js';
import { LockTimeoutError } from '../errors.js';
import type { RawValue, StatementResult } from '../result.js';
import { named, namesOf } from './columns.js';
import { toDatabaseError } from './errors.js';
import { currentColumns, type PreparedStatement, PreparedStatements } from './prepared-statements.js';

/** How long SQLite itself waits for another process, in milliseconds. During this wait the event loop is blocked. */
export const BLOCKING_WAIT_MS = 5;

const LOCK_RETRY_MS = 15;

/** The clocks of a connection. Both return milliseconds since the epoch. */
export interface ConnectionClocks {
  /** The time of `currentTime`, and of `replay_guard_now()` in SQL. */
  readonly now: Clock;
  /** The time of `retentionTime`, and of `replay_guard_retention_now()` in SQL. */
  readonly retention: Clock;
}

/** One SQLite connection. It prepares each statement once, and converts values and errors to the common form. */
export class Connection {
  readonly #handle: Handle;
  readonly #clocks: ConnectionClocks;
  readonly #statements: PreparedStatements;
  /** The times of the current statement. Undefined until the statement asks for them. */
  #now: bigint | undefined;
  #retentionNow: bigint | undefined;

  constructor(handle: Handle, clocks: ConnectionClocks) {
    this.#handle = handle;
    this.#statements = new PreparedStatements(handle);
    this.#clocks = clocks;
    // The time is the same throughout a statement, as with statement_timestamp() of Postgres.
    handle.function('replay_guard_now', () => this.#time());
    handle.function('replay_guard_retention_now', () => this.#retentionTime());
  }

  /** Runs one statement and returns its rows. */
  run({ text, params, result }: Statement): Row[] {
    try {
      const statement = this.#statements.get(text);
      const { prepared, positions, returnsRows, names } = statement;
      if (statement.parameters !== params.length) throw wrongNumber(statement.parameters, params.length);
      this.#now = undefined;
      this.#retentionNow = undefined;
      const values = [];
      for (const position of positions) values.push(this.#valueOf(params[position]));
      if (result) {
        fill(result, statement, values);
        return [];
      }
      if (returnsRows) {
        const rows = prepared.all(...values) as SqlColumn[][];
        const current = names ?? namesOf(prepared);
        return rows.map((row) => named(current, row));
      }
      prepared.run(...values);
      return [];
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  /** The time of the current statement. A bound time costs less than a call of `replay_guard_now()` in SQL. */
  #time(): bigint {
    this.#now ??= BigInt(Math.trunc(this.#clocks.now()));
    return this.#now;
  }

  #retentionTime(): bigint {
    this.#retentionNow ??= BigInt(Math.trunc(this.#clocks.retention()));
    return this.#retentionNow;
  }

  #valueOf(param: Statement['params'][number] | undefined): SqlValue | undefined {
    if (typeof param !== 'symbol') return toSqlite(param);
    return param === currentTime ? this.#time() : this.#retentionTime();
  }

  /** Runs statements that control transactions, separated by `; `. */
  control(text: string): void {
    if (!text.includes(';')) this.run({ text, params: [] });
    else for (const each of text.split('; ')) this.run({ text: each, params: [] });
  }

  /**
   * Whether the statement runs on this connection and only reads. Transaction control counts as writing. The run of a
   * statement that is not valid reports why.
   */
  onlyReads(text: string): boolean {
    try {
      return this.#statements.get(text).onlyReads;
    } catch {
      return false;
    }
  }

  /** Whether a transaction is open on the connection. */
  get inTransaction(): boolean {
    return this.#handle.inTransaction;
  }

  close(): void {
    this.#handle.close();
  }
}

/** Runs a statement and fills its result. A statement that writes and returns rows returns one for each row it writes. */
function fill(
  result: StatementResult<object>,
  statement: PreparedStatement,
  values: readonly (SqlValue | undefined)[],
): void {
  const { prepared, returnsRows, onlyReads } = statement;
  result.command = statement.command;
  if (!returnsRows) {
    const { changes, lastInsertRowid } = prepared.run(...values);
    result.affectedRows = changes;
    result.lastRowId = changes > 0 ? BigInt(lastInsertRowid) : undefined;
    return;
  }
  result.values = prepared.all(...values) as RawValue[][];
  result.columns = currentColumns(statement);
  result.affectedRows = onlyReads ? 0 : result.values.length;
}

function wrongNumber(needed: number, given: number): Error {
  return new TypeError(`the statement has ${needed} parameters, and ${given} were given`);
}

/**
 * A whole number is bound as an integer, not as a double.
 * @throws TypeError when a parameter has another type than `SqlValue`. better-sqlite3 would use the members of a list
 *   as parameters.
 */
function toSqlite(value: SqlValue | undefined): SqlValue | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (types.isDate(value)) return dateText(value);
  throw new TypeError('a parameter must be text, a number, a boolean, a date, bytes or null');
}

function dateText(date: Date): string {
  if (Number.isNaN(date.getTime())) throw new TypeError('a date parameter must be a valid date');
  return date.toISOString();
}

/**
 * Runs `attempt`, and repeats it while another process holds the file. The event loop is free between two attempts.
 * The result of a first attempt that succeeds is there at once.
 * @throws LockTimeoutError when another process still holds the file after `limitMs`
 */
export function retryWhileLocked<T>(limitMs: number, attempt: () => T): MaybePromise<T> {
  try {
    return attempt();
  } catch (error) {
    if (!(error instanceof LockTimeoutError)) throw error;
    return retryUntil(performance.now() + limitMs, attempt);
  }
}

async function retryUntil<T>(until: number, attempt: () => T): Promise<T> {
  for (;;) {
    await delay(LOCK_RETRY_MS);
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof LockTimeoutError) || performance.now() >= until) throw error;
    }
  }
}
