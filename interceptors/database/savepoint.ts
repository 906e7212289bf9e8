import type { MaybePromise } from '../timing/maybe-promise.js';
import type { Row } from './database.js';
import type { Statement } from './engine.js';
import { UnitOfWorkError } from './errors.js';

/** The part of a unit of work that its savepoints need. */
export interface SavepointUnit {
  /** Whether the unit of work has ended, or is ending. */
  readonly hasEnded: boolean;
  /** Sends a statement of the unit's work. A failure is thrown, or rejects the promise. */
  send(statement: Statement): MaybePromise<Row[]>;
}

/** Makes a savepoint the current one of an asynchronous context, and runs `work` in that context. */
type Enter = <R>(savepoint: Savepoint, work: () => R) => R;

/**
 * One savepoint of a unit of work. The root is the unit itself. A query of a savepoint waits while a nested
 * transaction of the savepoint runs, so that a rollback of the nested transaction does not undo the query.
 */
export class Savepoint {
  /** The error of the first statement that failed. After a failure the savepoint can only be rolled back. */
  failure: Error | undefined;
  readonly #unit: SavepointUnit;
  readonly #parent: Savepoint | undefined;
  readonly #depth: number;
  /** The nested transaction that runs. */
  #nested: Savepoint | undefined;
  /** The result of the nested transaction that runs. */
  #running: Promise<unknown> | undefined;
  /** The name of the savepoint of a nested transaction that has succeeded and was not released yet. */
  #unreleased: string | undefined;
  /** The number of statements that were sent and have no answer yet. */
  #pending = 0;
  /** Called when no statement waits for its answer any more. */
  #whenAnswered: (() => void) | undefined;
  /** The actions to run after the unit has committed, if this savepoint is part of the commit. */
  #afterCommit: (() => void)[] | undefined;
  #hasEnded = false;

  /** @param parent the savepoint around a nested transaction */
  constructor(unit: SavepointUnit, parent?: Savepoint) {
    this.#unit = unit;
    this.#parent = parent;
    this.#depth = parent ? parent.#depth + 1 : 0;
  }

  /** Sends a statement: at once, or after the running nested transaction has ended. */
  query(statement: Statement): MaybePromise<Row[]> {
    if (this.#nested) return this.#queryAfterNested(statement);
    this.#assertUsable();
    try {
      const rows = this.#unit.send(statement);
      return rows instanceof Promise ? this.#track(rows) : rows;
    } catch (error) {
      this.failure ??= error as Error;
      throw error;
    }
  }

  async #queryAfterNested(statement: Statement): Promise<Row[]> {
    await this.#nestedEnd();
    return this.query(statement);
  }

  /** Counts a statement until its answer, and notes its failure. */
  #track(rows: Promise<Row[]>): Promise<Row[]> {
    this.#pending++;
    return rows.then(
      (answer) => {
        this.#answered();
        return answer;
      },
      (error) => {
        this.failure ??= error as Error;
        this.#answered();
        throw error;
      },
    );
  }

  #answered(): void {
    if (--this.#pending === 0) this.#whenAnswered?.();
  }

  /** Runs `work` in a nested savepoint, after the running nested transaction has ended. */
  transaction<T>(enter: Enter, work: () => Promise<T>): Promise<T> {
    if (this.#nested) return this.#nestedEnd().then(() => this.transaction(enter, work));
    const running = this.#runNested(enter, work);
    // Work that throws before its first wait has already ended the nested transaction.
    if (this.#nested) this.#running = running;
    return running;
  }

  /** Resolves when the running nested transaction has ended, with or without success. */
  async #nestedEnd(): Promise<void> {
    while (this.#nested) await this.#running?.catch(() => {});
  }

  /** Registers an action to run after the unit of work has committed. */
  afterCommit(action: () => void): void {
    this.#assertUsable();
    if (this.#unit.hasEnded) throw new UnitOfWorkError('this unit of work has already ended');
    this.#afterCommit ??= [];
    this.#afterCommit.push(action);
  }

  /**
   * Schedules the registered actions. They run in microtasks, so that their errors do not look like a failed commit.
   */
  runAfterCommit(): void {
    for (const action of this.#afterCommit ?? []) queueMicrotask(action);
  }

  /** Whether no nested transaction runs and every sent statement has its answer. */
  get isIdle(): boolean {
    return this.#nested === undefined && this.#pending === 0;
  }

  /** Resolves when the savepoint is idle. */
  async idle(): Promise<void> {
    while (!this.isIdle) {
      await this.#nestedEnd();
      if (this.#pending > 0) await this.#answers();
    }
  }

  #answers(): Promise<void> {
    return new Promise((resolve) => {
      const previous = this.#whenAnswered;
      this.#whenAnswered = () => {
        this.#whenAnswered = undefined;
        previous?.();
        resolve();
      };
    });
  }

  async #runNested<T>(enter: Enter, work: () => Promise<T>): Promise<T> {
    this.#assertUsable();
    const nested = new Savepoint(this.#unit, this);
    this.#nested = nested;
    const name = `nested_${nested.#depth}`;
    this.#sendControl(`${this.#release()}SAVEPOINT ${name}`);
    try {
      const result = await enter(nested, work);
      if (!nested.isIdle) await nested.idle();
      if (nested.failure) {
        throw new UnitOfWorkError('this transaction cannot commit, because one of its statements failed', {
          cause: nested.failure,
        });
      }
      // The release travels with the next savepoint. At the end of the unit no release is needed.
      this.#unreleased = name;
      if (nested.#afterCommit) {
        this.#afterCommit = [...(this.#afterCommit ?? []), ...nested.#afterCommit];
      }
      return result;
    } catch (error) {
      nested.#hasEnded = true;
      // The rollback of an outer transaction has already undone this one, and another savepoint may have its name.
      if (!this.isOver) {
        this.#sendControl(`ROLLBACK TO SAVEPOINT ${name}`);
        this.#unreleased = name;
      }
      throw error;
    } finally {
      nested.#hasEnded = true;
      this.#nested = undefined;
    }
  }

  /** Returns the text that releases the savepoint of the previous nested transaction, or an empty text. */
  #release(): string {
    const name = this.#unreleased;
    this.#unreleased = undefined;
    return name ? `RELEASE SAVEPOINT ${name}; ` : '';
  }

  /** Sends transaction control without waiting, which saves a round trip. If it fails, later statements fail too. */
  #sendControl(text: string): void {
    const onFailure = (error: unknown) => {
      this.failure ??= error as Error;
    };
    try {
      const sent = this.#unit.send({ text, params: [] });
      if (sent instanceof Promise) sent.catch(onFailure);
    } catch (error) {
      onFailure(error);
    }
  }

  /** Whether this transaction, or a transaction around it, has ended. */
  get isOver(): boolean {
    return this.#hasEnded || (this.#parent?.isOver ?? false);
  }

  #assertUsable(): void {
    if (this.isOver) throw new UnitOfWorkError('this transaction has already ended');
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
