import type { Database } from '../database/index.js';

/** The reason of a rollback that the query builder has asked for. */
const rolledBack = new Error('the query builder has rolled the transaction back');

/** How a transaction ends. `done` returns the promise of the whole transaction. */
interface End {
  commit(): void;
  rollBack(reason: Error): void;
  done(): Promise<void>;
}

/**
 * A transaction of the handle that begins and ends by calls. The handle runs a transaction around a function, and query
 * builders send BEGIN, statements and COMMIT one after another.
 */
export class BegunTransaction {
  /** The handle of this transaction. It stays with the transaction in every asynchronous context. */
  readonly handle: Database;
  readonly #end: End;

  private constructor(handle: Database, end: End) {
    this.handle = handle;
    this.#end = end;
  }

  /**
   * Begins a transaction: a savepoint inside a unit of work or a transaction, else a unit of work of its own.
   * @param inside called in the asynchronous context of the transaction
   * @throws Error of the handle when the transaction could not begin
   */
  static begin(database: Database, inside?: () => void): Promise<BegunTransaction> {
    return new Promise((resolve, reject) => {
      const work = () =>
        new Promise<void>((commit, rollBack) => {
          inside?.();
          // A savepoint begins before `transaction` returns.
          resolve(new BegunTransaction(database.current(), { commit, rollBack, done: () => transaction }));
        });
      const transaction = database.transaction(work);
      transaction.catch(reject);
    });
  }

  /** Commits. @throws Error of the handle when nothing was committed, or when the commit is in doubt */
  async commit(): Promise<void> {
    this.#end.commit();
    await this.#end.done();
  }

  /** Rolls back. Never fails: a transaction that was lost is rolled back as well. */
  async rollback(): Promise<void> {
    this.#end.rollBack(rolledBack);
    await this.#end.done().catch(() => {});
  }
}
