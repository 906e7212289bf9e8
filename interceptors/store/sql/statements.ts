import { createHash } from 'node:crypto';
import type { SqlValue } from '../../database/database.js';
import type { Statement } from '../../database/engine.js';
import { sentTime } from '../first-sent.js';
import { storedId } from '../record-id.js';
import type { ClaimRequest } from '../store.js';

/** The states of a record as they are stored; zero and less are in progress. */
export const TAKEN_OVER = -1n;
export const COMPLETED = 1n;
/** Completed once, and its reply erased since. */
export const ERASED = 2n;

/** The statements of one engine on one kind of records. Each addresses one record by its id. */
export interface RecordStatements {
  /**
   * Where the record is claimed a row with `claimed`, its new state. Otherwise no row, or one as of `find`, if
   * that costs nothing more.
   */
  claim(request: ClaimRequest): Statement;
  /** One row, with the time `now`; the other columns are null where nothing is retained. */
  find(id: Buffer): Statement;
  lock(id: Buffer, fence: bigint): Statement;
  renew(id: Buffer, fence: bigint, leaseMs: number): Statement;
  complete(id: Buffer, fence: bigint, kept: Buffer): Statement;
  release(id: Buffer, fence: bigint): Statement;
}

/** What differs from one kind of records to the other. */
export interface RecordTexts {
  readonly table: string;
  /** The statement that claims, see `claimText` and `seriesText`. */
  readonly claim: string;
  /** The columns of a `find`, besides the times. */
  readonly columns: string;
  /** What a claim that is completed sets; `$3` is what it keeps. */
  readonly completed: string;
  /** What is done to a record, `DELETE FROM` or `UPDATE .. SET`, that a claim gives up. */
  readonly release: string;
  /** What the claim takes besides what every claim does. */
  claimParams?(request: ClaimRequest): SqlValue[];
}

/**
 * @param now SQL for the database's clock, milliseconds since the epoch
 * @param forUpdate the row lock clause, where the engine has one
 */
export function statementsOn(texts: RecordTexts, now: string, forUpdate: string): RecordStatements {
  const { table, columns, completed, claimParams = () => [] } = texts;
  const find = `
    SELECT state, ${columns}, fence, lease_until, expires_at, now
    FROM (SELECT ${now} AS now) AS clock
    LEFT JOIN ${table} ON id = $1 AND expires_at > now`;
  const owned = 'WHERE id = $1 AND fence = $2 AND state <= 0';
  const lock = `SELECT fence FROM ${table} ${owned}${forUpdate}`;
  const renew = `UPDATE ${table} SET lease_until = ${now} + $3 ${owned} RETURNING fence`;
  const complete = `
    UPDATE ${table} SET ${completed} ${owned} RETURNING fence`;
  const release = `${texts.release} ${owned}`;
  const on = (text: string, ...params: SqlValue[]): Statement => ({ text, params });
  return {
    claim: (request) => ({
      ...on(texts.claim, ...commonParams(request), ...claimParams(request)),
      impatient: true,
    }),
    find: (id) => on(find, storedId(id)),
    lock: (id, fence) => on(lock, storedId(id), fence),
    renew: (id, fence, leaseMs) => on(renew, storedId(id), fence, leaseMs),
    complete: (id, fence, kept) => on(complete, storedId(id), fence, kept),
    release: (id, fence) => on(release, storedId(id), fence),
  };
}

/** The statements on the records of keys. @param claim the statement that claims, see `claimText` */
export function recordStatements(now: string, claim: string, forUpdate = ''): RecordStatements {
  const table = 'replay_guard_records';
  const completed = 'state = 1, fence = NULL, lease_until = NULL, reply = $3';
  const release = `DELETE FROM ${table}`;
  return statementsOn({ table, claim, columns: 'fingerprint, reply', completed, release }, now, forUpdate);
}

/** What is kept of a scope: enough to count and to erase its records, not to read who it is. */
export function scopeDigest(scope: string): bigint {
  return createHash('sha256').update(scope).digest().readBigInt64BE();
}

function commonParams(request: ClaimRequest): SqlValue[] {
  const { id, scope, fingerprint, leaseMs, retentionMs } = request;
  const { earliestMs, latestMs } = sentTime(request);
  return [storedId(id), fingerprint, scopeDigest(scope), leaseMs, retentionMs, earliestMs, latestMs];
}
