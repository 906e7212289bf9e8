import { LeaseLostError } from '../errors.js';
import type { Claim, ClaimRequest } from '../store.js';
import type { Row } from './database.js';
import type { SqlEngine } from './engine.js';
import type { RecordStatements } from './records.js';
import type { SqlDatabase } from './sql-database.js';
import type { UnitOfWork } from './unit-of-work.js';

/** A claim and the unit of work that its execution writes in. */
export class SqlClaim implements Claim {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  readonly #request: ClaimRequest;
  readonly #fence: bigint;
  readonly #unit: UnitOfWork;
  readonly #engine: SqlEngine;
  readonly #database: SqlDatabase;
  readonly #records: RecordStatements;

  constructor(
    request: ClaimRequest,
    row: Row,
    unit: UnitOfWork,
    engine: SqlEngine,
    database: SqlDatabase,
    records: RecordStatements,
  ) {
    this.#request = request;
    this.#fence = row.fence as bigint;
    this.takenOver = row.fence !== row.created_at;
    this.expiresAtMs = Number(row.expires_at);
    this.#unit = unit;
    this.#engine = engine;
    this.#database = database;
    this.#records = records;
  }

  get lost(): AbortSignal {
    return this.#unit.lost;
  }

  run<T>(work: () => T): T {
    return this.#database.join(this.#unit, work);
  }

  async complete(reply: Buffer): Promise<void> {
    this.#assertHit(await this.#unit.commit(this.#records.complete(this.#request.id, this.#fence, reply)));
  }

  async fail(reply: Buffer): Promise<void> {
    this.#assertHit(await this.#unit.revert(this.#records.complete(this.#request.id, this.#fence, reply)));
  }

  async release(): Promise<void> {
    await this.#unit.rollback();
    // In a TRANSACTION the claim was part of what rolled back.
    if (this.#request.atomicity === 'LEASE') {
      await this.#engine.run(this.#records.release(this.#request.id, this.#fence));
    }
  }

  #assertHit(rows: Row[]): void {
    if (rows.length === 0) throw new LeaseLostError('the key was taken over before this execution ended');
  }
}
