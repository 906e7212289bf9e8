import type { Row } from './database.js';
import type { DatabaseEngine, Session, Statement } from './engine.js';
import { LeaseLostError, UnitOfWorkError } from './errors.js';
import { Savepoint } from './savepoint.js';

const WORK = 'work';
const workSavepoint: Statement = { text: `SAVEPOINT ${WORK}`, params: [] };
const rollbackToWork: Statement = { text: `ROLLBACK TO SAVEPOINT ${WORK}`, params: [] };

/**
 * One unit of work: everything sent in it commits together or not at all. Its transaction opens at the
 * first statement that writes, or before, where it is built on an open session.
 */
export class UnitOfWork {
  readonly root: Savepoint;
  /** Resolves when the unit's transaction begins to open. */
  readonly beginning: Promise<void>;
  #announceBeginning!: () => void;
  readonly #engine: DatabaseEngine;
  readonly #openSession: () => Promise<Session>;
  readonly #lost = new AbortController();
  #session: Promise<Session> | undefined;
  /** Whether the work that can be taken back has begun. */
  #workStarted: boolean;
  #ended: Error | undefined;
  #limit: NodeJS.Timeout | undefined;

  /** @param revertible whether `revert` is to take back the work but not what the session began with */
  constructor(engine: DatabaseEngine, session: Session | (() => Promise<Session>), revertible: boolean) {
    this.#engine = engine;
    this.#workStarted = !revertible;
    this.root = new Savepoint(this);
    this.beginning = new Promise((resolve) => {
      this.#announceBeginning = resolve;
    });
    this.#openSession = typeof session === 'function' ? session : async () => session;
    if (typeof session !== 'function') this.#begin();
  }

  /** Aborted when the unit was rolled back from outside: past the engine's limit, or its key taken over. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether the transaction is open, or opening. */
  get begun(): boolean {
    return this.#session !== undefined;
  }

  /** Whether the unit is settled, or on its way there. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Sends a statement of the unit's work; a read before the first write needs no transaction. */
  async send(statement: Statement): Promise<Row[]> {
    this.#assertOpen();
    if (!this.#session && this.#engine.mayOnlyRead(statement.text)) {
      const rows = await this.#engine.read(statement);
      if (rows) return rows;
      this.#assertOpen();
    }
    // Decided before waiting: what is sent later must not begin the work before this does.
    const startsWork = this.startWork() !== undefined;
    const session = await this.#begin();
    this.#assertOpen();
    // Not awaited: it travels with the statement behind it, which fails if this one does.
    if (startsWork) session.query(workSavepoint).catch(() => {});
    return session.query(statement);
  }

  /** The savepoint that the work begins with, for a nested transaction that begins it; undefined after that. */
  startWork(): string | undefined {
    if (this.#workStarted) return undefined;
    this.#workStarted = true;
    return WORK;
  }

  /** Commits the work and `last` together; without an open transaction `last` stands alone. */
  async commit(last?: Statement): Promise<Row[]> {
    await this.#workDone();
    this.#assertOpen();
    if (this.root.failure) {
      await this.rollback();
      if (this.root.failure instanceof LeaseLostError) throw this.root.failure;
      throw new UnitOfWorkError('a statement of this unit of work failed, so it cannot commit', {
        cause: this.root.failure,
      });
    }
    this.#end(settled());
    const rows = await this.#commitWith(last);
    this.root.committed();
    return rows;
  }

  async #commitWith(last: Statement | undefined): Promise<Row[]> {
    if (this.#session) return (await this.#session).commit(last);
    return last ? this.#engine.run(last) : [];
  }

  /** Takes the work back and commits `last` alone, in the same transaction where there is one. */
  async revert(last: Statement): Promise<Row[]> {
    this.#assertOpen();
    this.#end(settled());
    if (!this.#session) return this.#engine.run(last);
    const session = await this.#session;
    if (this.#workStarted) session.query(rollbackToWork).catch(() => {});
    return session.commit(last);
  }

  /** Rolls everything back; later statements fail with `reason`. Never rejects. */
  async rollback(reason: Error = new UnitOfWorkError('this unit of work was rolled back')): Promise<void> {
    const session = this.#session;
    this.#end(reason);
    await session?.then(
      (open) => open.rollback(),
      () => {},
    );
  }

  /** Rolls everything back on behalf of who runs the unit, and tells by `lost`. */
  lose(reason: Error): void {
    void this.rollback(reason);
    this.#lost.abort(reason);
  }

  /** Waits for what the work has started, but not past the unit's limit: it may never come. */
  async #workDone(): Promise<void> {
    let stop = () => {};
    const expired = new Promise<void>((resolve) => {
      stop = resolve;
    });
    this.lost.addEventListener('abort', stop);
    await Promise.race([this.root.idle(), expired]);
    this.lost.removeEventListener('abort', stop);
  }

  #begin(): Promise<Session> {
    if (!this.#session) {
      this.#session = this.#openSession();
      this.#announceBeginning();
      this.#session.then(
        () => this.#startLimit(),
        // Whatever the handler makes of its failed statement, the unit has lost its key.
        (error) => error instanceof LeaseLostError && this.lose(error),
      );
    }
    return this.#session;
  }

  #startLimit(): void {
    if (!this.#ended) this.#limit = setTimeout(() => this.#expire(), this.#engine.unitLimitMs).unref();
  }

  #expire(): void {
    const reason = new UnitOfWorkError(
      `this unit of work held its transaction for more than ${this.#engine.unitLimitMs} ms and was rolled back`,
    );
    this.lose(reason);
  }

  #end(reason: Error): void {
    clearTimeout(this.#limit);
    this.#ended ??= reason;
  }

  #assertOpen(): void {
    if (this.#ended) throw this.#ended;
  }
}

function settled(): Error {
  return new UnitOfWorkError('this unit of work has already ended');
}
