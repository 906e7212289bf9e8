import { isForSeries, type SeriesRequest } from '../series/judge.js';
import type { FoundSeries } from '../series/series.js';
import type { ClaimRequest, ClaimResult, FoundRecord, IdempotencyStore } from '../store.js';
import { SqlClaiming } from './claiming.js';
import type { SqlEngine } from './engine.js';
import { keyRules, toFound } from './found-record.js';
import { Maintenance, type MaintenanceStatements } from './maintenance.js';
import type { RecordStatements } from './records.js';
import { seriesRules, toFoundSeries } from './series.js';
import type { SqlDatabase } from './sql-database.js';

/** The statements of one engine on both kinds of records. */
export interface StoreStatements {
  readonly keys: RecordStatements;
  readonly series: RecordStatements;
  readonly maintenance: readonly MaintenanceStatements[];
}

/** The records in a SQL database, in the same transactions as the services' own writes. */
export class SqlStore implements IdempotencyStore {
  readonly #engine: SqlEngine;
  readonly #keys: SqlClaiming<ClaimRequest>;
  readonly #series: SqlClaiming<SeriesRequest>;
  readonly #maintenance: Maintenance;

  constructor(engine: SqlEngine, database: SqlDatabase, statements: StoreStatements) {
    this.#engine = engine;
    this.#keys = new SqlClaiming(engine, database, keyRules(statements.keys));
    this.#series = new SqlClaiming(engine, database, seriesRules(statements.series));
    this.#maintenance = new Maintenance(engine, statements.maintenance);
  }

  claim(request: ClaimRequest): Promise<ClaimResult> {
    return isForSeries(request) ? this.#series.claim(request) : this.#keys.claim(request);
  }

  async find(id: Buffer): Promise<FoundRecord | undefined> {
    return toFound(await this.#keys.find(id));
  }

  async findSeries(id: Buffer): Promise<FoundSeries | undefined> {
    return toFoundSeries(await this.#series.find(id));
  }

  purge(limit: number): Promise<number> {
    return this.#maintenance.purge(limit);
  }

  estimateRecords(): Promise<number> {
    return this.#maintenance.estimate();
  }

  countLive(scope: string, atMost: number): Promise<number> {
    return this.#maintenance.countLive(scope, atMost);
  }

  erase(scope: string, limit: number): Promise<number> {
    return this.#maintenance.erase(scope, limit);
  }

  async ping(): Promise<void> {
    await this.#engine.run({ text: 'SELECT 1 AS alive', params: [] });
  }
}
