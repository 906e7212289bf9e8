import { ContextValue } from '../context/context-value.js';
import type { Database, Dialect, Row, SqlValue } from './database.js';
import type { DatabaseEngine } from './engine.js';
import { UnitOfWorkError } from './errors.js';
import { migrate } from './migrate.js';
import { assertNoControl } from './refused-statements.js';
import type { Savepoint } from './savepoint.js';
import { UnitOfWork } from './unit-of-work.js';

/**
 * The database handle over an engine. It joins the unit of work of the current asynchronous context, if there is one.
 */
export class DatabaseHandle implements Database {
  readonly #engine: DatabaseEngine;
  readonly #current = new ContextValue<Savepoint>('grpc-replay-guard savepoint');

  constructor(engine: DatabaseEngine) {
    this.#engine = engine;
  }

  get dialect(): Dialect {
    return this.#engine;
  }

  /** Not `async`: the only promise is the one that the caller receives. */
  query<R extends object = Row>(text: string, params: readonly SqlValue[] = []): Promise<R[]> {
    try {
      assertNoControl(text, this.#engine.name);
      const savepoint = this.#current.get();
      const rows = savepoint ? savepoint.query({ text, params }) : this.#engine.run({ text, params });
      return (rows instanceof Promise ? rows : Promise.resolve(rows)) as Promise<R[]>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  transaction<T>(work: () => Promise<T>): Promise<T> {
    const savepoint = this.#current.get();
    if (!savepoint) return this.#runUnit(work);
    return savepoint.transaction((nested, inside) => this.#current.run(nested, inside), work);
  }

  async #runUnit<T>(work: () => Promise<T>): Promise<T> {
    const opened = this.#engine.open();
    const { session } = opened instanceof Promise ? await opened : opened;
    const unit = new UnitOfWork(this.#engine, session);
    try {
      const result = await this.runIn(unit, work);
      await unit.commit();
      return result;
    } catch (error) {
      await unit.rollback();
      throw error;
    }
  }

  afterCommit(action: () => void): void {
    const savepoint = this.#current.get();
    if (!savepoint) throw new UnitOfWorkError('afterCommit must be called inside a unit of work');
    savepoint.afterCommit(action);
  }

  migrate(component: string, steps: readonly string[]): Promise<void> {
    return migrate(this.#engine, component, steps);
  }

  /** Runs `work` in an asynchronous context in which the handle joins `unit`. */
  runIn<T>(unit: UnitOfWork, work: () => T): T {
    return this.#current.run(unit.root, work);
  }
}
