import { AsyncLocalStorage } from 'node:async_hooks';
import type { Database, Dialect, Row, SqlValue } from './database.js';
import type { DatabaseEngine } from './engine.js';
import { UnitOfWorkError } from './errors.js';
import { migrate } from './migrate.js';
import type { Savepoint } from './savepoint.js';
import { UnitOfWork } from './unit-of-work.js';

/**
 * The database handle over an engine. The handle joins the unit of work of the current asynchronous context, if the
 * context has a unit of work.
 */
export class DatabaseHandle implements Database {
  readonly #engine: DatabaseEngine;
  readonly #current = new AsyncLocalStorage<Savepoint>();

  constructor(engine: DatabaseEngine) {
    this.#engine = engine;
  }

  get dialect(): Dialect {
    return this.#engine;
  }

  async query<R extends object = Row>(text: string, params: readonly SqlValue[] = []): Promise<R[]> {
    const savepoint = this.#current.getStore();
    const statement = { text, params };
    return (savepoint ? savepoint.query(statement) : this.#engine.run(statement)) as Promise<R[]>;
  }

  async transaction<T>(work: () => Promise<T>): Promise<T> {
    const savepoint = this.#current.getStore();
    if (savepoint) {
      return savepoint.transaction((nested, inside) => this.#current.run(nested, inside), work);
    }
    const { session } = await this.#engine.open();
    const unit = new UnitOfWork(this.#engine, session, false);
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
    const savepoint = this.#current.getStore();
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
