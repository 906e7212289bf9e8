import type { Database as Handle, Statement as Prepared } from 'better-sqlite3';
import type { Row, SqlValue } from '../database.js';
import type { Statement } from '../engine.js';
import { toDatabaseError } from './errors.js';

/** One SQLite connection: statements prepared once, values as on every engine, errors in our terms. */
export class Connection {
  readonly #handle: Handle;
  readonly #prepared = new Map<string, Prepared>();
  #now = 0n;

  constructor(handle: Handle, clock: () => number) {
    this.#handle = handle;
    this.#clock = clock;
    // One time for a whole statement, like Postgres' statement_timestamp().
    handle.function('replay_guard_now', () => this.#now);
  }

  readonly #clock: () => number;

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

  /** Whether the statement only reads; transaction control counts as writing. */
  reads(text: string): boolean {
    const prepared = this.#prepare(text);
    return prepared.readonly && prepared.reader;
  }

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

/** `$1` is a named parameter to SQLite; a whole number is bound as an integer, not as a double. */
function bind(params: readonly SqlValue[]): Record<string, SqlValue> {
  return Object.fromEntries(
    params.map((value, index) => [
      String(index + 1),
      typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value,
    ]),
  );
}
