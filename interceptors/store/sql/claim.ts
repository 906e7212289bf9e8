import type { Row } from '../../database/database.js';
import type { DatabaseEngine } from '../../database/engine.js';
import { CommitInDoubtError, DatabaseUnavailableError, LeaseLostError } from '../../database/errors.js';
import type { DatabaseHandle } from '../../database/handle.js';
import type { UnitOfWork } from '../../database/unit-of-work.js';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { SeriesRecordClaim } from '../producer/sequence-claim.js';
import type { Claim, ClaimRequest, NotClaimed } from '../store.js';
import type { StoredAddress } from './address.js';
import { type RecordStatements, TAKEN_OVER } from './statements.js';

/** The parts of a claim that are the same for every claim of one table. */
export interface ClaimParts {
  readonly engine: DatabaseEngine;
  readonly database: DatabaseHandle;
  readonly statements: RecordStatements;
}

/**
 * A claim on a record in a SQL database, together with the unit of work of its execution. `complete` and `fail` take
 * the bytes that the record stores: a reply, or the window of a series.
 */
export class SqlClaim implements Claim, SeriesRecordClaim {
  readonly takenOver: boolean;
  expiresAtMs: number;
  /** The row that the claim statement returned. */
  readonly row: Row;
  readonly #request: ClaimRequest;
  readonly #address: StoredAddress;
  readonly #fence: bigint;
  readonly #unit: UnitOfWork;
  readonly #parts: ClaimParts;
  readonly #claimAgain: () => MaybePromise<SqlClaim | NotClaimed>;

  /** @param claimAgain makes another claim for the same request */
  constructor(
    request: ClaimRequest,
    address: StoredAddress,
    row: Row,
    unit: UnitOfWork,
    parts: ClaimParts,
    claimAgain: () => MaybePromise<SqlClaim | NotClaimed>,
  ) {
    this.#request = request;
    this.#address = address;
    this.row = row;
    this.#fence = row.fence as bigint;
    this.takenOver = row.claimed === TAKEN_OVER;
    this.expiresAtMs = Number(row.expires_at);
    this.#unit = unit;
    this.#parts = parts;
    this.#claimAgain = claimAgain;
  }

  get failure(): Error | undefined {
    return this.#unit.root.lastFailure;
  }

  get lost(): AbortSignal {
    return this.#unit.lost;
  }

  run<T>(work: () => T, onLost?: (reason: Error) => void, onAfterCommitFailed?: (error: unknown) => void): T {
    if (onLost) this.#unit.notifyLost(onLost);
    if (onAfterCommitFailed) this.#unit.notifyAfterCommitFailed(onAfterCommitFailed);
    return this.#parts.database.runIn(this.#unit, work);
  }

  /** Not `async`, which would make a second promise. */
  complete(stored: Buffer): Promise<void> {
    try {
      return Promise.resolve(this.#unit.commit(this.#completion(stored))).then(assertOwned);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Rolls the work back, then stores a failure. With LEASE the claim is still there. With TRANSACTION the rollback has
   * undone the claim too, so the failure is stored under a new one. Resolves to its result if it is not granted.
   * @param stored the reply, or a function that returns the window to store for the window of the claim
   */
  async fail(stored: Buffer | ((window: Buffer) => Buffer)): Promise<NotClaimed | undefined> {
    this.#unit.assertOpen();
    await this.#unit.rollback();
    if (this.#request.atomicity === 'LEASE') {
      assertOwned(await this.#parts.engine.run(this.#completion(this.#bytesOf(stored))));
      return undefined;
    }
    const again = await this.#claimAgain();
    if (!(again instanceof SqlClaim)) return again;
    // If the commit is in doubt, the expiry tells the record of this execution from another one.
    this.expiresAtMs = again.expiresAtMs;
    await again.complete(await again.#bytesOrRelease(stored));
    return undefined;
  }

  #bytesOf(stored: Buffer | ((window: Buffer) => Buffer)): Buffer {
    return typeof stored === 'function' ? stored(this.row.replies as Buffer) : stored;
  }

  /** Returns the bytes to store under this claim. Releases the claim if its window is not readable. */
  async #bytesOrRelease(stored: Buffer | ((window: Buffer) => Buffer)): Promise<Buffer> {
    try {
      return this.#bytesOf(stored);
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  release(): MaybePromise<void> {
    const rolledBack = this.#unit.rollback();
    // With TRANSACTION the rollback has also undone the claim.
    if (this.#request.atomicity === 'TRANSACTION') return rolledBack;
    return this.#releaseLease(rolledBack);
  }

  async #releaseLease(rolledBack: MaybePromise<void>): Promise<void> {
    await rolledBack;
    const { engine, statements } = this.#parts;
    await engine.run(statements.release(this.#address, this.#fence));
  }

  async renew(): Promise<void> {
    // The open transaction has the record locked, so a renewal would wait for the end of the transaction.
    if (this.#unit.hasTransaction || this.#unit.hasEnded) return;
    const isRenewed = await Promise.race([this.#extendLease(), this.#unit.opening()]);
    // A transaction that has opened in the meantime checks the fence itself.
    if (isRenewed || this.#unit.hasTransaction || this.#unit.hasEnded) return;
    const reason = takenOver();
    this.#unit.abort(reason);
    throw reason;
  }

  /** Resolves to whether the claim still owned the record. */
  async #extendLease(): Promise<boolean> {
    const { leaseMs } = this.#request;
    const { engine, statements } = this.#parts;
    try {
      return (await engine.run(statements.renew(this.#address, this.#fence, leaseMs))).length > 0;
    } catch (error) {
      if (!(error instanceof CommitInDoubtError)) throw error;
      throw new DatabaseUnavailableError('the answer to the renewal of the lease was lost', { cause: error });
    }
  }

  #completion(stored: Buffer) {
    return this.#parts.statements.complete(this.#address, this.#fence, stored);
  }
}

/** @param rows the rows of a completion: none if the claim does not own the record any more */
function assertOwned(rows: Row[]): void {
  if (rows.length === 0) throw takenOver();
}

function takenOver(): LeaseLostError {
  return new LeaseLostError('the key was taken over before this execution ended');
}
