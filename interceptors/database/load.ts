/** How busy an open database is. */
export interface DatabaseLoad {
  readonly engine: 'sqlite' | 'postgres';
  /** The units of work and statements that wait: on SQLite for the writer, on Postgres for a connection of the pool. */
  readonly waiting: number;
  /** The connections of the pool. Undefined on SQLite. */
  readonly connections?: {
    /** The connections that are in use or being opened. */
    readonly inUse: number;
    readonly idle: number;
    /** How many connections the pool may open. Infinity if the pool states no maximum. */
    readonly max: number;
  };
}

/** A database whose load can be read. */
export interface LoadSource {
  /** Returns the load at present. Undefined if the database is closed. Runs no statement. */
  load(): DatabaseLoad | undefined;
  /**
   * Calls `listener` after each wait of a unit of work or a statement, with its duration in seconds. A unit of work or
   * a statement that starts at once is not reported. The listener must return quickly and must not throw.
   */
  onWait(listener: (seconds: number) => void): void;
}

/** Passes the waits of an engine on to its listeners. */
export class Waits {
  readonly #listeners: ((seconds: number) => void)[] = [];

  add(listener: (seconds: number) => void): void {
    this.#listeners.push(listener);
  }

  /** @param since when the wait began, by `performance.now()` */
  ended(since: number): void {
    const seconds = (performance.now() - since) / 1_000;
    for (const listener of this.#listeners) listener(seconds);
  }
}
