import { within } from '../timing/timeout.js';
import type { Row } from './database.js';
import type { DatabaseEngine, Session, Statement } from './engine.js';
import { LeaseLostError, UnitOfWorkError } from './errors.js';
import { Savepoint, type SavepointUnit } from './savepoint.js';

const WORK_SAVEPOINT = 'work';
const setWorkSavepoint: Statement = { text: `SAVEPOINT ${WORK_SAVEPOINT}`, params: [] };
const rollbackToWorkSavepoint: Statement = { text: `ROLLBACK TO SAVEPOINT ${WORK_SAVEPOINT}`, params: [] };

/**
 * A unit of work: a group of statements that commit together or not at all. The transaction opens at the first
 * statement that writes. A unit that is constructed with a session has an open transaction from the start.
 */
export class UnitOfWork implements SavepointUnit {
  readonly root: Savepoint;
  /** Resolves when the transaction of the unit starts to open. */
  readonly opening: Promise<void>;
  #resolveOpening!: () => void;
  readonly #engine: DatabaseEngine;
  readonly #openSession: () => Promise<Session>;
  readonly #lost = new AbortController();
  #session: Promise<Session> | undefined;
  /**
   * Whether the savepoint before the work was taken. Always true if the unit is not revertible, because `revert` is
   * not used.
   */
  #hasWork: boolean;
  #endReason: Error | undefined;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param session an open session, or a function that opens a session at the first write
   * @param isRevertible whether `revert` can undo the work and keep the statement that opened the session
   */
  constructor(engine: DatabaseEngine, session: Session | (() => Promise<Session>), isRevertible: boolean) {
    this.#engine = engine;
    this.#hasWork = !isRevertible;
    this.root = new Savepoint(this);
    this.opening = new Promise((resolve) => {
      this.#resolveOpening = resolve;
    });
    this.#openSession = typeof session === 'function' ? session : async () => session;
    if (typeof session !== 'function') this.#openOnce();
  }

  /** Aborted when the unit is rolled back because it exceeded the engine's time limit or lost its lease. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether the transaction is open or opening. */
  get hasTransaction(): boolean {
    return this.#session !== undefined;
  }

  /** Whether the unit has ended or is ending. */
  get hasEnded(): boolean {
    return this.#endReason !== undefined;
  }

  /** Sends a statement of the work. A read before the first write runs outside the transaction. */
  async send(statement: Statement): Promise<Row[]> {
    this.#assertOpen();
    if (!this.#session && this.#engine.mayOnlyRead(statement.text)) {
      const rows = await this.#engine.read(statement);
      if (rows) return rows;
      this.#assertOpen();
    }
    // Take the savepoint before the first `await`, so that no later statement can start the work first.
    const isFirst = this.takeWorkSavepoint() !== undefined;
    const session = await this.#openOnce();
    this.#assertOpen();
    // Not awaited, which saves a round trip. If the savepoint fails, the statement fails too.
    if (isFirst) session.query(setWorkSavepoint).catch(() => {});
    return session.query(statement);
  }

  /** Returns the name of the savepoint before the work at the first call, and undefined at later calls. */
  takeWorkSavepoint(): string | undefined {
    if (this.#hasWork) return undefined;
    this.#hasWork = true;
    return WORK_SAVEPOINT;
  }

  /** Commits the work and `last` together. If no transaction is open, `last` commits on its own. */
  async commit(last?: Statement): Promise<Row[]> {
    await this.#workEnded();
    this.#assertOpen();
    if (this.root.failure) {
      await this.rollback();
      if (this.root.failure instanceof LeaseLostError) throw this.root.failure;
      throw new UnitOfWorkError('this unit of work cannot commit, because one of its statements failed', {
        cause: this.root.failure,
      });
    }
    this.#end(alreadyEnded());
    const rows = await this.#commitWith(last);
    this.root.runAfterCommit();
    return rows;
  }

  async #commitWith(last: Statement | undefined): Promise<Row[]> {
    if (this.#session) return (await this.#session).commit(last);
    return last ? this.#engine.run(last) : [];
  }

  /** Undoes the work and commits `last` alone. If a transaction is open, `last` runs in that transaction. */
  async revert(last: Statement): Promise<Row[]> {
    this.#assertOpen();
    this.#end(alreadyEnded());
    if (!this.#session) return this.#engine.run(last);
    const session = await this.#session;
    if (this.#hasWork) session.query(rollbackToWorkSavepoint).catch(() => {});
    return session.commit(last);
  }

  /** Rolls everything back. Later statements fail with `reason`. Never rejects. */
  async rollback(reason: Error = new UnitOfWorkError('this unit of work was rolled back')): Promise<void> {
    const session = this.#session;
    this.#end(reason);
    await session?.then(
      (open) => open.rollback(),
      () => {},
    );
  }

  /** Rolls everything back while the work may still run, and aborts `lost` with `reason`. */
  abort(reason: Error): void {
    void this.rollback(reason);
    this.#lost.abort(reason);
  }

  /** Resolves when the statements and nested transactions of the work have ended, or the unit is lost. */
  #workEnded(): Promise<void> {
    return within(this.root.idle(), { signal: this.lost, otherwise: () => {} });
  }

  #openOnce(): Promise<Session> {
    if (!this.#session) {
      this.#session = this.#openSession();
      this.#resolveOpening();
      this.#session.then(
        () => this.#startTimer(),
        // The handler may ignore the error of its statement. The unit must still end, because its lease is lost.
        (error) => error instanceof LeaseLostError && this.abort(error),
      );
    }
    return this.#session;
  }

  #startTimer(): void {
    if (!this.#endReason) this.#timer = setTimeout(() => this.#expire(), this.#engine.unitLimitMs).unref();
  }

  #expire(): void {
    const { unitLimitMs } = this.#engine;
    const text = `this unit of work kept its transaction open for more than ${unitLimitMs} ms and was rolled back`;
    this.abort(new UnitOfWorkError(text));
  }

  #end(reason: Error): void {
    clearTimeout(this.#timer);
    this.#endReason ??= reason;
  }

  #assertOpen(): void {
    if (this.#endReason) throw this.#endReason;
  }
}

function alreadyEnded(): Error {
  return new UnitOfWorkError('this unit of work has already ended');
}
