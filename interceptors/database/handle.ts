import { AsyncLocalStorage } from 'node:async_hooks';
import type { Database, Dialect, Row, SqlValue } from './database.js';
import type { DatabaseEngine } from './engine.js';
import { UnitOfWorkError } from './errors.js';
import { migrate } from './migrate.js';
import type { Savepoint } from './savepoint.js';
import { UnitOfWork } from './unit-of-work.js';

/** The database handle over an engine: joins the ambient unit of work where there is one. */
export class DatabaseHandle implements Database {
  readonly #engine: DatabaseEngine;
  readonly #ambient = new AsyncLocalStorage<Savepoint>();

  constructor(engine: DatabaseEngine) {
    this.#engine = engine;
  }

  get dialect(): Dialect {
    return this.#engine;
  }

  async query<R extends object = Row>(text: string, params: readonly SqlValue[] = []): Promise<R[]> {
    const level = this.#ambient.getStore();
    const statement = { text, params };
    return (level ? level.query(statement) : this.#engine.run(statement)) as Promise<R[]>;
  }

  async transaction<T>(work: () => Promise<T>): Promise<T> {
    const level = this.#ambient.getStore();
    if (level) return level.transaction((nested, inside) => this.#ambient.run(nested, inside), work);
    const { session } = await this.#engine.open();
    const unit = new UnitOfWork(this.#engine, session, false);
    try {
      const result = await this.join(unit, work);
      await unit.commit();
      return result;
    } catch (error) {
      await unit.rollback();
      throw error;
    }
  }

  afterCommit(action: () => void): void {
    const level = this.#ambient.getStore();
    if (!level) throw new UnitOfWorkError('there is no unit of work here that could commit');
    level.afterCommit(action);
  }

  migrate(component: string, steps: readonly string[]): Promise<void> {
    return migrate(this.#engine, component, steps);
  }

  /** Makes `unit` the ambient one while `work` runs. */
  join<T>(unit: UnitOfWork, work: () => T): T {
    return this.#ambient.run(unit.root, work);
  }
}
