import type { ContextValue } from '../context/context-value.js';
import type { MaybePromise } from '../timing/maybe-promise.js';
import type { Row } from './database.js';
import type { Statement } from './engine.js';
import { DatabaseUnavailableError, UnitOfWorkError } from './errors.js';
import { NestedWaits, type OuterSavepoint, WaitingResult } from './nested-waits.js';

/** The part of a unit of work that its savepoints need. */
export interface SavepointUnit {
  /** @throws UnitOfWorkError, or the reason of the end, if the unit of work has ended or is ending */
  assertOpen(): void;
  /** Sends a statement of the unit's work. A failure is thrown, or rejects the promise. */
  send(statement: Statement): MaybePromise<Row[]>;
}

/**
 * One savepoint of a unit of work. The root is the unit itself. A query of a savepoint waits while a nested
 * transaction of the savepoint runs, so that a rollback of the nested transaction does not undo the query.
 */
export class Savepoint implements OuterSavepoint {
  /** The error of the first statement that failed. After a failure the savepoint can only be rolled back. */
  failure: Error | undefined;
  /** The handle through which the transaction of this savepoint was begun. Undefined for the work of a claim. */
  beganBy: object | undefined;
  readonly #unit: SavepointUnit;
  readonly #parent: Savepoint | undefined;
  readonly #depth: number;
  /** The nested transaction that runs. */
  #nested: Savepoint | undefined;
  /** Holds the savepoint of the current asynchronous context. Undefined before the first nested transaction. */
  #ambient: ContextValue<Savepoint> | undefined;
  /** The result of the nested transaction that runs. */
  #running: Promise<unknown> | undefined;
  /** The statements and transactions that wait for the running nested transaction. Undefined before the first one. */
  #waits: NestedWaits | undefined;
  /** The name of the savepoint of a nested transaction that has succeeded and was not released yet. */
  #unreleased: string | undefined;
  /** The number of statements that were sent and have no answer yet. */
  #pending = 0;
  /** Called when no statement waits for its answer any more. */
  #whenAnswered: (() => void) | undefined;
  /** The error of the statement because of which the last of the failed nested transactions was rolled back. */
  #nestedFailure: Error | undefined;
  /** The actions to run after the unit has committed, if this savepoint is part of the commit. */
  #afterCommit: (() => unknown)[] | undefined;
  #hasEnded = false;

  /** @param parent the savepoint around a nested transaction */
  constructor(unit: SavepointUnit, parent?: Savepoint) {
    this.#unit = unit;
    this.#parent = parent;
    this.#depth = parent ? parent.#depth + 1 : 0;
  }

  /** The error of the statement that failed: here, or in the last of the nested transactions that were rolled back. */
  get lastFailure(): Error | undefined {
    return this.failure ?? this.#nestedFailure;
  }

