import { setTimeout as delay } from 'node:timers/promises';
import type { Database as Handle, Statement as Prepared } from 'better-sqlite3';
import type { Row, SqlValue } from '../database.js';
import type { Statement } from '../engine.js';
import { LockTimeoutError } from '../errors.js';
import { toDatabaseError } from './errors.js';

/** How long SQLite itself waits for another process, in milliseconds. During this wait the event loop is blocked. */
export const BLOCKING_WAIT_MS = 5;

const LOCK_RETRY_MS = 15;

/**
 * One SQLite connection. The connection prepares each statement once. It returns values and errors in the form that
 * all engines share.
 */
export class Connection {
  readonly #handle: Handle;
  readonly #clock: () => number;
  readonly #prepared = new Map<string, Prepared>();
  #now = 0n;

  /** @param clock returns the time for the SQL function `replay_guard_now()`, in milliseconds since the epoch */
  constructor(handle: Handle, clock: () => number) {
    this.#handle = handle;
    this.#clock = clock;
    // The time is the same throughout a statement, as with statement_timestamp() of Postgres.
    handle.function('replay_guard_now', () => this.#now);
  }

  /** Runs one statement and returns its rows. */
  run({ text, params }: Statement): Row[] {
    try {
      const prepared = this.#prepare(text);
      this.#now = BigInt(Math.trunc(this.#clock()));
      const bound = params.length > 0 ? [bind(params)] : [];
      if (prepared.reader) return prepared.all(...bound) as Row[];
      prepared.run(...bound);
      return [];
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  /** Runs a statement that controls transactions. */
  control(text: string): void {
    this.run({ text, params: [] });
  }

  /** Whether the statement only reads. Transaction control counts as writing. */
  onlyReads(text: string): boolean {
    const prepared = this.#prepare(text);
    return prepared.readonly && prepared.reader;
  }

  /** Whether a transaction is open on the connection. */
  get inTransaction(): boolean {
    return this.#handle.inTransaction;
  }

  close(): void {
    this.#handle.close();
  }

  #prepare(text: string): Prepared {
    let prepared = this.#prepared.get(text);
    if (!prepared) {
      prepared = this.#handle.prepare(text).safeIntegers(true);
      this.#prepared.set(text, prepared);
    }
    return prepared;
  }
}

/** SQLite treats `$1` as a named parameter. A whole number is bound as an integer, not as a double. */
function bind(params: readonly SqlValue[]): Record<string, SqlValue> {
  return Object.fromEntries(
    params.map((value, index) => [
      String(index + 1),
      typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value,
    ]),
  );
}

/**
 * Repeats `attempt` while another process holds the file. The event loop continues between two attempts.
 * @throws LockTimeoutError when another process still holds the file after `limitMs`
 */
export async function retryWhileLocked<T>(limitMs: number, attempt: () => T): Promise<T> {
  const until = performance.now() + limitMs;
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof LockTimeoutError) || performance.now() >= until) throw error;
    }
    await delay(LOCK_RETRY_MS);
  }
}
