import type { EnteredContext } from '../context/entered-context.js';
import type { Database } from '../database/index.js';
import { BegunTransaction } from './begun-transaction.js';
import type { Control } from './control-text.js';

/** A transaction that is open on a connection, or a savepoint in it. */
interface Open {
  /** The name of the savepoint. Undefined for the transaction itself. */
  readonly name: string | undefined;
  /** Undefined for a savepoint whose release has failed. Such a savepoint can only be rolled back. */
  readonly transaction: BegunTransaction | undefined;
  readonly context: EnteredContext | undefined;
}

/** The transaction of a builder's connection, and its savepoints. They follow the rules of Postgres. */
export class OpenTransactions {
  readonly #database: Database;
  /** The transaction first, and its innermost savepoint last. */
  readonly #open: Open[] = [];
  /**
   * The error of a transaction that could not begin, or of a savepoint that could not be released. Later statements must
   * not commit on their own, or in the outer transaction.
   */
  #failure: Error | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Whether a transaction is open. */
  get isOpen(): boolean {
    return this.#open.length > 0;
  }

  /** Whether a transaction is open, or could not begin. */
  get mustEnd(): boolean {
    return this.isOpen || this.#failure !== undefined;
  }

  /** The handle for the next statement. @throws Error when only a rollback is possible */
  get handle(): Database {
    if (this.#failure) throw this.#failure;
    return this.#open.at(-1)?.transaction?.handle ?? this.#database;
  }

  /**
   * Begins, ends or nests a transaction.
   * @param context the context of a transaction that begins
   * @throws Error when the transaction could not begin or commit, or does not exist, or no savepoint has the name
   */
  async change(control: Control, context: EnteredContext | undefined): Promise<void> {
    switch (control.kind) {
      case 'begin':
        if (this.isOpen)
          throw new Error('a transaction is already open on this connection; nest a savepoint in it');
        return this.#begin(undefined, context);
      case 'set':
        // Only the modes that the transaction has are accepted.
        this.handle.current();
        return;
      case 'commit':
        return this.#commit();
      case 'rollback':
        return this.#rollBackTo(0);
      case 'savepoint':
        this.#position(undefined);
        return this.#begin(control.name, context);
      case 'release':
        return this.#release(control.name);
      case 'rollbackTo':
        await this.#rollBackTo(this.#position(control.name));
        return this.#begin(control.name, undefined);
    }
  }

  /** Returns the position of the innermost savepoint with the name. @throws Error when no open savepoint has the name */
  #position(name: string | undefined): number {
    if (!this.isOpen) throw this.#failure ?? new Error('no transaction is open on this connection');
    const at = this.#open.findLastIndex((open) => open.name === name);
    if (at < 0) throw new Error(`there is no savepoint ${name}`);
    return at;
  }

  async #begin(name: string | undefined, context: EnteredContext | undefined): Promise<void> {
    try {
      const transaction = await BegunTransaction.begin(this.handle, () => context?.become());
      this.#open.push({ name, transaction, context });
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  async #commit(): Promise<void> {
    const failure = this.#failure;
    if (!failure) return this.#commitFrom(0);
    await this.#rollBackTo(0);
    throw failure;
  }

  /** After a failed statement nothing is released, so that the builder can roll back to each of its savepoints. */
  async #release(name: string): Promise<void> {
    const at = this.#position(name);
    this.handle.current();
    try {
      await this.#commitFrom(at);
    } catch (error) {
      this.#failure = error as Error;
      this.#open.push({ name, transaction: undefined, context: undefined });
      throw error;
    }
  }

  /** Commits from the innermost savepoint to this position. If one fails, all of them are rolled back. */
  async #commitFrom(at: number): Promise<void> {
    while (this.#open.length > at) {
      try {
        await this.#pop()?.commit();
      } catch (error) {
        await this.#rollBackTo(at);
        throw error;
      }
    }
  }

  async #rollBackTo(at: number): Promise<void> {
    this.#failure = undefined;
    while (this.#open.length > at) await this.#pop()?.rollback();
  }

  /** Removes the innermost transaction, and ends its context. */
  #pop(): BegunTransaction | undefined {
    const last = this.#open.pop();
    last?.context?.end();
    return last?.transaction;
  }
}
