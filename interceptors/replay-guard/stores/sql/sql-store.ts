import { CommitInDoubtError, DatabaseUnavailableError, LeaseLostError, LockTimeoutError } from '../errors.js';
import type { ClaimRequest, ClaimResult, IdempotencyStore } from '../store.js';
import type { Row } from './database.js';
import type { SqlEngine, Statement } from './engine.js';
import { COMPLETED, type RecordStatements } from './records.js';
import { SqlClaim } from './sql-claim.js';
import type { SqlDatabase } from './sql-database.js';
import { UnitOfWork } from './unit-of-work.js';

/** The statements that are not about one record, which each engine words itself. */
export interface MaintenanceStatements {
  /** `$1` is the most rows to delete; returns a row for each. */
  readonly purge: string;
  /** Returns one row with a column `records`. */
  readonly estimate: string;
}

/** The records in a SQL database, in the same transactions as the services' own writes. */
export class SqlStore implements IdempotencyStore {
  readonly #engine: SqlEngine;
  readonly #database: SqlDatabase;
  readonly #records: RecordStatements;
  readonly #maintenance: MaintenanceStatements;

  constructor(
    engine: SqlEngine,
    database: SqlDatabase,
    records: RecordStatements,
    maintenance: MaintenanceStatements,
  ) {
    this.#engine = engine;
    this.#database = database;
    this.#records = records;
    this.#maintenance = maintenance;
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    if (this.#engine.readsAreCheap) {
      const found = await this.#find(request);
      if (found?.outcome === 'completed') return found;
    }
    try {
      const claimed = await this.#claimFor[request.atomicity](request);
      if (claimed) return { outcome: 'claimed', claim: claimed };
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw asUnavailable(error);
    }
    // Read in a new statement: the record that stopped the claim may be newer than the claim's snapshot.
    return (await this.#find(request)) ?? { outcome: 'in-progress', ageMs: 0 };
  }

  async purge(limit: number): Promise<number> {
    return (await this.#engine.run({ text: this.#maintenance.purge, params: [limit] })).length;
  }

  async estimateRecords(): Promise<number> {
    const [row] = await this.#engine.run({ text: this.#maintenance.estimate, params: [] });
    return Number(row?.records ?? 0);
  }

  readonly #claimFor = {
    TRANSACTION: async (request: ClaimRequest): Promise<SqlClaim | undefined> => {
      const { session, rows } = await this.#engine.open(this.#records.claim(request));
      if (rows[0]) return this.#claimed(request, rows[0], new UnitOfWork(this.#engine, session, true));
      await session.rollback();
      return undefined;
    },
    LEASE: async (request: ClaimRequest): Promise<SqlClaim | undefined> => {
      const [row] = await this.#engine.run(this.#records.claim(request));
      if (!row) return undefined;
      const lock = this.#records.lock(request.id, row.fence as bigint);
      return this.#claimed(request, row, new UnitOfWork(this.#engine, () => this.#openLocked(lock), true));
    },
  };

  /** The record stays locked until the commit, so that the fence that was seen cannot change any more. */
  async #openLocked(lock: Statement) {
    const { session, rows } = await this.#engine.open(lock);
    if (rows[0]) return session;
    await session.rollback();
    throw new LeaseLostError('the key was taken over before the first write');
  }

  #claimed(request: ClaimRequest, row: Row, unit: UnitOfWork): SqlClaim {
    return new SqlClaim(request, row, unit, this.#engine, this.#database, this.#records);
  }

  async #find(request: ClaimRequest): Promise<ClaimResult | undefined> {
    const [row] = await this.#engine.run(this.#records.find(request.id));
    if (!row) return undefined;
    const fingerprint = row.fingerprint as Buffer;
    if (row.state !== COMPLETED) return { outcome: 'in-progress', fingerprint, ageMs: Number(row.age_ms) };
    return {
      outcome: 'completed',
      fingerprint,
      reply: row.reply as Buffer,
      expiresAtMs: Number(row.expires_at),
    };
  }
}

/** A claim that may have been committed is nobody's: it keeps the key until its lease has run out. */
function asUnavailable(error: unknown): unknown {
  if (!(error instanceof CommitInDoubtError)) return error;
  return new DatabaseUnavailableError('it is not known whether the key was claimed', { cause: error });
}
