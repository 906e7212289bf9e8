import type { DatabaseEngine } from '../../database/engine.js';
import type { DatabaseHandle } from '../../database/handle.js';
import { isSequenceRequest, type SequenceRequest } from '../producer/sequence-rules.js';
import type { ClaimRequest, ClaimResult, FoundProducer, FoundRecord, IdempotencyStore } from '../store.js';
import { SqlClaiming } from './claiming.js';
import { keyRules, toFound } from './found-record.js';
import { Maintenance, type MaintenanceStatements } from './maintenance.js';
import { seriesRules, toFoundSeries } from './producers.js';
import type { RecordStatements } from './statements.js';

/** The statements of one engine on both kinds of records. */
export interface StoreStatements {
  readonly keys: RecordStatements;
  readonly series: RecordStatements;
  readonly maintenance: readonly MaintenanceStatements[];
}

/** The records in a SQL database, in the same transactions as the services' own writes. */
export class SqlStore implements IdempotencyStore {
  readonly #engine: DatabaseEngine;
  readonly #keys: SqlClaiming<ClaimRequest>;
  readonly #series: SqlClaiming<SequenceRequest>;
  readonly #maintenance: Maintenance;

  constructor(engine: DatabaseEngine, database: DatabaseHandle, statements: StoreStatements) {
    this.#engine = engine;
    this.#keys = new SqlClaiming(engine, database, keyRules(statements.keys));
    this.#series = new SqlClaiming(engine, database, seriesRules(statements.series));
    this.#maintenance = new Maintenance(engine, statements.maintenance);
  }

  claim(request: ClaimRequest): Promise<ClaimResult> {
    return isSequenceRequest(request) ? this.#series.claim(request) : this.#keys.claim(request);
  }

  async find(id: Buffer): Promise<FoundRecord | undefined> {
    return toFound(await this.#keys.find(id));
  }

  async findProducer(id: Buffer): Promise<FoundProducer | undefined> {
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
