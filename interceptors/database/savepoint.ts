import type { Row } from './database.js';
import type { Statement } from './engine.js';
import { UnitOfWorkError } from './errors.js';
import type { UnitOfWork } from './unit-of-work.js';

/**
 * One level of nesting inside a unit of work: the unit itself, or a savepoint in it. Queries of a level
 * wait while one of its nested transactions runs, so that what rolls back is only what belongs to it.
 */
export class Savepoint {
  readonly unit: UnitOfWork;
  /** The first statement of this level that failed; the level can only be rolled back since. */
  failure: Error | undefined;
  readonly #depth: number;
  #nested: Promise<unknown> | undefined;
  /** Statements that were sent and not answered yet. */
  readonly #pending = new Set<Promise<unknown>>();
  /** What is to be done once the unit has committed, if this level is part of it then. */
  readonly #afterCommit: (() => void)[] = [];
  #closed = false;

  constructor(unit: UnitOfWork, depth = 0) {
    this.unit = unit;
    this.#depth = depth;
  }

  async query(statement: Statement): Promise<Row[]> {
    while (this.#nested) await this.#nested;
    this.#assertUsable();
    const sent = this.unit.send(statement);
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

  /** Runs `work` in a savepoint; `enter` makes the savepoint's level the ambient one. */
  async transaction<T>(enter: <R>(level: Savepoint, work: () => R) => R, work: () => Promise<T>): Promise<T> {
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

  afterCommit(action: () => void): void {
    this.#assertUsable();
    if (this.unit.ended) throw new UnitOfWorkError('this unit of work has already ended');
    this.#afterCommit.push(action);
  }

  /** Not run here and now: what fails in them must not look like a commit that failed. */
  committed(): void {
    for (const action of this.#afterCommit) queueMicrotask(action);
  }

  /** Resolves when no nested transaction is running and every statement is answered. */
  async idle(): Promise<void> {
    while (this.#nested || this.#pending.size > 0) {
      await this.#nested;
      await Promise.allSettled(this.#pending);
    }
  }

  async #runNested<T>(enter: <R>(level: Savepoint, work: () => R) => R, work: () => Promise<T>): Promise<T> {
    const level = new Savepoint(this.unit, this.#depth + 1);
    // The unit's own savepoint serves the transaction that begins its work, and stays for the unit.
    const own = this.unit.startWork();
    const name = own ?? `nested_${level.#depth}`;
    this.#tell(`SAVEPOINT ${name}`);
    try {
      const result = await enter(level, work);
      await level.idle();
      if (level.failure) {
        throw new UnitOfWorkError('a statement of this transaction failed, so it cannot commit', {
          cause: level.failure,
        });
      }
      if (!own) this.#tell(`RELEASE SAVEPOINT ${name}`);
      this.#afterCommit.push(...level.#afterCommit);
      return result;
    } catch (error) {
      this.#tell(`ROLLBACK TO SAVEPOINT ${name}`);
      if (!own) this.#tell(`RELEASE SAVEPOINT ${name}`);
      throw error;
    } finally {
      level.#closed = true;
    }
  }

  /** Not awaited: savepoints cost no round trip, and one that fails fails what comes after it. */
  #tell(text: string): void {
    this.unit.send({ text, params: [] }).catch((error) => {
      this.failure ??= error as Error;
    });
  }

  #assertUsable(): void {
    if (this.#closed) throw new UnitOfWorkError('this transaction has already ended');
    if (this.failure) {
      throw new UnitOfWorkError('a statement of this transaction failed before; roll it back', {
        cause: this.failure,
      });
    }
  }
}
