import type { Row } from '../../database/database.js';
import type { DatabaseEngine, Session, Statement } from '../../database/engine.js';
import {
  CommitInDoubtError,
  DatabaseUnavailableError,
  LeaseLostError,
  LockTimeoutError,
} from '../../database/errors.js';
import type { DatabaseHandle } from '../../database/handle.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { ClaimRequest, ClaimResult, NotClaimed } from '../store.js';
import { SqlClaim } from './claim.js';
import type { RecordStatements } from './statements.js';

/** The differences between claims of keys and claims of positions in a series. */
export interface ClaimRules<R extends ClaimRequest> {
  readonly statements: RecordStatements;
  /** Returns the id of the record that the request claims. */
  recordId(request: R): Buffer;
  /** Decides from the row of a `find`. Returns the reason for a refusal, or undefined if a claim may succeed. */
  decide(request: R, row: Row): NotClaimed | undefined;
  /** Whether a claim would have the same result, so that no claim is necessary. */
  isFinal(result: NotClaimed): boolean;
  /** Returns the result for a claim that the statement granted. */
  grant(request: R, claim: SqlClaim): Promise<ClaimResult>;
}

/**
 * Claims the records of one table. With atomicity TRANSACTION, a claim opens the transaction of the execution. With
 * LEASE, a claim commits alone.
 */
export class RecordClaimer<R extends ClaimRequest> {
  readonly #engine: DatabaseEngine;
  readonly #database: DatabaseHandle;
  readonly #rules: ClaimRules<R>;

  constructor(engine: DatabaseEngine, database: DatabaseHandle, rules: ClaimRules<R>) {
    this.#engine = engine;
    this.#database = database;
    this.#rules = rules;
  }

  /** Claims a record, or resolves to the reason why the record was not claimed. */
  async claim(request: R): Promise<ClaimResult> {
    const { decide, isFinal, recordId, grant } = this.#rules;
    const id = recordId(request);
    if (this.#engine.hasSeparateReader) {
      const result = decide(request, await this.find(id));
      if (result && isFinal(result)) return result;
    }
    let found: Row | undefined;
    try {
      const tried = await this.#try({ ...request, id });
      if (tried instanceof SqlClaim) return grant(request, tried);
      found = tried;
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw asUnavailable(error);
      return this.#afterLockTimeout(request, id);
    }
    // The second look-up is a new statement, because the record that prevented the claim may be newer than `found`.
    const result = (found && decide(request, found)) ?? decide(request, await this.find(id));
    return result ?? hiddenExecution(request);
  }

  /** Resolves to the row of a `find`. */
  async find(id: Buffer): Promise<Row> {
    const [row] = await this.#engine.run(this.#rules.statements.find(id));
    return row as Row;
  }

  async #afterLockTimeout(request: R, id: Buffer): Promise<NotClaimed> {
    // A request that has waited on one connection must not take a second connection for a look-up.
    if (!this.#engine.hasSeparateReader) return hiddenExecution(request);
    const { decide, isFinal } = this.#rules;
    const result = decide(request, await this.find(id));
    return result && (result.outcome === 'in-progress' || isFinal(result))
      ? result
      : hiddenExecution(request);
  }

  /** Resolves to the claim, or to the row that the claim statement returned instead. */
  #try(request: ClaimRequest): Promise<SqlClaim | Row | undefined> {
    return request.atomicity === 'TRANSACTION'
      ? this.#claimInTransaction(request)
      : this.#claimLease(request);
  }

  async #claimInTransaction(request: ClaimRequest): Promise<SqlClaim | Row | undefined> {
    const { session, rows } = await this.#engine.open(this.#rules.statements.claim(request));
    const [row] = rows;
    if (isClaimed(row)) return this.#granted(request, row, session);
    // Not awaited, because the result does not depend on the end of the empty transaction.
    void session.rollback();
    return row;
  }

  async #claimLease(request: ClaimRequest): Promise<SqlClaim | Row | undefined> {
    const [row] = await this.#engine.run(this.#rules.statements.claim(request));
    if (!isClaimed(row)) return row;
    const lock = this.#rules.statements.lock(request.id, row.fence as bigint);
    return this.#granted(request, row, () => this.#openLocked(lock));
  }

  /** Opens the transaction of the writes and locks the record until the commit, so that its fence cannot change. */
  async #openLocked(lock: Statement): Promise<Session> {
    const { session, rows } = await this.#engine.open(lock);
    if (rows[0]) return session;
    await session.rollback();
    throw new LeaseLostError('the key was taken over before the first write');
  }

  #granted(request: ClaimRequest, row: Row, session: Session | (() => Promise<Session>)): SqlClaim {
    const unit = new UnitOfWork(this.#engine, session, true);
    return new SqlClaim(request, row, unit, this.#engine, this.#database, this.#rules.statements);
  }
}

/** Returns the result of a claim when the record is not visible, because another transaction has locked the record. */
export function hiddenExecution({ leaseMs }: ClaimRequest): NotClaimed {
  return { outcome: 'in-progress', ageMs: 0, leaseLeftMs: leaseMs };
}

function isClaimed(row: Row | undefined): row is Row {
  return row?.claimed !== undefined && row.claimed !== null;
}

/**
 * Returns a DatabaseUnavailableError for a claim in doubt, because no execution uses the claim. If the claim was
 * committed, it keeps the key for one lease.
 */
function asUnavailable(error: unknown): unknown {
  if (!(error instanceof CommitInDoubtError)) return error;
  return new DatabaseUnavailableError('the answer to the claim was lost', { cause: error });
}
