import type { Row, SqlColumn, SqlValue } from '../../database/database.js';
import type { DatabaseEngine } from '../../database/engine.js';
import { STORED_ID_BYTES } from '../record-id.js';
import type { ErasedBatch, PurgedBatch } from '../store.js';
import { scopeDigest } from './address.js';
import { changeSelected } from './selected-records.js';
import { ERASED } from './statements.js';

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
  /** SQL for the reference to a selected record. */
  readonly ref: string;
  /** Returns a condition for the records of a list. `list` is SQL for a text of references, separated by commas. */
  isRefIn(list: string): string;
  /** Whether another transaction can lock single records. */
  readonly hasRowLocks: boolean;
  /** Returns a statement that estimates the rows of a table as `records`. */
  estimate(table: string): string;
}

/**
 * The statements on many records of one table. A purge and an erasure select a bounded list of records, then change
 * the records of the list. The change repeats the condition, because a claim may renew a record in between.
 */
export interface MaintenanceStatements {
  /** See `MaintenanceSql.hasRowLocks`. */
  readonly hasRowLocks: boolean;
  /**
   * Selects at most `$1` expired records in the order of their expiry, from the position `$2`. Returns `ref` and
   * `position`.
   */
  readonly selectExpired: string;
  /** Deletes the expired records of the list `$1`. Returns one row per deleted record. */
  readonly purge: string;
  /** Returns one row with a column `records`. */
  readonly estimate: string;
  /**
   * Counts the retained records of the scope digest `$1` that were not erased, at most `$2` of them. Returns one row
   * with a column `records`.
   */
  readonly countLive: string;
  /**
   * Selects at most `$2` erasable records of the scope digest `$1` in the order of their ids, after the id `$3`. Returns
   * `ref` and `id`.
   */
  readonly selectErasable: string;
  /**
   * Erases the erasable records of the list `$1` and of the scope digest `$2`. `$3` is their new fingerprint. Returns
   * one row per erased record.
   */
  readonly erase: string;
  /** Counts the records of the scope digest `$1` whose execution still runs. Returns one row with a column `records`. */
  readonly countRunning: string;
}

/**
 * The maintenance statements on one table.
 * @param now SQL for the database's clock, in milliseconds since the epoch
 */
export function maintenanceStatements(
  { name, expired, expiryOrder, erasable, erased }: RecordTable,
  { ref, isRefIn, hasRowLocks, estimate }: MaintenanceSql,
  now: string,
): MaintenanceStatements {
  return {
    hasRowLocks,
    selectExpired: `
      SELECT ${ref} AS ref, ${expiryOrder} AS position FROM ${name}
      WHERE ${expired} AND ${expiryOrder} >= $2 ORDER BY ${expiryOrder} LIMIT $1`,
    purge: `DELETE FROM ${name} WHERE ${isRefIn('$1')} AND ${expired} RETURNING state`,
    estimate: estimate(name),
    countLive: `
      SELECT count(*) AS records
      FROM (SELECT 1 FROM ${name} WHERE scope = $1 AND expires_at > ${now} AND state <> ${ERASED} LIMIT $2) AS live`,
    selectErasable: `
      SELECT ${ref} AS ref, id FROM ${name} WHERE scope = $1 AND id > $3 AND ${erasable} ORDER BY id LIMIT $2`,
    erase: `
      UPDATE ${name} SET ${erased} WHERE ${isRefIn('$1')} AND scope = $2 AND ${erasable} RETURNING state`,
    countRunning: `SELECT count(*) AS records FROM ${name} WHERE scope = $1 AND state <= 0 AND expires_at > ${now}`,
  };
}

const NO_FINGERPRINT = Buffer.alloc(32);
/** The position before every expiry. */
const BEGINNING = -(2n ** 63n);
/** The position before every id. Ids are digests, and no digest is zero. */
const FIRST_ID = '00'.repeat(STORED_ID_BYTES);

/** Purges, counts and erases the records of all tables, one table after another. */
export class Maintenance {
  readonly #engine: DatabaseEngine;
  readonly #tables: readonly MaintenanceStatements[];

