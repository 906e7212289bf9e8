import { MAX_FIRST_SENT_AHEAD_MS } from '../store.js';

/** SQL for whether the execution of a record may be taken over; `$2` is the fingerprint. */
export const orphaned = (now: string, record: string) =>
  `${record}.state <= 0 AND ${record}.lease_until <= ${now} AND ${record}.fingerprint = $2`;

/** SQL for whether the operation was first sent neither too long ago nor in the future. */
export const inTime = (now: string) => `$6 + $5 > ${now} AND $7 <= ${now} + ${MAX_FIRST_SENT_AHEAD_MS}`;

/**
 * SQL for until when the key is retained: what was first sent ahead of the clock is too old that much later, and
 * would be executed again in between.
 */
export const retainedUntil = (now: string) =>
  `CASE WHEN $6 BETWEEN ${now} AND ${now} + ${MAX_FIRST_SENT_AHEAD_MS} THEN $6 ELSE ${now} END + $5`;

/** SQL for the later of two times: no call shortens what an earlier one was promised. */
export const later = (column: string) =>
  `CASE WHEN record.${column} > excluded.${column} THEN record.${column} ELSE excluded.${column} END`;

/** SQL for a fence that is greater than the one that the claim found. */
export const raisedFence = (now: string) =>
  `CASE WHEN record.fence >= ${now} THEN record.fence + 1 ELSE ${now} END`;

/**
 * The one atomic step that claims a key: inserts its record, or takes over one that has expired or was orphaned.
 * Returns a row where it did. The fence is the time of the claim, made greater than the one that it found.
 * @param now SQL for the database's clock
 * @param condition SQL for what else must hold for the claim to be tried
 */
export const claimText = (now: string, condition = 'TRUE') => `
  INSERT INTO replay_guard_records AS record (id, fingerprint, scope, state, fence, lease_until, expires_at)
  SELECT $1, $2, $3, 0, ${now}, ${now} + $4, ${retainedUntil(now)}
  WHERE ${inTime(now)} AND (${condition})
  ON CONFLICT (id) DO UPDATE SET
    fingerprint = excluded.fingerprint, scope = excluded.scope,
    state = CASE WHEN record.expires_at <= ${now} THEN 0 ELSE -1 END,
    fence = ${raisedFence(now)},
    lease_until = excluded.lease_until, expires_at = ${later('expires_at')}, reply = NULL
  WHERE record.expires_at <= ${now} OR (${orphaned(now, 'record')})
  RETURNING state AS claimed, fence, expires_at`;
