import type { Row, SqlValue } from '../../database/database.js';
import type { DatabaseEngine } from '../../database/engine.js';
import { scopeDigest } from './statements.js';

/** The SQL of one table of records for the maintenance statements. */
export interface RecordTable {
  readonly name: string;
  /** The condition for an expired record. */
  readonly expired: string;
  /** The column or expression with the expiry index, by which expired records are sorted. */
  readonly expiryOrder: string;
  /** The condition for a record that may be erased. */
  readonly erasable: string;
  /** The assignments of an erasure. `$3` is the fingerprint of an erased record. */
  readonly erased: string;
}

/** The maintenance SQL that differs between the engines. */
export interface MaintenanceSql {
  /** Returns a condition for the rows that `source` selects. `source` starts at FROM and ends with LIMIT. */
  inBatch(source: string): string;
  /** Returns a statement that estimates the rows of a table as `records`. */
  estimate(table: string): string;
}

/** The statements on many records of one table. */
export interface MaintenanceStatements {
  /** Deletes at most `$1` expired records. Returns one row per deleted record. */
  readonly purge: string;
  /** Returns one row with a column `records`. */
  readonly estimate: string;
  /**
   * Counts the retained records of the scope digest `$1`, at most `$2` of them. Returns one row with a column
   * `records`.
   */
  readonly countLive: string;
  /**
   * Erases at most `$2` records of the scope digest `$1`. `$3` is their new fingerprint. Returns one row per record.
   */
  readonly erase: string;
}

/**
 * The maintenance statements on one table.
 * @param now SQL for the database's clock, in milliseconds since the epoch
 */
export function maintenanceStatements(
  { name, expired, expiryOrder, erasable, erased }: RecordTable,
  { inBatch, estimate }: MaintenanceSql,
  now: string,
): MaintenanceStatements {
  return {
    purge: `
      DELETE FROM ${name}
      WHERE ${inBatch(`FROM ${name} WHERE ${expired} ORDER BY ${expiryOrder} LIMIT $1`)}
      RETURNING state`,
    estimate: estimate(name),
    countLive: `
      SELECT count(*) AS records
      FROM (SELECT 1 FROM ${name} WHERE scope = $1 AND expires_at > ${now} LIMIT $2) AS live`,
    erase: `
      UPDATE ${name} SET ${erased}
      WHERE ${inBatch(`FROM ${name} WHERE scope = $1 AND ${erasable} LIMIT $2`)}
      RETURNING state`,
  };
}

const NO_FINGERPRINT = Buffer.alloc(32);

/** Purges, counts and erases the records of all tables, one table after another. */
export class Maintenance {
  readonly #engine: DatabaseEngine;
  readonly #tables: readonly MaintenanceStatements[];

  constructor(engine: DatabaseEngine, tables: readonly MaintenanceStatements[]) {
    this.#engine = engine;
    this.#tables = tables;
  }

  purge(limit: number): Promise<number> {
    return this.#upTo(limit, async ({ purge }, rest) => (await this.#run(purge, rest)).length);
  }

  async estimate(): Promise<number> {
    let total = 0;
    for (const { estimate } of this.#tables) total += countOf(await this.#run(estimate));
    return total;
  }

  countLive(scope: string, max: number): Promise<number> {
    const digest = scopeDigest(scope);
    return this.#upTo(max, async ({ countLive }, rest) => countOf(await this.#run(countLive, digest, rest)));
  }

  erase(scope: string, limit: number): Promise<number> {
    const digest = scopeDigest(scope);
    return this.#upTo(
      limit,
      async ({ erase }, rest) => (await this.#run(erase, digest, rest, NO_FINGERPRINT)).length,
    );
  }

  /** Returns the sum of `step` over the tables. After the limit is reached, no further table is queried. */
  async #upTo(
    limit: number,
    step: (table: MaintenanceStatements, rest: number) => Promise<number>,
  ): Promise<number> {
    let total = 0;
    for (const table of this.#tables) if (total < limit) total += await step(table, limit - total);
    return total;
  }

  #run(text: string, ...params: SqlValue[]): Promise<Row[]> {
    return this.#engine.run({ text, params });
  }
}

function countOf([row]: Row[]): number {
  return Number(row?.records ?? 0);
}
