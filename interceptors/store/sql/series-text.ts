import { inTime, later, orphaned, raisedFence, retainedUntil } from './claim-sql.js';

/** Said outright: beside a literal Postgres would take them for smaller integers. */
const epoch = 'CAST($8 AS BIGINT)';
const sequence = 'CAST($9 AS BIGINT)';
const isFirst = `${sequence} <= 1`;
const isNext = (record: string) =>
  `(${record}.completed = ${sequence} - 1 OR (${record}.completed = -1 AND ${isFirst}))`;

/** SQL for whether the place may be claimed on a record that is there; `decideSequence` says the same. */
const claimable = (now: string, record: string) => `
  CASE WHEN ${record}.expires_at <= ${now} THEN ${isFirst}
    WHEN ${record}.epoch < ${epoch} THEN ${isFirst} AND (${record}.state > 0 OR ${record}.lease_until <= ${now})
    WHEN ${record}.epoch > ${epoch} THEN FALSE
    WHEN ${record}.state > 0 THEN ${isNext(record)}
    ELSE ${record}.sequence = ${sequence} AND ${orphaned(now, record)} END`;

/**
 * The one atomic step that claims a place in a series: makes its record for a first sequence, or moves it on.
 * Returns a row where it did, with the window that was kept so far. Only a record that is there is moved on to a
 * later sequence: where the engine has row locks, it is locked before that.
 * @param skipLocked the clause that locks a row unless somebody else has, where the engine has one
 */
export const seriesText = (now: string, skipLocked = '') => `
  INSERT INTO replay_guard_producers AS record (id, fingerprint, scope, state, fence, lease_until, expires_at,
    expires_minute, epoch, sequence, completed, replies)
  SELECT $1, $2, $3, 0, ${now}, ${now} + $4, ${retainedUntil(now)}, (${retainedUntil(now)}) / 60000, ${epoch}, ${sequence}, -1, $10
  WHERE ${inTime(now)} AND (
    (${isFirst} AND NOT EXISTS (SELECT 1 FROM replay_guard_producers WHERE id = $1))
    OR EXISTS (
      SELECT 1 FROM replay_guard_producers AS held WHERE id = $1 AND ${claimable(now, 'held')}${skipLocked}))
  ON CONFLICT (id) DO UPDATE SET
    fingerprint = excluded.fingerprint, scope = excluded.scope,
    state = CASE WHEN ${goesOn(now)} AND record.state <= 0 THEN -1 ELSE 0 END,
    fence = ${raisedFence(now)}, lease_until = excluded.lease_until,
    expires_at = ${later('expires_at')}, expires_minute = ${later('expires_minute')},
    epoch = excluded.epoch, sequence = excluded.sequence,
    completed = CASE WHEN ${goesOn(now)} THEN record.completed ELSE -1 END,
    replies = CASE WHEN ${goesOn(now)} THEN record.replies ELSE excluded.replies END
  WHERE ${claimable(now, 'record')}
  RETURNING state AS claimed, fence, expires_at, replies`;

/** SQL for whether the record goes on, so that what it holds is kept. */
function goesOn(now: string): string {
  return `record.expires_at > ${now} AND record.epoch = excluded.epoch`;
}

/** SQL for whether no execution is trusted that would write the replies again that it has read. */
export const erasable = (now: string) => `(state = 1 OR lease_until <= ${now})`;

/**
 * SQL that leaves of a series how far it came; `$3` stands for no fingerprint. An execution that was left behind keeps
 * its own, so that it can be taken over, but must not wake up and complete.
 */
export const erased =
  'scope = 0, fence = fence + 1, fingerprint = CASE WHEN state = 1 THEN $3 ELSE fingerprint END';
