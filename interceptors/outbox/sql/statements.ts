import type { Dialect } from '../../database/database.js';
import { claimStatementsOf } from './claim-statements.js';

/** The SQL texts of the outbox for one dialect. */
export type Statements = ReturnType<typeof statementsOf>;

/** Returns the SQL texts of the outbox for a dialect. All times are read from the clock of the database. */
export function statementsOf(dialect: Dialect) {
  const { name, now, retentionNow } = dialect;
  const onPostgres = name === 'postgres';
  const elements = onPostgres
    ? 'jsonb_array_elements_text($6::jsonb) AS route (destination)'
    : '(SELECT value AS destination FROM json_each($6)) AS route';
  const skipLocked = onPostgres ? ' FOR UPDATE SKIP LOCKED' : '';
  const ifClaimed =
    'WHERE event_id = $1 AND destination = $2 AND fence = $3 AND ended_at IS NULL AND dead_at IS NULL';
  const update = 'UPDATE replay_guard_outbox SET';
  const closing = 'FROM replay_guard_outbox_closed WHERE destination = $1 AND endpoint = $2';
  const isClosed = `EXISTS (SELECT 1 ${closing})`;

  return {
    /**
     * The sequence number is one above the last number of the aggregate at the destination. If two appends are
     * concurrent, the second append waits for the first, and returns no row if the first commits. The numbers start
     * again at 1 when all earlier events of the aggregate have been purged.
     */
    append: `
      INSERT INTO replay_guard_outbox
        (event_id, aggregate, type, format, payload, trace, destination, sequence, created_at, due_at)
      SELECT $1, $2, $3, $4, $5, $7, route.destination,
        (SELECT COALESCE(MAX(last.sequence), 0) + 1 FROM replay_guard_outbox AS last
          WHERE last.destination = route.destination AND last.aggregate = $2), ${now}, ${now}
      FROM ${elements}
      WHERE true
      ON CONFLICT (destination, aggregate, sequence) DO NOTHING
      RETURNING destination`,
    ...claimStatementsOf(dialect, isClosed),
    markDelivered: `${update} ended_at = ${now}, last_error = NULL ${ifClaimed} RETURNING fence`,
    scheduleRetry: `${update} due_at = ${now} + $4, last_error = $5 ${ifClaimed} RETURNING fence`,
    markDead: `${update} dead_at = ${now}, last_error = $4 ${ifClaimed} RETURNING fence`,
    release: `${update} due_at = ${now}, attempts = attempts - 1 ${ifClaimed} RETURNING fence`,

    /**
     * Makes events due now, if their due time is more than $2 milliseconds ahead. The clock was set back after such a
     * due time was written.
     */
    recall: `
      ${update} due_at = ${now}
      WHERE destination = $1 AND ended_at IS NULL AND dead_at IS NULL AND due_at > ${now} + $2 RETURNING event_id`,

    close: `
      INSERT INTO replay_guard_outbox_closed (destination, endpoint, reason, closed_at)
      VALUES ($1, $2, $3, ${now})
      ON CONFLICT (destination, endpoint) DO NOTHING
      RETURNING destination`,
    /**
     * Deletes old ended subscriptions of other endpoints. Recent subscriptions are kept, because a relay with an old
     * endpoint may still run.
     */
    deleteOldClosed: `
      DELETE FROM replay_guard_outbox_closed
      WHERE destination = $1 AND endpoint <> $2 AND closed_at <= ${retentionNow} - $3`,
    reopen: `DELETE FROM replay_guard_outbox_closed WHERE destination = $1 RETURNING destination`,
    listClosed:
      'SELECT destination, endpoint, reason, closed_at FROM replay_guard_outbox_closed ORDER BY closed_at, endpoint',

    report: `
      SELECT destination, SUM(CASE WHEN dead_at IS NULL THEN 1 ELSE 0 END) AS pending,
        SUM(CASE WHEN dead_at IS NULL THEN 0 ELSE 1 END) AS dead,
        ${now} - MIN(CASE WHEN dead_at IS NULL THEN created_at END) AS oldest
      FROM replay_guard_outbox WHERE ended_at IS NULL GROUP BY destination`,
    deadLetters: `
      SELECT event_id, destination, type, aggregate, attempts, last_error, created_at, dead_at
      FROM replay_guard_outbox WHERE dead_at IS NOT NULL AND ended_at IS NULL
      ORDER BY dead_at, event_id, destination LIMIT $1`,
    requeue: `
      ${update} dead_at = NULL, attempts = 0, due_at = ${now}
      WHERE event_id = $1 AND dead_at IS NOT NULL AND ended_at IS NULL RETURNING destination`,
    lastDied: `
      SELECT MAX(dead_at) AS died FROM replay_guard_outbox
      WHERE destination = $1 AND dead_at IS NOT NULL AND ended_at IS NULL`,
    /**
     * Excludes dead letters that are newer than $2, because a relay may create dead letters as fast as this statement
     * requeues them.
     */
    requeueBatch: `
      WITH dead AS MATERIALIZED (
        SELECT event_id AS found, destination AS goes_to FROM replay_guard_outbox
        WHERE destination = $1 AND dead_at <= $2 AND ended_at IS NULL
        ORDER BY dead_at LIMIT $3${skipLocked})
      ${update} dead_at = NULL, attempts = 0, due_at = ${now}
      FROM dead WHERE event_id = found AND destination = goes_to RETURNING event_id`,
    discard: `
      ${update} ended_at = ${now}
      WHERE event_id = $1 AND dead_at IS NOT NULL AND ended_at IS NULL RETURNING destination, aggregate`,

    purge: purging(`ended_at <= ${retentionNow} - $1 ORDER BY ended_at`, '$2', skipLocked),
    /** Deletes old pending events of an endpoint whose subscription ended at least $3 milliseconds ago. */
    purgeClosed: purging(
      `destination = $1 AND ended_at IS NULL AND created_at <= ${retentionNow} - $3
        AND EXISTS (SELECT 1 ${closing} AND closed_at <= ${retentionNow} - $3)`,
      '$4',
      skipLocked,
    ),
  };
}

/** A materialized CTE runs once, so the statement locks only the rows that it deletes. */
function purging(condition: string, limit: string, skipLocked: string): string {
  return `
    WITH old AS MATERIALIZED (
      SELECT event_id, destination FROM replay_guard_outbox
      WHERE ${condition} LIMIT ${limit}${skipLocked})
    DELETE FROM replay_guard_outbox
    WHERE (event_id, destination) IN (SELECT event_id, destination FROM old)
    RETURNING event_id`;
}