  /** Sends a statement: at once, or after the running nested transaction has ended. */
  query(statement: Statement): MaybePromise<Row[]> {
    if (this.#nested) return this.#afterNested(() => this.query(statement));
    this.assertUsable();
    try {
      const rows = this.#unit.send(statement);
      return rows instanceof Promise ? this.#track(rows) : rows;
    } catch (error) {
      this.failure ??= error as Error;
      throw error;
    }
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

  /**
   * Runs `work` in a nested savepoint, after the running nested transaction has ended.
   * @param ambient holds the savepoint of the current asynchronous context; `work` runs with the nested one
   * @param beganBy the handle through which the transaction begins
   */
  transaction<T>(ambient: ContextValue<Savepoint>, work: () => Promise<T>, beganBy: object): Promise<T> {
    if (this.#nested) return this.#afterNested(() => this.transaction(ambient, work, beganBy));
    const running = this.#runNested(ambient, work, beganBy);
    // Work that throws before its first wait has already ended the nested transaction.
    if (this.#nested) this.#running = running;
    return running;
  }

  #afterNested<T>(run: () => MaybePromise<T>): Promise<T> {
    this.#waits ??= new NestedWaits(this);
    return this.#waits.run(run);
  }

  /** Whether the current asynchronous context is inside the running nested transaction. */
  get isInNested(): boolean {
    return this.#nested !== undefined && (this.#ambient?.get()?.isInside(this.#nested) ?? false);
  }

  /** Waits for the end of the running nested transaction, with or without success, and then calls `next` at once. */
  async nestedEnd(next?: () => void): Promise<void> {
    while (this.#nested) await this.#running?.catch(() => {});
    next?.();
  }

  /** Fails the waits for nested transactions, here and in nested savepoints, because the unit of work was rolled back. */
  abandon(reason: Error): void {
    this.#waits?.failAll(reason);
    this.#nested?.abandon(reason);
  }

  /** Whether a statement or a transaction waits for a nested transaction to end. */
  get isWaiting(): boolean {
    return (this.#waits?.count ?? 0) > 0 || (this.#nested?.isWaiting ?? false);
  }

  /** Whether this savepoint is `outer`, or is nested in it. */
  isInside(outer: Savepoint): boolean {
    return this === outer || (this.#parent?.isInside(outer) ?? false);
  }

  /** Returns this savepoint, or the innermost savepoint around it, whose transaction began through `handle`. */
  begunBy(handle: object): Savepoint | undefined {
    return this.beganBy === handle ? this : this.#parent?.begunBy(handle);
  }

  /** Registers an action to run after the unit of work has committed. */
  afterCommit(action: () => unknown): void {
    this.assertUsable();
    this.#afterCommit ??= [];
    this.#afterCommit.push(action);
  }

  /**
   * Schedules the registered actions. They run in microtasks, so that the commit is reported first.
   * @param onFailure receives the error of each action that throws or rejects
   */
  runAfterCommit(onFailure: (error: unknown) => void): void {
    for (const action of this.#afterCommit ?? []) queueMicrotask(() => runAction(action, onFailure));
  }

  /** Whether no nested transaction runs and every sent statement has its answer. */
  get isIdle(): boolean {
    return this.#nested === undefined && this.#pending === 0;
  }

  /** Resolves when the savepoint is idle. */
  async idle(): Promise<void> {
    while (!this.isIdle) {
      await this.nestedEnd();
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

  async #runNested<T>(ambient: ContextValue<Savepoint>, work: () => Promise<T>, beganBy: object): Promise<T> {
    this.assertUsable();
    const nested = new Savepoint(this.#unit, this);
    nested.beganBy = beganBy;
    this.#ambient = ambient;
    this.#nested = nested;
    const name = `nested_${nested.#depth}`;
    this.#sendControl(`${this.#release()}SAVEPOINT ${name}`);
    try {
      const running = ambient.run(nested, work);
      // If the work returns the result of an outer statement, only this function waits for the result.
      if (running instanceof WaitingResult) ambient.run(nested, () => running.awaited());
      const result = await running;
      if (!nested.isIdle) await nested.idle();
      if (nested.failure) throw cannotCommit('transaction', nested.failure);
      // The release travels with the next savepoint. At the end of the unit no release is needed.
      this.#unreleased = name;
      if (nested.#afterCommit) {
        this.#afterCommit = [...(this.#afterCommit ?? []), ...nested.#afterCommit];
      }
      return result;
    } catch (error) {
      nested.#hasEnded = true;
      this.#nestedFailure = nested.lastFailure ?? this.#nestedFailure;
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

  /**
   * Sends transaction control without waiting, which saves a round trip. If it fails, later statements fail too, and the
   * savepoint cannot commit. A commit waits for the answer.
   */
  #sendControl(text: string): void {
    const onFailure = (error: unknown) => {
      this.failure ??= error as Error;
    };
    try {
      const sent = this.#unit.send({ text, params: [] });
      if (!(sent instanceof Promise)) return;
      this.#pending++;
      sent.then(
        () => this.#answered(),
        (error) => {
          onFailure(error);
          this.#answered();
        },
      );
    } catch (error) {
      onFailure(error);
    }
  }

  /** Whether this transaction, or a transaction around it, has ended. */
  get isOver(): boolean {
    return this.#hasEnded || (this.#parent?.isOver ?? false);
  }

  /** @throws UnitOfWorkError if the transaction or its unit of work has ended, or one of its statements has failed */
  assertUsable(): void {
    if (this.isOver) throw new UnitOfWorkError(`this transaction has already ended${AFTER_END}`);
    this.#unit.assertOpen();
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

/** The advice for work that a queue or a timer has started in the context of another call. */
export const AFTER_END =
  '. Work that outlives its call, or that a queue shares between calls, needs a handle from database.current() or AsyncResource.bind';

/** The error of a commit behind a statement that failed. An outage stays an outage, because nothing was committed. */
export function cannotCommit(subject: 'transaction' | 'unit of work', failure: Error): Error {
  if (failure instanceof DatabaseUnavailableError) return failure;
  const text = `this ${subject} cannot commit, because one of its statements failed`;
  return new UnitOfWorkError(text, { cause: failure });
}

/** Runs an action after the commit. The commit cannot be undone, so the error of the action is only reported. */
function runAction(action: () => unknown, onFailure: (error: unknown) => void): void {
  try {
    const result = action();
    if (isThenable(result)) result.then(undefined, onFailure);
  } catch (error) {
    onFailure(error);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
