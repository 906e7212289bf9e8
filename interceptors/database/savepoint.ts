import type { Row } from './database.js';
import type { Statement } from './engine.js';
import { UnitOfWorkError } from './errors.js';

/** The part of a unit of work that its savepoints need. */
export interface SavepointUnit {
  /** Whether the unit of work has ended, or is ending. */
  readonly hasEnded: boolean;
  /** Sends a statement of the unit's work. */
  send(statement: Statement): Promise<Row[]>;
  /** Returns the name of the savepoint before the work at the first call, and undefined at later calls. */
  takeWorkSavepoint(): string | undefined;
}

/** Runs `work` in an asynchronous context whose current savepoint is `savepoint`. */
type Enter = <R>(savepoint: Savepoint, work: () => R) => R;

/**
 * One savepoint of a unit of work. The root savepoint is the unit itself. While a nested transaction runs, queries of
 * the savepoint wait. A rollback of the nested transaction then does not undo the query.
 */
export class Savepoint {
  /** The error of the first statement that failed. After a failure the savepoint can only be rolled back. */
  failure: Error | undefined;
  readonly #unit: SavepointUnit;
  readonly #depth: number;
  #nested: Promise<unknown> | undefined;
  /** The statements that were sent and are not answered yet. */
  readonly #pending = new Set<Promise<unknown>>();
  /** The actions to run after the unit has committed, if this savepoint is part of the commit. */
  readonly #afterCommit: (() => void)[] = [];
  #hasEnded = false;

  constructor(unit: SavepointUnit, depth = 0) {
    this.#unit = unit;
    this.#depth = depth;
  }

  /** Sends a statement after the running nested transaction has ended. */
  async query(statement: Statement): Promise<Row[]> {
    while (this.#nested) await this.#nested;
    this.#assertUsable();
    const sent = this.#unit.send(statement);
    this.#pending.add(sent);
    try {
      return await sent;
    } catch (error) {
      this.failure ??= error as Error;
      throw error;
    } finally {
      this.#pending.delete(sent);
    }
  }

  /** Runs `work` in a nested savepoint, after the running nested transaction has ended. */
  async transaction<T>(enter: Enter, work: () => Promise<T>): Promise<T> {
    while (this.#nested) await this.#nested;
    this.#assertUsable();
    const running = this.#runNested(enter, work);
    const ended = running.then(
      () => {},
      () => {},
    );
    this.#nested = ended;
    try {
      return await running;
    } finally {
      if (this.#nested === ended) this.#nested = undefined;
    }
  }

  /** Registers an action to run after the unit of work has committed. */
  afterCommit(action: () => void): void {
    this.#assertUsable();
    if (this.#unit.hasEnded) throw new UnitOfWorkError('this unit of work has already ended');
    this.#afterCommit.push(action);
  }

  /**
   * Schedules the registered actions. The actions run in microtasks, so that an error of an action does not look like
   * a failed commit.
   */
  runAfterCommit(): void {
    for (const action of this.#afterCommit) queueMicrotask(action);
  }

  /** Resolves when no nested transaction runs and every sent statement has its answer. */
  async idle(): Promise<void> {
    while (this.#nested || this.#pending.size > 0) {
      await this.#nested;
      await Promise.allSettled(this.#pending);
    }
  }

  async #runNested<T>(enter: Enter, work: () => Promise<T>): Promise<T> {
    const nested = new Savepoint(this.#unit, this.#depth + 1);
    // If the nested transaction is the first work of the unit, the transaction uses the savepoint before the work.
    // That savepoint must not be released.
    const workSavepoint = this.#unit.takeWorkSavepoint();
    const name = workSavepoint ?? `nested_${nested.#depth}`;
    this.#sendControl(`SAVEPOINT ${name}`);
    try {
      const result = await enter(nested, work);
      await nested.idle();
      if (nested.failure) {
        throw new UnitOfWorkError('this transaction cannot commit, because one of its statements failed', {
          cause: nested.failure,
        });
      }
      if (!workSavepoint) this.#sendControl(`RELEASE SAVEPOINT ${name}`);
      this.#afterCommit.push(...nested.#afterCommit);
      return result;
    } catch (error) {
      this.#sendControl(`ROLLBACK TO SAVEPOINT ${name}`);
      if (!workSavepoint) this.#sendControl(`RELEASE SAVEPOINT ${name}`);
      throw error;
    } finally {
      nested.#hasEnded = true;
    }
  }

  /**
   * Sends a transaction control statement and does not wait for the answer, which saves a round trip. If the
   * statement fails, later statements fail too.
   */
  #sendControl(text: string): void {
    this.#unit.send({ text, params: [] }).catch((error) => {
      this.failure ??= error as Error;
    });
  }

  #assertUsable(): void {
    if (this.#hasEnded) throw new UnitOfWorkError('this transaction has already ended');
    if (this.failure) {
      throw new UnitOfWorkError(
        'an earlier statement of this transaction failed; roll the transaction back',
        {
          cause: this.failure,
        },
      );
    }
  }
}