  constructor(engine: DatabaseEngine, tables: readonly MaintenanceStatements[]) {
    this.#engine = engine;
    this.#tables = tables;
  }

  /**
   * Purges one batch. The batch starts at the expiry of the last record of the previous batch, so that Postgres does
   * not scan the deleted index entries again. Such entries stay until a vacuum, which old snapshots prevent.
   */
  async purge(limit: number, after?: string): Promise<PurgedBatch> {
    let [selected, purged, busyMs] = [0, 0, 0];
    const start = startOf(after ?? `0:${BEGINNING}`);
    // A database with row locks serves other connections meanwhile.
    const blocksCalls = !this.#tables.some(({ hasRowLocks }) => hasRowLocks);
    for (const [index, { selectExpired, purge, hasRowLocks }] of this.#tables.entries()) {
      if (index < start.table) continue;
      const startMs = performance.now();
      const position = index === start.table ? BigInt(start.position) : BEGINNING;
      const rows = await this.#run(selectExpired, limit - selected, position);
      busyMs += performance.now() - startMs;
      const change = (list: string) => ({ text: purge, params: [list] });
      const done = await changeSelected(this.#engine, refsOf(rows), change, hasRowLocks);
      selected += rows.length;
      purged += done.changed;
      busyMs += done.busyMs;
      if (selected === limit) {
        // If another server holds every record of the batch, the next batch would select the same records.
        const isBlocked = done.skipped === limit;
        const next = `${index}:${rows.at(-1)?.position}`;
        return { purged, ...(!isBlocked && { next }), busyMs, blocksCalls };
      }
    }
    return { purged, busyMs, blocksCalls };
  }

  async estimate(): Promise<number> {
    let total = 0;
    for (const { estimate } of this.#tables) total += countOf(await this.#run(estimate));
    return total;
  }

  /** Counts the records of a scope. After `max` is reached, no further table is queried. */
  async countLive(scope: string, max: number): Promise<number> {
    const digest = scopeDigest(scope);
    let total = 0;
    for (const { countLive } of this.#tables)
      if (total < max) total += countOf(await this.#run(countLive, digest, max - total));
    return total;
  }

  /**
   * Erases one batch. The batch starts after the last id of the previous batch, because erased records keep their place
   * in the order of the ids.
   */
  async erase(scope: string, limit: number, after?: string): Promise<ErasedBatch> {
    const digest = scopeDigest(scope);
    const start = startOf(after ?? `0:${FIRST_ID}`);
    let [selected, erased, skipped] = [0, 0, 0];
    for (const [index, { selectErasable, erase, hasRowLocks }] of this.#tables.entries()) {
      if (index < start.table) continue;
      const position = Buffer.from(index === start.table ? start.position : FIRST_ID, 'hex');
      const rows = await this.#run(selectErasable, digest, limit - selected, position);
      const change = (list: string) => ({ text: erase, params: [list, digest, NO_FINGERPRINT] });
      const done = await changeSelected(this.#engine, refsOf(rows), change, hasRowLocks);
      erased += done.changed;
      skipped += done.skipped;
      selected += rows.length;
      if (selected === limit) return { erased, skipped, next: `${index}:${hexOf(rows.at(-1)?.id)}` };
    }
    for (const { countRunning } of this.#tables) skipped += countOf(await this.#run(countRunning, digest));
    return { erased, skipped };
  }

  async #run(text: string, ...params: SqlValue[]): Promise<Row[]> {
    return this.#engine.run({ text, params });
  }
}

function refsOf(rows: readonly Row[]): SqlColumn[] {
  return rows.map(({ ref = null }) => ref);
}

/** Reads the start of a batch from `next` of the previous batch: the index of the table, and a position in it. */
function startOf(next: string): { table: number; position: string } {
  const [table, position = ''] = next.split(':');
  return { table: Number(table), position };
}

/** Returns the hexadecimal form of an id, which is binary on SQLite and a UUID on Postgres. */
function hexOf(id: SqlColumn | undefined): string {
  return Buffer.isBuffer(id) ? id.toString('hex') : String(id).replaceAll('-', '');
}

function countOf([row]: Row[]): number {
  return Number(row?.records ?? 0);
}
