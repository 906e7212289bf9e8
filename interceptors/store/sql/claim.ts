import type { Row } from '../../database/database.js';
import type { DatabaseEngine } from '../../database/engine.js';
import { CommitInDoubtError, DatabaseUnavailableError, LeaseLostError } from '../../database/errors.js';
import type { DatabaseHandle } from '../../database/handle.js';
import type { UnitOfWork } from '../../database/unit-of-work.js';
import type { Claim, ClaimRequest } from '../store.js';
import { type RecordStatements, TAKEN_OVER } from './statements.js';

/** A claim on a record in a SQL database, together with the unit of work of its execution. */
export class SqlClaim implements Claim {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  /** The row that the claim statement returned. */
  readonly row: Row;
  readonly #request: ClaimRequest;
  readonly #fence: bigint;
  readonly #unit: UnitOfWork;
  readonly #engine: DatabaseEngine;
  readonly #database: DatabaseHandle;
  readonly #statements: RecordStatements;

  constructor(
    request: ClaimRequest,
    row: Row,
    unit: UnitOfWork,
    engine: DatabaseEngine,
    database: DatabaseHandle,
    statements: RecordStatements,
  ) {
    this.#request = request;
    this.row = row;
    this.#fence = row.fence as bigint;
    this.takenOver = row.claimed === TAKEN_OVER;
    this.expiresAtMs = Number(row.expires_at);
    this.#unit = unit;
    this.#engine = engine;
    this.#database = database;
    this.#statements = statements;
  }

  get lost(): AbortSignal {
    return this.#unit.lost;
  }

  run<T>(work: () => T): T {
    return this.#database.runIn(this.#unit, work);
  }

  async complete(reply: Buffer): Promise<void> {
    const completion = this.#statements.complete(this.#request.id, this.#fence, reply);
    assertOwned(await this.#unit.commit(completion));
  }

  async fail(reply: Buffer): Promise<void> {
    const completion = this.#statements.complete(this.#request.id, this.#fence, reply);
    assertOwned(await this.#unit.revert(completion));
  }

  async release(): Promise<void> {
    await this.#unit.rollback();
    // With atomicity TRANSACTION, the rollback has also undone the claim.
    if (this.#request.atomicity === 'LEASE') {
      await this.#engine.run(this.#statements.release(this.#request.id, this.#fence));
    }
  }

  async renew(): Promise<void> {
    // The open transaction has the record locked, so a renewal would wait for the end of the transaction.
    if (this.#unit.hasTransaction || this.#unit.hasEnded) return;
    const isRenewed = await Promise.race([this.#extendLease(), this.#unit.opening]);
    // A transaction that has opened in the meantime checks the fence itself.
    if (isRenewed || this.#unit.hasTransaction || this.#unit.hasEnded) return;
    const reason = takenOver();
    this.#unit.abort(reason);
    throw reason;
  }

  /** Renews the lease. Resolves to false if the claim no longer owns the record. */
  async #extendLease(): Promise<boolean> {
    const { id, leaseMs } = this.#request;
    try {
      return (await this.#engine.run(this.#statements.renew(id, this.#fence, leaseMs))).length > 0;
    } catch (error) {
      if (!(error instanceof CommitInDoubtError)) throw error;
      throw new DatabaseUnavailableError('the answer to the renewal of the lease was lost', { cause: error });
    }
  }
}

/** @param rows the rows of a completion; empty if the claim no longer owns the record */
function assertOwned(rows: Row[]): void {
  if (rows.length === 0) throw takenOver();
}

function takenOver(): LeaseLostError {
  return new LeaseLostError('the key was taken over before this execution ended');
}
