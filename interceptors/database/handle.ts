import { ContextValue } from '../context/context-value.js';
import type { MaybePromise } from '../timing/maybe-promise.js';
import type { Database, Dialect, Row, SqlValue } from './database.js';
import type { DatabaseEngine, Statement } from './engine.js';
import { UnitOfWorkError } from './errors.js';
import { migrate } from './migrate.js';
import { WaitingResult } from './nested-waits.js';
import { assertNoControl } from './refused-statements.js';
import { type Result, StatementResult } from './result.js';
import type { Savepoint } from './savepoint.js';
import { UnitOfWork } from './unit-of-work.js';

/**
 * The database handle over an engine. It joins the unit of work of the current asynchronous context, if there is one.
 * The handle that `current` returns joins one unit of work, or none, in every context.
 */
export class DatabaseHandle implements Database {
  readonly #engine: DatabaseEngine;
  /** The savepoint of the current asynchronous context. A handle and the handles of its `current` share the value. */
  readonly #ambient: ContextValue<Savepoint>;
  /** Present if this handle was returned by `current`. */
  readonly #bound: { readonly savepoint: Savepoint | undefined } | undefined;

  constructor(
    engine: DatabaseEngine,
    ambient = new ContextValue<Savepoint>('grpc-replay-guard savepoint'),
    bound?: { readonly savepoint: Savepoint | undefined },
  ) {
    this.#engine = engine;
    this.#ambient = ambient;
    this.#bound = bound;
  }

  get dialect(): Dialect {
    return this.#engine;
  }

  /** Not `async`: the only promise is the one that the caller receives. */
  query<R extends object = Row>(text: string, params: readonly SqlValue[] = []): Promise<R[]> {
    try {
      const rows = this.#send({ text, params });
      return (rows instanceof Promise ? rows : Promise.resolve(rows)) as Promise<R[]>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  execute<R extends object = Record<string, unknown>>(
    text: string,
    params: readonly SqlValue[] = [],
  ): Promise<Result<R>> {
    const result = new StatementResult<R>();
    try {
      const rows = this.#send({ text, params, result });
      if (rows instanceof WaitingResult) return rows.map(() => result);
      return rows instanceof Promise ? rows.then(() => result) : Promise.resolve(result);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #send(statement: Statement): MaybePromise<Row[]> {
    assertNoControl(statement.text, this.#engine.name);
    const savepoint = this.#savepoint;
    return savepoint ? savepoint.query(statement) : this.#engine.run(statement);
  }

  transaction<T>(work: () => Promise<T>): Promise<T> {
    const savepoint = this.#savepoint;
    return savepoint ? savepoint.transaction(this.#ambient, work, this) : this.#runUnit(work);
  }

  async #runUnit<T>(work: () => Promise<T>): Promise<T> {
    const opened = this.#engine.open();
    const { session } = opened instanceof Promise ? await opened : opened;
    const unit = new UnitOfWork(this.#engine, session);
    unit.root.beganBy = this;
    try {
      const result = await this.runIn(unit, work);
      await unit.commit();
      return result;
    } catch (error) {
      await unit.rollback();
      throw error;
    }
  }

  afterCommit(action: () => unknown): void {
    const savepoint = this.#savepoint;
    if (!savepoint)
      throw new UnitOfWorkError(
        'afterCommit and append of an outbox must be called inside a unit of work: a guarded call, or `database.transaction`',
      );
    savepoint.afterCommit(action);
  }

  current(): Database {
    const savepoint = this.#savepoint;
    savepoint?.assertUsable();
    if (this.#bound && this.#bound.savepoint === savepoint) return this;
    return new DatabaseHandle(this.#engine, this.#ambient, { savepoint });
  }

  async migrate(component: string, steps: readonly string[]): Promise<void> {
    await migrate(this.#engine, component, steps);
  }

  /** Runs `work` in an asynchronous context in which the handle joins `unit`. */
  runIn<T>(unit: UnitOfWork, work: () => T): T {
    return this.#ambient.run(unit.root, work);
  }

  /**
   * The savepoint that a statement joins now. A bound handle joins a transaction of the current context only if the
   * transaction began through this handle.
   */
  get #savepoint(): Savepoint | undefined {
    const ambient = this.#ambient.get();
    if (!this.#bound) return ambient;
    return ambient?.begunBy(this) ?? this.#bound.savepoint;
  }
}
