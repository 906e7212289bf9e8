import type { Row } from '../../database/database.js';
import type { DatabaseEngine, Session, Statement } from '../../database/engine.js';
import { LeaseLostError } from '../../database/errors.js';
import type { DatabaseHandle } from '../../database/handle.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { ClaimRequest } from '../store.js';
import { SqlClaim } from './claim.js';
import type { RecordStatements } from './statements.js';

/** Claims keys: as the beginning of the transaction that the execution runs in, or on a lease. */
export class SqlClaimer {
  readonly #engine: DatabaseEngine;
  readonly #database: DatabaseHandle;
  readonly #records: RecordStatements;

  constructor(engine: DatabaseEngine, database: DatabaseHandle, records: RecordStatements) {
    this.#engine = engine;
    this.#database = database;
    this.#records = records;
  }

  /** The claim; or the row of what it saw instead, as far as it looked. */
  try(request: ClaimRequest): Promise<SqlClaim | Row | undefined> {
    return request.atomicity === 'TRANSACTION' ? this.#begin(request) : this.#lease(request);
  }

  async #begin(request: ClaimRequest): Promise<SqlClaim | Row | undefined> {
    const { session, rows } = await this.#engine.open(this.#records.claim(request));
    const [row] = rows;
    if (isClaimed(row)) return this.#claimed(request, row, session);
    // Nobody has to wait until an empty transaction has ended.
    void session.rollback();
    return row;
  }

  async #lease(request: ClaimRequest): Promise<SqlClaim | Row | undefined> {
    const [row] = await this.#engine.run(this.#records.claim(request));
    if (!isClaimed(row)) return row;
    const lock = this.#records.lock(request.id, row.fence as bigint);
    return this.#claimed(request, row, () => this.#openLocked(lock));
  }

  /** The record stays locked until the commit, so that the fence that was seen cannot change any more. */
  async #openLocked(lock: Statement): Promise<Session> {
    const { session, rows } = await this.#engine.open(lock);
    if (rows[0]) return session;
    await session.rollback();
    throw new LeaseLostError('the key was taken over before the first write');
  }

  #claimed(request: ClaimRequest, row: Row, session: Session | (() => Promise<Session>)): SqlClaim {
    const unit = new UnitOfWork(this.#engine, session, true);
    return new SqlClaim(request, row, unit, this.#engine, this.#database, this.#records);
  }
}

function isClaimed(row: Row | undefined): row is Row {
  return row?.claimed !== undefined && row.claimed !== null;
}
