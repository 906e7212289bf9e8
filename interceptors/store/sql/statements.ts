import type { Row } from '../../database/database.js';
import type { RetentionTime, Statement, StatementTime } from '../../database/engine.js';
import type { ClaimRequest } from '../store.js';
import { atAddress, type StoredAddress } from './address.js';

/**
 * The state of a record in progress whose execution is the first one. Earlier versions use 0, which the fence of the marks can refuse.
 */
export const STARTED = -2n;
/** The state of a record in progress whose execution was taken over. */
export const TAKEN_OVER = -1n;
/** The state of a completed record. */
export const COMPLETED = 1n;
/** The state of a completed record whose reply was erased. */
export const ERASED = 2n;

/**
 * Returns the bytes of a stored fingerprint. A damaged SQLite file may contain a value of another type, which is read as no
 * bytes and equals no fingerprint.
 */
export function storedFingerprint({ fingerprint }: Row): Buffer {
  return Buffer.isBuffer(fingerprint) ? fingerprint : Buffer.alloc(0);
}

/**
 * Returns the stored expiry, in milliseconds since the epoch. A value of another type in a damaged SQLite file is read as
 * the last time, because a record that is found has not expired.
 */
export function storedExpiry({ expires_at }: Row): number {
  const expiresAtMs = Number(expires_at);
  return Number.isNaN(expiresAtMs) ? Number.MAX_SAFE_INTEGER : expiresAtMs;
}

/** The assignment that replaces the state of a first execution of an earlier version. */
export const currentState = `state = CASE WHEN state = 0 THEN ${STARTED} ELSE state END`;

/** The statements of one engine on one table. Each statement is on the one record at an address. */
export interface RecordStatements {
  readonly table: string;
  /** Claims a record. If the claim is granted, the statement returns a row with `claimed`, the new state. */
  claim(address: StoredAddress, request: ClaimRequest): Statement;
  /**
   * Returns one row with the time `now`, and with `retention_now` if the engine has a retention time of its own. The other
   * columns are null if no record is retained.
   */
  find(address: StoredAddress): Statement;
  /** Locks the record regardless of its owner, and returns a row if there is a record. */
  hold(address: StoredAddress): Statement;
  /** Locks the record and returns a row, if the claim with this fence still owns the record. */
  lock(address: StoredAddress, fence: bigint): Statement;
  /** Extends the lease and returns a row, if the claim with this fence still owns the record. */
  renew(address: StoredAddress, fence: bigint, leaseMs: number): Statement;
  /** Stores a reply or a window and returns a row, if the claim with this fence still owns the record. */
  complete(address: StoredAddress, fence: bigint, stored: Buffer): Statement;
  /** Gives up the record, if the claim with this fence still owns the record. */
  release(address: StoredAddress, fence: bigint): Statement;
}

/** The SQL that differs between the two tables. */
export interface RecordTexts {
  readonly table: string;
  /** The columns of `find`, besides the state, the fence and the times. */
  readonly columns: string;
  /** The assignments of a completion. `$4` is the stored reply or window. */
  readonly completed: string;
  /** The start of the statement that gives up a record, `DELETE FROM` or `UPDATE .. SET`. */
  readonly release: string;
}

/** The SQL that differs between the engines. */
export interface RecordSql {
  readonly time: StatementTime;
  readonly retention: RetentionTime;
  /** The row lock clause, or an empty text if the engine has no row locks. */
  readonly forUpdate: string;
  /** SQL for the record at the address `$1`, `$2`, in the condition of an outer join. */
  readonly joinedAtAddress: string;
  /** SQL that is 1 if commits wait for a synchronous standby. Absent if the engine has no standbys. */
  readonly waitsForStandby?: string;
}

/** The statements on one table, without the claim. */
export type OwnedRecordStatements = Omit<RecordStatements, 'claim'>;

/** Returns the statements on one table, without the claim. */
export function statementsOn(
  { table, columns, completed, release }: RecordTexts,
  { time, retention, forUpdate, joinedAtAddress, waitsForStandby }: RecordSql,
): OwnedRecordStatements {
  const owned = `WHERE ${atAddress} AND fence = $3 AND state <= 0`;
  const [times, clock, judged] =
    retention.params.length > 0
      ? ['now, retention_now', `, ${retention.sql('now', 4)} AS retention_now`, 'retention_now']
      : ['now', '', 'now'];
  const standby = waitsForStandby ? `, ${waitsForStandby} AS waits_for_standby` : '';
  const find = `
    SELECT state, ${columns}, fence, lease_until, expires_at, ${times}${standby}
    FROM (SELECT ${time.sql(3)} AS now${clock}) AS clock
    LEFT JOIN ${table} ON ${joinedAtAddress} AND expires_at > ${judged}`;
  const lock = `SELECT fence FROM ${table} ${owned}${forUpdate}`;
  const hold = `SELECT fence FROM ${table} WHERE ${atAddress}${forUpdate}`;
  const renew = `
    UPDATE ${table} SET lease_until = ${time.sql(5)} + $4, ${currentState} ${owned} RETURNING fence`;
  const complete = `UPDATE ${table} SET ${completed} ${owned} RETURNING fence`;
  const giveUp = `${release} ${owned}`;
  const on = (text: string, ...params: Statement['params']): Statement => ({ text, params });
  return {
    table,
    find: (address) => on(find, ...address, ...time.params, ...retention.params),
    hold: (address) => on(hold, ...address),
    lock: (address, fence) => on(lock, ...address, fence),
    renew: (address, fence, leaseMs) => on(renew, ...address, fence, leaseMs, ...time.params),
    complete: (address, fence, stored) => on(complete, ...address, fence, stored),
    release: (address, fence) => on(giveUp, ...address, fence),
  };
}

/** Returns the retention time in the row of a `find`, in milliseconds since the epoch. */
export function retentionNow({ now, retention_now: own }: Row): number {
  return Number(own ?? now);
}
