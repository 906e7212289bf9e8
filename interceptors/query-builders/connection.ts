import { EnteredContext } from '../context/entered-context.js';
import type { Database, Result } from '../database/index.js';
import { StatementResult } from '../database/result.js';
import { BegunTransaction } from './begun-transaction.js';
import { type Control, controlOf } from './control-text.js';
import { toParameters } from './parameters.js';

/** A transaction that is open on a connection, or a savepoint in it. */
interface Open {
  /** The name of the savepoint. Undefined for the transaction itself. */
  readonly name: string | undefined;
  readonly transaction: BegunTransaction;
  readonly context: EnteredContext | undefined;
}

/**
 * What a query builder takes for a connection of its pool. Statements join the transaction that was begun on the
 * connection, else the unit of work of the current asynchronous context. Calls take effect in their order, also if the
 * builder does not wait for them.
 */
export class BuilderConnection {
  readonly #database: Database;
  readonly #entersContext: boolean;
  /** The open transaction and its savepoints, the innermost last. */
  #open: Open[] = [];
  /** Resolves when the begins and ends of transactions that were called so far have ended. Undefined if none runs. */
  #changing: Promise<void> | undefined;
  #hasBegun = false;
  /** The error of a transaction that could not begin. The statements behind it must not commit on their own. */
  #failure: Error | undefined;

  /**
   * @param entersContext whether the function that begins a transaction continues in the context of the transaction, so
   *   that everything that it calls joins the transaction. It must end with the transaction
   */
  constructor(database: Database, entersContext: boolean) {
    this.#database = database;
    this.#entersContext = entersContext;
  }

  /**
   * Runs a statement. A text that begins, ends or nests a transaction does that to the transaction of this connection.
   * @throws Error of the handle; its codes are unchanged
   */
  async query(text: string, params: readonly unknown[] = []): Promise<Result> {
    const control = controlOf(text);
    if (!control || this.#isForeign(control)) return this.#execute(text, params);
    await this.change(control);
    const result = new StatementResult<Record<string, unknown>>();
    result.command = control.kind === 'rollbackTo' ? 'ROLLBACK' : control.kind.toUpperCase();
    return result;
  }

  /**
   * Begins, ends or nests a transaction.
   * @throws Error when the transaction was not begun or not committed, or there is no such transaction or savepoint
   */
  change(control: Control): Promise<void> {
    const isBegin = control.kind === 'begin' || control.kind === 'savepoint';
    this.#hasBegun ||= isBegin;
    const context = isBegin && this.#entersContext ? new EnteredContext() : undefined;
    const change = () => this.#change(control, context);
    const changed = this.#changing ? this.#changing.then(change) : change();
    const ended = changed
      .catch(() => {})
      .then(() => {
        if (this.#changing === ended) this.#changing = undefined;
      });
    this.#changing = ended;
    context?.enter();
    return changed;
  }

  /**
   * Rolls back what the builder has left open.
   * @throws Error when a transaction was open, for example after BEGIN as a single statement
   */
  async close(): Promise<void> {
    if (!this.#isInTransaction) return;
    await this.#changing;
    const isOpen = this.#open.length > 0;
    await this.change({ kind: 'rollback' });
    if (isOpen) throw new Error('a transaction was left open on its connection, and was rolled back');
  }

  /**
   * Whether the transaction was begun elsewhere, so that the handle refuses to end it. A rollback may follow a commit that
   * has failed.
   */
  #isForeign({ kind }: Control): boolean {
    return (kind === 'commit' && !this.#isInTransaction) || (kind === 'rollback' && !this.#hasBegun);
  }

  get #isInTransaction(): boolean {
    return this.#open.length > 0 || this.#changing !== undefined || this.#failure !== undefined;
  }

  #execute(text: string, params: readonly unknown[]): Promise<Result> {
    return this.#changing ? this.#changing.then(() => this.#send(text, params)) : this.#send(text, params);
  }

  async #send(text: string, params: readonly unknown[]): Promise<Result> {
    if (this.#failure) throw this.#failure;
    const handle = this.#open.at(-1)?.transaction.handle ?? this.#database;
    return handle.execute(text, toParameters(params, handle.dialect.name));
  }

  async #change(control: Control, context: EnteredContext | undefined): Promise<void> {
    switch (control.kind) {
      case 'begin':
        if (this.#open.length > 0)
          throw new Error('a transaction is already open on this connection; use SAVEPOINT');
        return this.#begin(undefined, context);
      case 'commit':
        return this.#commit();
      case 'rollback':
        return this.#rollBack(0);
      case 'savepoint':
        this.#position(undefined);
        return this.#begin(control.name, context);
      case 'release':
        return this.#commitFrom(this.#position(control.name));
      case 'rollbackTo':
        await this.#rollBack(this.#position(control.name));
        return this.#begin(control.name, undefined);
    }
  }

  /** Returns the position of the innermost open savepoint of this name. @throws Error when there is none */
  #position(name: string | undefined): number {
    if (this.#open.length === 0)
      throw this.#failure ?? new Error('no transaction is open on this connection');
    const at = this.#open.findLastIndex((open) => open.name === name);
    if (at < 0) throw new Error(`there is no savepoint ${name}`);
    return at;
  }

  async #begin(name: string | undefined, context: EnteredContext | undefined): Promise<void> {
    const around = this.#open.at(-1)?.transaction.handle ?? this.#database;
    try {
      const transaction = await BegunTransaction.begin(around, () => context?.become());
      this.#open.push({ name, transaction, context });
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  async #commit(): Promise<void> {
    const failure = this.#failure;
    if (!failure) return this.#commitFrom(0);
    await this.#rollBack(0);
    throw failure;
  }

  /** Commits a transaction or a savepoint with the savepoints in it, the innermost first. */
  async #commitFrom(at: number): Promise<void> {
    while (this.#open.length > at) {
      const { transaction, context } = this.#open.pop() as Open;
      context?.end();
      try {
        await transaction.commit();
      } catch (error) {
        // The failed savepoint was rolled back, and what is around it must not commit without it.
        await this.#rollBack(at);
        throw error;
      }
    }
  }

  async #rollBack(at: number): Promise<void> {
    this.#failure = undefined;
    while (this.#open.length > at) {
      const { transaction, context } = this.#open.pop() as Open;
      context?.end();
      await transaction.rollback();
    }
  }
}

/**
 * Refuses a value that is no database handle, for example a pool or the result of `openSqlite`.
 * @throws TypeError that names the factory
 */
export function assertHandle(factory: string, database: Database): void {
  if (typeof database?.execute === 'function' && typeof database.transaction === 'function') return;
  throw new TypeError(
    `${factory}: database must be the handle that openSqlite or openPostgres returns as \`database\``,
  );
}
