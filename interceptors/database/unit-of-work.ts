import { outlineOf } from '../logging/describe-error.js';
import { type Deadline, deadlines } from '../timing/deadlines.js';
import { type MaybePromise, then } from '../timing/maybe-promise.js';
import type { Row } from './database.js';
import type { DatabaseEngine, Session, Statement } from './engine.js';
import { LeaseLostError, UnitOfWorkError } from './errors.js';
import { AFTER_END, cannotCommit, Savepoint, type SavepointUnit } from './savepoint.js';

/**
 * One unit of work: all statements in it commit together or not at all. The transaction opens at the first statement
 * that writes. A unit that is constructed with a session has an open transaction from the start.
 *
 * Promises, timers and errors are made only when they are needed: a unit on a synchronous engine commits with one
 * promise.
 */
export class UnitOfWork implements SavepointUnit {
  readonly root = new Savepoint(this);
  readonly #engine: DatabaseEngine;
  readonly #openSession: () => MaybePromise<Session>;
  #session: MaybePromise<Session> | undefined;
  #end: 'none' | 'ended' | 'rolled back' = 'none';
  /** The error of later statements, if the unit was rolled back for a reason of its own. */
  #endReason: Error | undefined;
  #limit: Deadline | undefined;
  /** The reason of the loss. Undefined while the unit is not lost. */
  #lossReason: Error | undefined;
  /** Made when `lost` is first read. */
  #lost: AbortController | undefined;
  #onLost: ((reason: Error) => void) | undefined;
  #onAfterCommitFailed = warnOfAfterCommit;
  /** Called when the transaction starts to open. */
  #whenOpening: (() => void)[] | undefined;
  /** Called when the unit is lost. */
  #whenLost: (() => void) | undefined;

  /** @param session an open session, or a function that opens one at the first write */
  constructor(engine: DatabaseEngine, session: Session | (() => MaybePromise<Session>)) {
    this.#engine = engine;
    if (typeof session === 'function') {
      this.#openSession = session;
    } else {
      this.#openSession = () => session;
      this.#session = session;
      this.#startLimit();
    }
  }

  /** Aborted when the unit is rolled back because it exceeded the engine's time limit or lost its lease. */
  get lost(): AbortSignal {
    if (!this.#lost) {
      this.#lost = new AbortController();
      if (this.#lossReason) this.#lost.abort(this.#lossReason);
    }
    return this.#lost.signal;
  }

  /** @param onLost called with the reason when the unit is lost, or at once if the unit is already lost */
  notifyLost(onLost: (reason: Error) => void): void {
    this.#onLost = onLost;
    if (this.#lossReason) onLost(this.#lossReason);
  }

  /**
   * @param onFailed called with the error of each `afterCommit` action that throws or rejects. Default: a warning of the
   *   process
   */
  notifyAfterCommitFailed(onFailed: (error: unknown) => void): void {
    this.#onAfterCommitFailed = onFailed;
  }

  /** Whether the transaction is open or opening. */
  get hasTransaction(): boolean {
    return this.#session !== undefined;
  }

  /** Whether the unit has ended or is ending. */
  get hasEnded(): boolean {
    return this.#end !== 'none';
  }

  /** Resolves when the transaction of the unit starts to open. */
  opening(): Promise<void> {
    if (this.#session) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenOpening ??= [];
      this.#whenOpening.push(resolve);
    });
  }

  /** Sends a statement of the work. A read before the first write runs outside the transaction. */
  send(statement: Statement): MaybePromise<Row[]> {
    this.assertOpen();
    const session = this.#session;
    if (session) return this.#sendTo(session, statement);
    if (!this.#engine.mayOnlyRead(statement.text)) return this.#sendTo(this.#openOnce(), statement);
    const rows = this.#engine.read(statement);
    if (!(rows instanceof Promise)) return rows ?? this.#sendTo(this.#openOnce(), statement);
    return rows.then((read) => {
      if (read) return read;
      this.assertOpen();
      return this.#sendTo(this.#openOnce(), statement);
    });
  }

  #sendTo(session: MaybePromise<Session>, statement: Statement): MaybePromise<Row[]> {
    if (!(session instanceof Promise)) return session.query(statement);
    return session.then((open) => {
      this.assertOpen();
      return open.query(statement);
    });
  }

  /** Commits the work and `last` together. If no transaction is open, `last` commits on its own. */
  commit(last?: Statement): MaybePromise<Row[]> {
    return this.root.isIdle ? this.#commitNow(last) : this.#commitWhenIdle(last);
  }

  /** Waits for the statements and nested transactions of the work, but not past the unit's time limit. */
  async #commitWhenIdle(last: Statement | undefined): Promise<Row[]> {
    await new Promise<void>((resolve) => {
      this.#whenLost = resolve;
      if (this.#lossReason) resolve();
      void this.root.idle().then(resolve);
    });
    return this.#commitNow(last);
  }

  #commitNow(last: Statement | undefined): MaybePromise<Row[]> {
    this.assertOpen();
    const { failure } = this.root;
    if (failure) return this.#rollBackFailed(failure);
    this.#finish('ended');
    return then(this.#commitSession(last), (rows) => {
      this.root.runAfterCommit(this.#onAfterCommitFailed);
      return rows;
    });
  }

