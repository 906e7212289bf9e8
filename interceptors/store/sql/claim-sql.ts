// Pieces of SQL that the claim statements of both tables share. The parameters are:
// $1 id, $2 fingerprint, $3 scope digest, $4 leaseMs, $5 retentionMs, $6 and $7 the bounds of the first-sent time.
import { MAX_FIRST_SENT_AHEAD_MS } from '../store.js';

/** SQL for whether the execution of a record may be taken over. */
export const mayBeTakenOver = (now: string, record: string) =>
  `${record}.state <= 0 AND ${record}.lease_until <= ${now} AND ${record}.fingerprint = $2`;

/** SQL for whether the first-sent time is valid: not too old, and not too far in the future. */
export const firstSentIsValid = (now: string) =>
  `$6 + $5 > ${now} AND $7 <= ${now} + ${MAX_FIRST_SENT_AHEAD_MS}`;

/**
 * SQL for the expiry of a claimed record. A first-sent time ahead of the clock extends the retention. Otherwise the
 * record could expire before the operation is too old, and the operation could execute again.
 */
export const retainedUntil = (now: string) =>
  `CASE WHEN $6 BETWEEN ${now} AND ${now} + ${MAX_FIRST_SENT_AHEAD_MS} THEN $6 ELSE ${now} END + $5`;

/** SQL for the later of two times. A later claim never shortens the retention of an earlier claim. */
export const later = (column: string) =>
  `CASE WHEN record.${column} > excluded.${column} THEN record.${column} ELSE excluded.${column} END`;

/** SQL for a fence that is greater than the fence of the record: the time of the claim, or the next number. */
export const nextFence = (now: string) =>
  `CASE WHEN record.fence >= ${now} THEN record.fence + 1 ELSE ${now} END`;
