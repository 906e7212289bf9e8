// Pieces of SQL that the claim statements of both tables share. The parameters are:
// $1 and $2 the address, $3 fingerprint, $4 leaseMs, $5 retentionMs, $6 and $7 the bounds of the first-sent time.
// The statements read the database's clock once, as `now` of the row to insert. In DO UPDATE that time is the fence of
// the row that was not inserted, `excluded.fence`. A distributed Postgres allows no clock in DO UPDATE.
import { MAX_FIRST_SENT_AHEAD_MS } from '../store.js';

/** The time inside `DO UPDATE`. */
export const claimTime = 'excluded.fence';

/**
 * SQL for whether the execution of a record may be taken over.
 * @param fingerprint SQL for the fingerprint of the request
 */
export const mayBeTakenOver = (now: string, record: string, fingerprint: string) =>
  `${record}.state <= 0 AND ${record}.lease_until <= ${now} AND ${record}.fingerprint = ${fingerprint}`;

/** SQL for whether the operation was first sent neither too long ago nor in the future. */
export const firstSentIsValid = `$6 > now - $5 AND $7 <= now + ${MAX_FIRST_SENT_AHEAD_MS}`;

/**
 * SQL for the expiry of a claimed record. A first-sent time ahead of the clock extends the retention. Otherwise the
 * operation could execute again after its expiry, before it is too old.
 */
export const retainedUntil = `CASE WHEN $6 BETWEEN now AND now + ${MAX_FIRST_SENT_AHEAD_MS} THEN $6 ELSE now END + $5`;

/** SQL for the later of two times, because a later claim never shortens the retention of an earlier one. */
export const later = (column: string) =>
  `CASE WHEN record.${column} > excluded.${column} THEN record.${column} ELSE excluded.${column} END`;

/** SQL for a fence that is greater than the fence of the record: the time of the claim, or the next number. */
export const nextFence = `CASE WHEN record.fence >= ${claimTime} THEN record.fence + 1 ELSE ${claimTime} END`;
