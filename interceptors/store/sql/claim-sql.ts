// Pieces of SQL and parameters that the claim statements of both tables share.
// In DO UPDATE the time of a claim is the fence of the row that was not inserted, `excluded.fence`. A distributed Postgres
// allows no clock there.
import type { SqlValue } from '../../database/database.js';
import { firstSentBounds } from '../first-sent.js';
import { MAX_LEASE_AHEAD_MS, MAX_LEASES_AHEAD } from '../lease.js';
import { type ClaimRequest, MAX_FIRST_SENT_AHEAD_MS } from '../store.js';
import type { StoredAddress } from './address.js';

/** The time inside `DO UPDATE`. */
export const claimTime = 'excluded.fence';
/** The end of the lease of the claim inside `DO UPDATE`. */
export const claimedUntil = 'excluded.lease_until';

/**
 * SQL for whether the lease of a record has run out, by the rule of `hasRunOut`.
 * @param newLeaseUntil SQL for the end of a lease that begins now
 */
export const leaseHasRunOut = (now: string, newLeaseUntil: string) =>
  `(record.lease_until <= ${now} OR (record.lease_until > ${newLeaseUntil} + ${MAX_LEASE_AHEAD_MS}
    AND (record.fence > ${now} OR record.lease_until - ${now} > ${MAX_LEASES_AHEAD} * (${newLeaseUntil} - ${now}))))`;

/**
 * SQL for whether the execution of a record may be taken over.
 * @param newLeaseUntil SQL for the end of a lease that begins now
 * @param fingerprint SQL for the fingerprint of the request
 */
export const mayBeTakenOver = (now: string, newLeaseUntil: string, fingerprint: string) =>
  `record.state <= 0 AND ${leaseHasRunOut(now, newLeaseUntil)} AND record.fingerprint = ${fingerprint}`;

/** The first parameters of every claim: `$1` and `$2` the address, `$3` fingerprint, `$4` leaseMs, `$5` retentionMs. */
export function commonParams(address: StoredAddress, request: ClaimRequest): SqlValue[] {
  return [...address, request.fingerprint, request.leaseMs, request.retentionMs];
}

/** The parameters of a first-sent time: its bounds. */
export function firstSentParams(request: ClaimRequest): SqlValue[] {
  const { earliestMs, latestMs } = firstSentBounds(request);
  return [earliestMs, latestMs];
}

/** SQL that depends on the first-sent time. */
export interface FirstSentSql {
  /** Whether the operation was first sent neither too long ago nor in the future. */
  readonly isValid: string;
  /**
   * The expiry of a claimed record. A first-sent time ahead of the clock extends the retention. Otherwise the operation
   * could execute again after its expiry, before it is too old.
   */
  readonly expiry: string;
}

/**
 * Returns SQL on the bounds of the first-sent time.
 * @param position the position of the earlier bound in the parameters. The later bound follows.
 */
export function firstSentSql(now: string, position: number): FirstSentSql {
  const [earliest, latest] = [`$${position}`, `$${position + 1}`];
  const latestValid = `${now} + ${MAX_FIRST_SENT_AHEAD_MS}`;
  return {
    isValid: `${earliest} > ${now} - $5 AND ${latest} <= ${latestValid}`,
    expiry: `CASE WHEN ${earliest} BETWEEN ${now} AND ${latestValid} THEN ${earliest} ELSE ${now} END + $5`,
  };
}

/**
 * The source of the row that a claim inserts, for an operation without a first-sent time. A distributed Postgres sends
 * a list of values to one node. A SELECT would need a transaction over several nodes.
 * @param row the values, for SQL of the time and of the expiry
 */
export const valuesToInsert = (row: (now: string, expiry: string) => string, now: string) =>
  `VALUES (${row(now, `${now} + $5`)})`;

/** The source of the row that a claim inserts, if the first-sent time is valid. @param position see `firstSentSql` */
export function rowToInsertIfValid(
  row: (now: string, expiry: string) => string,
  now: string,
  position: number,
): string {
  const { isValid, expiry } = firstSentSql('now', position);
  return `SELECT ${row('now', expiry)} FROM (SELECT ${now} AS now) AS clock WHERE ${isValid}`;
}

/** SQL for the later of two times, because a later claim never shortens the retention of an earlier one. */
export const later = (column: string) =>
  `CASE WHEN record.${column} > excluded.${column} THEN record.${column} ELSE excluded.${column} END`;

/** SQL for a fence that is greater than the fence of the record: the time of the claim, or the next number. */
export const nextFence = `CASE WHEN record.fence >= ${claimTime} THEN record.fence + 1 ELSE ${claimTime} END`;
