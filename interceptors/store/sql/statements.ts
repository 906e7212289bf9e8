import { createHash } from 'node:crypto';
import type { SqlValue } from '../../database/database.js';
import type { Statement, StatementTime } from '../../database/engine.js';
import { firstSentBounds } from '../first-sent.js';
import { storedId } from '../record-id.js';
import type { ClaimRequest } from '../store.js';

/** The state of a record in progress whose execution was taken over. Zero is the state of a first execution. */
export const TAKEN_OVER = -1n;
/** The state of a completed record. */
export const COMPLETED = 1n;
/** The state of a completed record whose reply was erased. */
export const ERASED = 2n;

/** The statements of one engine on one table. Each statement addresses one record by its id. */
export interface RecordStatements {
  /** Claims a record. If the claim is granted, the statement returns a row with `claimed`, the new state. */
  claim(request: ClaimRequest): Statement;
  /** Returns one row with the time `now`. The other columns are null if no record is retained. */
  find(id: Buffer): Statement;
  /** Locks the record regardless of its owner, and returns a row if there is a record. */
  hold(id: Buffer): Statement;
  /** Locks the record and returns a row, if the claim with this fence still owns the record. */
  lock(id: Buffer, fence: bigint): Statement;
  /** Extends the lease and returns a row, if the claim with this fence still owns the record. */
  renew(id: Buffer, fence: bigint, leaseMs: number): Statement;
  /** Stores a reply or a window and returns a row, if the claim with this fence still owns the record. */
  complete(id: Buffer, fence: bigint, stored: Buffer): Statement;
  /** Gives up the record, if the claim with this fence still owns the record. */
  release(id: Buffer, fence: bigint): Statement;
}

/** The SQL that differs between the two tables. */
export interface RecordTexts {
  readonly table: string;
  /** The columns of `find`, besides the state, the fence and the times. */
  readonly columns: string;
  /** The assignments of a completion. `$3` is the stored reply or window. */
  readonly completed: string;
  /** The start of the statement that gives up a record, `DELETE FROM` or `UPDATE .. SET`. */
  readonly release: string;
}

/** The statements on one table, without the claim. */
export type OwnedRecordStatements = Omit<RecordStatements, 'claim'>;

/**
 * Returns the statements on one table, without the claim.
 * @param forUpdate the row lock clause, or an empty text if the engine has no row locks
 */
export function statementsOn(
  { table, columns, completed, release }: RecordTexts,
  time: StatementTime,
  forUpdate: string,
): OwnedRecordStatements {
  const owned = 'WHERE id = $1 AND fence = $2 AND state <= 0';
  const find = `
    SELECT state, ${columns}, fence, lease_until, expires_at, now
    FROM (SELECT ${time.sql(2)} AS now) AS clock
    LEFT JOIN ${table} ON id = $1 AND expires_at > now`;
  const lock = `SELECT fence FROM ${table} ${owned}${forUpdate}`;
  const hold = `SELECT fence FROM ${table} WHERE id = $1${forUpdate}`;
  const renew = `UPDATE ${table} SET lease_until = ${time.sql(4)} + $3 ${owned} RETURNING fence`;
  const complete = `UPDATE ${table} SET ${completed} ${owned} RETURNING fence`;
  const giveUp = `${release} ${owned}`;
  const on = (text: string, ...params: Statement['params']): Statement => ({ text, params });
  return {
    find: (id) => on(find, storedId(id), ...time.params),
    hold: (id) => on(hold, storedId(id)),
    lock: (id, fence) => on(lock, storedId(id), fence),
    renew: (id, fence, leaseMs) => on(renew, storedId(id), fence, leaseMs, ...time.params),
    complete: (id, fence, stored) => on(complete, storedId(id), fence, stored),
    release: (id, fence) => on(giveUp, storedId(id), fence),
  };
}

/** The stored form of a scope. It serves to count and to erase the records of a scope, and hides the scope's name. */
export function scopeDigest(scope: string): bigint {
  return createHash('sha256').update(scope).digest().readBigInt64BE();
}

/** The parameters that every claim has, `$1` to `$7`. `claim-sql.ts` lists them. */
export function commonParams(request: ClaimRequest): SqlValue[] {
  const { id, scope, fingerprint, leaseMs, retentionMs } = request;
  const { earliestMs, latestMs } = firstSentBounds(request);
  return [storedId(id), fingerprint, scopeDigest(scope), leaseMs, retentionMs, earliestMs, latestMs];
}