  #commitSession(last: Statement | undefined): MaybePromise<Row[]> {
    const session = this.#session;
    if (session) return then(session, (open) => open.commit(last));
    return last ? this.#engine.run(last) : [];
  }

  async #rollBackFailed(failure: Error): Promise<never> {
    await this.rollback();
    throw failure instanceof LeaseLostError ? failure : cannotCommit('unit of work', failure);
  }

  /** Rolls everything back. Later statements fail with `reason`. Never fails. */
  rollback(reason?: Error): MaybePromise<void> {
    const session = this.#session;
    this.#finish('rolled back', reason);
    if (!(session instanceof Promise)) return session?.rollback();
    return session.then(
      (open) => open.rollback(),
      () => {},
    );
  }

  /** Rolls everything back while the work may still run, and reports the loss with its reason. */
  abort(reason: Error): void {
    if (this.#lossReason) return;
    void this.rollback(reason);
    this.#lossReason = reason;
    this.#lost?.abort(reason);
    this.#onLost?.(reason);
    this.#whenLost?.();
    this.root.abandon(reason);
  }

  #openOnce(): MaybePromise<Session> {
    if (this.#session) return this.#session;
    // The handler may ignore its failed statement, but the unit has lost its lease.
    const failed = (error: unknown) => {
      if (error instanceof LeaseLostError) this.abort(error);
    };
    let session: MaybePromise<Session>;
    try {
      session = this.#openSession();
    } catch (error) {
      failed(error);
      throw error;
    }
    this.#session = session;
    for (const resolve of this.#whenOpening ?? []) resolve();
    this.#whenOpening = undefined;
    if (!(session instanceof Promise)) {
      this.#startLimit();
      return session;
    }
    session.then(() => this.#startLimit(), failed);
    return session;
  }

  #startLimit(): void {
    if (!this.hasEnded) this.#limit = deadlines.set(this.#engine.unitLimitMs, () => this.#expire());
  }

  #expire(): void {
    const { unitLimitMs } = this.#engine;
    const text = `this unit of work kept its transaction open for more than ${unitLimitMs} ms and was rolled back`;
    const waits = '. One of its statements waited for a nested transaction that did not end';
    this.abort(new UnitOfWorkError(this.root.isWaiting ? text + waits : text));
  }

  #finish(end: 'ended' | 'rolled back', reason?: Error): void {
    this.#limit?.cancel();
    if (this.hasEnded) return;
    this.#end = end;
    this.#endReason = reason;
  }

  /** @throws UnitOfWorkError, or the reason of the end, if the unit has ended */
  assertOpen(): void {
    if (this.#end === 'none') return;
    if (this.#endReason) throw this.#endReason;
    const text =
      this.#end === 'ended' ? 'this unit of work has already ended' : 'this unit of work was rolled back';
    throw new UnitOfWorkError(`${text}${AFTER_END}`);
  }
}

function warnOfAfterCommit(error: unknown): void {
  process.emitWarning('an afterCommit action failed. Its unit of work is committed', {
    code: 'REPLAY_GUARD_AFTER_COMMIT_FAILED',
    detail: outlineOf(error),
  });
}
