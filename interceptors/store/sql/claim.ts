import type { Row } from '../../database/database.js';
import type { DatabaseEngine } from '../../database/engine.js';
import { CommitInDoubtError, DatabaseUnavailableError, LeaseLostError } from '../../database/errors.js';
import type { DatabaseHandle } from '../../database/handle.js';
import type { UnitOfWork } from '../../database/unit-of-work.js';
import type { Claim, ClaimRequest } from '../store.js';
import { type RecordStatements, TAKEN_OVER } from './statements.js';

/** A claim and the unit of work that its execution writes in. */
export class SqlClaim implements Claim {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  /** What the statement that claimed has returned. */
  readonly row: Row;
  readonly #request: ClaimRequest;
  readonly #fence: bigint;
  readonly #unit: UnitOfWork;
  readonly #engine: DatabaseEngine;
  readonly #database: DatabaseHandle;
  readonly #records: RecordStatements;

  constructor(
    request: ClaimRequest,
    row: Row,
    unit: UnitOfWork,
    engine: DatabaseEngine,
    database: DatabaseHandle,
    records: RecordStatements,
  ) {
    this.#request = request;
    this.row = row;
    this.#fence = row.fence as bigint;
    this.takenOver = row.claimed === TAKEN_OVER;
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

  async renew(): Promise<void> {
    // The transaction has the record locked, and would make this wait for its own end.
    if (this.#unit.begun || this.#unit.ended) return;
    const renewed = await Promise.race([this.#extendLease(), this.#unit.beginning]);
    // What begins meanwhile finds out by itself whether the key is still its own.
    if (renewed || this.#unit.begun || this.#unit.ended) return;
    const reason = takenOver();
    this.#unit.lose(reason);
    throw reason;
  }

  /** Whether the record was still this claim's. */
  async #extendLease(): Promise<boolean> {
    const { id, leaseMs } = this.#request;
    try {
      return (await this.#engine.run(this.#records.renew(id, this.#fence, leaseMs))).length > 0;
    } catch (error) {
      if (!(error instanceof CommitInDoubtError)) throw error;
      throw new DatabaseUnavailableError('it is not known whether the lease was renewed', { cause: error });
    }
  }

  #assertHit(rows: Row[]): void {
    if (rows.length === 0) throw takenOver();
  }
}

function takenOver(): LeaseLostError {
  return new LeaseLostError('the key was taken over before this execution ended');
}
