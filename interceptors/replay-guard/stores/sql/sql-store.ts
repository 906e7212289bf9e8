import { CommitInDoubtError, DatabaseUnavailableError, LockTimeoutError } from '../errors.js';
import type { ClaimRequest, ClaimResult, FoundRecord, IdempotencyStore } from '../store.js';
import type { Row, SqlValue } from './database.js';
import type { SqlEngine } from './engine.js';
import { answerTo, toFound } from './found-record.js';
import { type RecordStatements, scopeDigest } from './records.js';
import { SqlClaim } from './sql-claim.js';
import { SqlClaimer } from './sql-claimer.js';
import type { SqlDatabase } from './sql-database.js';

/** The statements that are not about one record, which each engine words itself. */
export interface MaintenanceStatements {
  /** `$1` is the most rows to delete; returns a row for each. */
  readonly purge: string;
  /** Returns one row with a column `records`. */
  readonly estimate: string;
  /** `$1` is a scope's digest, `$2` where to stop counting; returns one row with a column `records`. */
  readonly countLive: string;
  /** `$1` is a scope's digest, `$2` the most records, `$3` what becomes of their fingerprints; a row for each. */
  readonly erase: string;
}

const NO_FINGERPRINT = Buffer.alloc(32);

/** The records in a SQL database, in the same transactions as the services' own writes. */
export class SqlStore implements IdempotencyStore {
  readonly #engine: SqlEngine;
  readonly #claimer: SqlClaimer;
  readonly #records: RecordStatements;
  readonly #maintenance: MaintenanceStatements;

  constructor(
    engine: SqlEngine,
    database: SqlDatabase,
    records: RecordStatements,
    maintenance: MaintenanceStatements,
  ) {
    this.#engine = engine;
    this.#claimer = new SqlClaimer(engine, database, records);
    this.#records = records;
    this.#maintenance = maintenance;
  }

  async claim(request: ClaimRequest): Promise<ClaimResult> {
    if (this.#engine.readsAreCheap) {
      const answer = answerTo(request, await this.#find(request.id));
      if (answer && !(answer.outcome === 'in-progress' && answer.leaseLeftMs <= 0)) return answer;
    }
    let seen: Row | undefined;
    try {
      const tried = await this.#claimer.try(request);
      if (tried instanceof SqlClaim) return { outcome: 'claimed', claim: tried };
      seen = tried;
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw asUnavailable(error);
      // Who has waited with one connection does not take another.
      if (!this.#engine.readsAreCheap) return hidden(request);
    }
    // Read in a new statement: the record that stopped the claim may be newer than what the claim saw.
    const answer = (seen && answerTo(request, seen)) ?? answerTo(request, await this.#find(request.id));
    return answer ?? hidden(request);
  }

  async find(id: Buffer): Promise<FoundRecord | undefined> {
    return toFound(await this.#find(id));
  }

  async purge(limit: number): Promise<number> {
    return (await this.#maintain('purge', limit)).length;
  }

  async estimateRecords(): Promise<number> {
    const [row] = await this.#maintain('estimate');
    return Number(row?.records ?? 0);
  }

  async countLive(scope: string, atMost: number): Promise<number> {
    const [row] = await this.#maintain('countLive', scopeDigest(scope), atMost);
    return Number(row?.records ?? 0);
  }

  async erase(scope: string, limit: number): Promise<number> {
    return (await this.#maintain('erase', scopeDigest(scope), limit, NO_FINGERPRINT)).length;
  }

  async ping(): Promise<void> {
    await this.#engine.run({ text: 'SELECT 1 AS alive', params: [] });
  }

  async #find(id: Buffer): Promise<Row> {
    const [row] = await this.#engine.run(this.#records.find(id));
    return row as Row;
  }

  #maintain(what: keyof MaintenanceStatements, ...params: SqlValue[]): Promise<Row[]> {
    return this.#engine.run({ text: this.#maintenance[what], params });
  }
}

/** What stopped the claim cannot be seen: another transaction is executing, or has just ended. */
function hidden({ leaseMs }: ClaimRequest): ClaimResult {
  return { outcome: 'in-progress', ageMs: 0, leaseLeftMs: leaseMs };
}

/** A claim that may have been committed is nobody's: it keeps the key until its lease has run out. */
function asUnavailable(error: unknown): unknown {
  if (!(error instanceof CommitInDoubtError)) return error;
  return new DatabaseUnavailableError('it is not known whether the key was claimed', { cause: error });
}
