import { EnteredContext } from '../context/entered-context.js';
import { type Database, type Result, UnitOfWorkError } from '../database/index.js';
import { StatementResult } from '../database/result.js';
import { type Control, controlOf } from './control-text.js';
import { OpenTransactions } from './open-transactions.js';
import { toParameters } from './parameters.js';

/**
 * The connection that a query builder gets from its pool. Statements join the transaction that was begun on the
 * connection, otherwise the unit of work of the current asynchronous context. Calls take effect in the order in which they
 * were made, even if the builder does not wait for them.
 */
export class BuilderConnection {
  readonly #transactions: OpenTransactions;
  readonly #entersContext: boolean;
  #hasBegun = false;
  #isClosed = false;
  /** Resolves when the earlier jobs have ended. Undefined if no job runs. Statements of an open transaction are no jobs. */
  #before: Promise<void> | undefined;
  /** Resolves when the statements that were sent in an open transaction have their answers. */
  #answered: Promise<void> | undefined;

  /**
   * @param entersContext whether the function that begins a transaction continues in the context of the transaction. All
   *   statements of its work then join the transaction. The function must end when the transaction ends
   */
  constructor(database: Database, entersContext: boolean) {
    this.#transactions = new OpenTransactions(database);
    this.#entersContext = entersContext;
  }

  /**
   * Runs a statement. A text that begins, ends or nests a transaction changes the transaction of this connection instead.
   * @throws Error of the handle; its codes are unchanged
   * @throws UnitOfWorkError after `close`
   */
  async query(text: string, params: readonly unknown[] = []): Promise<Result> {
    this.#assertOpen();
    const control = controlOf(text);
    if (control) return (await this.#control(control, text)) ?? resultOf(control);
    // The statements of a transaction are sent at once. They take effect in the order in which they were sent.
    const isInside = this.#transactions.isOpen && !this.#before;
    if (!isInside) return this.#inOrder(() => this.#send(text, params));
    const result = this.#send(text, params);
    const earlier = this.#answered;
    this.#answered = result.then(ignore, ignore).then(() => earlier);
    return result;
  }

  /**
   * Begins, ends or nests a transaction.
   * @throws Error when the transaction was not begun or not committed, or there is no such transaction or savepoint
   * @throws UnitOfWorkError after `close`
   */
  async change(control: Control): Promise<void> {
    this.#assertOpen();
    await this.#control(control);
  }

  /**
   * Rolls back a transaction that the builder has left open. Later statements would commit on their own, so they are refused.
   * @throws Error when a transaction was open, for example after BEGIN as a single statement
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#before;
    const { isOpen, mustEnd } = this.#transactions;
    if (mustEnd) await this.#control({ kind: 'rollback' });
    if (isOpen) throw new Error('a transaction was left open on its connection, and was rolled back');
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new UnitOfWorkError('the connection of this query builder was released');
  }

  /** @param text goes to the handle, which refuses it, if the text ends a transaction that this connection did not begin */
  #control(control: Control, text?: string): Promise<Result | undefined> {
    const isBegin = control.kind === 'begin' || control.kind === 'savepoint';
    this.#hasBegun ||= isBegin;
    const context = isBegin && this.#entersContext ? new EnteredContext() : undefined;
    const controlled = this.#inOrder(async () => {
      // A statement without an answer may still fail.
      if (this.#answered) await this.#answered;
      this.#answered = undefined;
      if (text !== undefined && this.#isForeign(control)) return this.#send(text, []);
      await this.#transactions.change(control, context);
      return undefined;
    });
    // The job above has started in the outer context. The builder continues in the context of the transaction.
    context?.enter();
    return controlled;
  }

  /** Whether this connection did not begin the transaction to end. A rollback may follow a commit that has failed. */
  #isForeign({ kind }: Control): boolean {
    if (kind === 'rollback') return !this.#hasBegun;
    return (kind === 'commit' || kind === 'set') && !this.#transactions.mustEnd;
  }

  async #send(text: string, params: readonly unknown[]): Promise<Result> {
    const { handle } = this.#transactions;
    return handle.execute(text, toParameters(params, handle.dialect.name));
  }

  /** Runs `job` when the earlier jobs have ended. */
  #inOrder<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#before ? this.#before.then(job) : job();
    const ended = result.then(ignore, ignore).then(() => {
      if (this.#before === ended) this.#before = undefined;
    });
    this.#before = ended;
    return result;
  }
}

function ignore(): void {}

/** The answer to a text that controls a transaction. */
function resultOf(control: Control): Result {
  const result = new StatementResult<Record<string, unknown>>();
  result.command = control.kind === 'rollbackTo' ? 'ROLLBACK' : control.kind.toUpperCase();
  return result;
}
