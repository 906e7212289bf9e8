import { randomBytes } from 'node:crypto';
import type { DatabaseEngine } from '../../database/engine.js';
import { isUnavailable } from '../../database/error-kinds.js';
import { DatabaseUnavailableError } from '../../database/errors.js';
import { DatabaseHandle } from '../../database/handle.js';
import { migrate } from '../../database/migrate.js';
import { type MaybePromise, then } from '../../timing/maybe-promise.js';
import type { OpenStore } from '../open-store.js';
import { isSequenceRequest, type SequenceRequest } from '../producer/sequence-rules.js';
import type {
  ClaimRequest,
  ClaimResult,
  ErasedBatch,
  FoundProducer,
  FoundRecord,
  IdempotencyStore,
  PurgedBatch,
  RecordAddress,
} from '../store.js';
import { RecordClaimer } from './claiming.js';
import { foundRecord, keyRules } from './keys.js';
import { Maintenance, type MaintenanceStatements } from './maintenance.js';
import { type MarkSql, SqlMarks } from './marks.js';
import { foundProducer, producerRules } from './producers.js';
import type { RecordStatements } from './statements.js';

/** The SQL of one engine for the store. */
export interface StoreSql {
  /** The migration steps of the guard's tables. */
  readonly schema: readonly string[];
  readonly keys: RecordStatements;
  readonly producers: RecordStatements;
  /** The maintenance statements of each table. */
  readonly maintenance: readonly MaintenanceStatements[];
  readonly marks: MarkSql;
}

/** The store in a SQL database. A claim and the writes of the services share a transaction. */
class SqlStore implements IdempotencyStore {
  readonly #engine: DatabaseEngine;
  readonly #keys: RecordClaimer<ClaimRequest>;
  readonly #producers: RecordClaimer<SequenceRequest>;
  readonly #maintenance: Maintenance;
  readonly marks: SqlMarks;

  constructor(engine: DatabaseEngine, database: DatabaseHandle, sql: StoreSql) {
    this.#engine = engine;
    this.#keys = new RecordClaimer({ engine, database }, keyRules(sql.keys));
    this.#producers = new RecordClaimer({ engine, database }, producerRules(sql.producers));
    this.#maintenance = new Maintenance(engine, sql.maintenance);
    this.marks = new SqlMarks(engine, sql.marks);
  }

  /** Prepares the first claims. Called once, after the migration. */
  async open(): Promise<void> {
    await this.#keys.open();
    await this.#producers.open();
  }

  claim(request: ClaimRequest): MaybePromise<ClaimResult> {
    return isSequenceRequest(request) ? this.#producers.claim(request) : this.#keys.claim(request);
  }

  find(address: RecordAddress): MaybePromise<FoundRecord | undefined> {
    return then(this.#keys.find(address), foundRecord);
  }

  findProducer(address: RecordAddress): MaybePromise<FoundProducer | undefined> {
    return then(this.#producers.find(address), foundProducer);
  }

  purge(limit: number, after?: string): Promise<PurgedBatch> {
    return this.#maintenance.purge(limit, after);
  }

  estimateRecords(): Promise<number> {
    return this.#maintenance.estimate();
  }

  countLive(scope: string, max: number): Promise<number> {
    return this.#maintenance.countLive(scope, max);
  }

  erase(scope: string, limit: number, after?: string): Promise<ErasedBatch> {
    return this.#maintenance.erase(scope, limit, after);
  }

  /** Postgres keeps earlier versions of rows until a vacuum, and its log longer. */
  async removeTraces(): Promise<boolean> {
    return (await this.#engine.emptyLog?.()) ?? false;
  }

  /**
   * Claims a key and a position in a series, as a call would. One claim is rolled back. The other is committed together
   * with its release, because a full disk is noticed at a commit only. While a unit of work holds the only writer of
   * the database, the tables are only read.
   */
  async ping(): Promise<void> {
    try {
      if (this.#engine.check?.() ?? true) {
        await this.#producers.probe(probeOfSeries(), 'roll back');
        await this.#keys.probe(probeOfKey(), 'commit');
      } else {
        await this.find(probeOfKey());
        await this.findProducer(probeOfKey());
      }
    } catch (error) {
      if (isUnavailable(error)) throw error;
      throw new DatabaseUnavailableError('the store cannot store a claim', { cause: error });
    }
  }
}

/** Returns a claim at an address that no call uses. */
function probeOfKey(): ClaimRequest {
  const id = randomBytes(32);
  const times = { leaseMs: 1_000, retentionMs: 1_000 };
  return { scope: 'probe', id, fingerprint: id, atomicity: 'TRANSACTION', ...times };
}

function probeOfSeries(): SequenceRequest {
  const request = probeOfKey();
  return { ...request, series: { id: request.id, epoch: 0n, sequence: 0n } };
}

/** Migrates the guard's tables, then builds the store and the database handle on the engine. */
export async function openSqlStore(
  engine: DatabaseEngine,
  sql: StoreSql,
  close: () => Promise<void>,
): Promise<OpenStore> {
  const database = new DatabaseHandle(engine);
  const store = new SqlStore(engine, database, sql);
  try {
    await migrate(engine, 'grpc-replay-guard', sql.schema);
    await store.open();
  } catch (error) {
    await close();
    throw error;
  }
  let isClosed = false;
  return {
    ...{ store, database },
    close: async () => {
      await close();
      isClosed = true;
    },
    ping: () => store.ping(),
    load: () => (isClosed ? undefined : engine.load()),
    onWait: (listener) => engine.onWait(listener),
  };
}
