import type { Dialect } from '../replay-guard/stores/sql/database.js';

/** The statements of the outbox, worded for a database. All times are the database's. */
export type Statements = ReturnType<typeof statementsOf>;

export function statementsOf({ name, now }: Dialect) {
  const onPostgres = name === 'postgres';
  const elements = onPostgres
    ? 'jsonb_array_elements_text($6::jsonb) AS route (destination)'
    : '(SELECT value AS destination FROM json_each($6)) AS route';
  const skipLocked = onPostgres ? ' FOR UPDATE SKIP LOCKED' : '';
  const mine =
    'WHERE event_id = $1 AND destination = $2 AND fence = $3 AND ended_at IS NULL AND dead_at IS NULL';
  const update = 'UPDATE replay_guard_outbox SET';
  const isClosed =
    'EXISTS (SELECT 1 FROM replay_guard_outbox_closed WHERE destination = $1 AND endpoint = $2)';

  return {
    /**
     * A place is one behind the last of the aggregate, or the time where there is none, so that places grow also
     * when everything before was purged. No row where the place was taken meanwhile, or the event is there.
     */
    append: `
      INSERT INTO replay_guard_outbox
        (event_id, aggregate, type, format, payload, sequence, destination, created_at, due_at)
      SELECT $1, $2, $3, $4, $5, place.sequence, route.destination, ${now}, ${now}
      FROM (SELECT COALESCE(MAX(sequence) + 1, ${now}) AS sequence
            FROM replay_guard_outbox WHERE aggregate = $2) AS place
      CROSS JOIN ${elements}
      WHERE true
      ON CONFLICT DO NOTHING
      RETURNING destination`,
    appended: 'SELECT COUNT(*) AS found FROM replay_guard_outbox WHERE event_id = $1',
    /**
     * Of each aggregate the first event that is not delivered, if it is due. Rows are marked when they are done,
     * never passed over by their order: the order of places is not the order of commits.
     */
    claim: `
      WITH due (found) AS MATERIALIZED (
        SELECT event_id FROM replay_guard_outbox AS event
        WHERE destination = $1 AND ended_at IS NULL AND dead_at IS NULL AND due_at <= ${now}
          AND NOT ${isClosed}
          AND NOT EXISTS (
            SELECT 1 FROM replay_guard_outbox AS earlier
            WHERE earlier.destination = $1 AND earlier.aggregate = event.aggregate
              AND earlier.sequence < event.sequence AND earlier.ended_at IS NULL)
        ORDER BY due_at LIMIT $3${skipLocked})
      UPDATE replay_guard_outbox SET
        attempts = attempts + 1, fence = fence + 1, due_at = ${now} + $4,
        first_attempt_at = COALESCE(first_attempt_at, ${now})
      FROM due WHERE event_id = found AND destination = $1
      RETURNING event_id, type, aggregate, format, payload, created_at, attempts, fence, first_attempt_at`,
    delivered: `${update} ended_at = ${now}, last_error = NULL ${mine} RETURNING fence`,
    retry: `${update} due_at = ${now} + $4, last_error = $5 ${mine} RETURNING fence`,
    bury: `${update} dead_at = ${now}, last_error = $4 ${mine} RETURNING fence`,
    giveBack: `${update} due_at = ${now}, attempts = attempts - 1 ${mine} RETURNING fence`,

    close: `
      INSERT INTO replay_guard_outbox_closed (destination, endpoint, reason, closed_at)
      VALUES ($1, $2, $3, ${now})
      ON CONFLICT (destination) DO UPDATE SET
        endpoint = excluded.endpoint, reason = excluded.reason, closed_at = excluded.closed_at
      WHERE replay_guard_outbox_closed.endpoint <> excluded.endpoint
      RETURNING destination`,
    /** What was closed when something else stood behind the destination. */
    forget: 'DELETE FROM replay_guard_outbox_closed WHERE destination = $1 AND endpoint <> $2',
    open: `DELETE FROM replay_guard_outbox_closed WHERE destination = $1 RETURNING destination`,
    closed: 'SELECT destination, reason, closed_at FROM replay_guard_outbox_closed',

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
    requeueAll: `
      ${update} dead_at = NULL, attempts = 0, due_at = ${now}
      WHERE destination = $1 AND dead_at IS NOT NULL AND ended_at IS NULL RETURNING destination`,
    discard: `
      ${update} ended_at = ${now}
      WHERE event_id = $1 AND dead_at IS NOT NULL AND ended_at IS NULL RETURNING destination`,

    purge: purging(`ended_at <= ${now} - $1`, 'ended_at', '$2', skipLocked),
    /** What waits for a destination that is closed, for as long as delivered events are kept. */
    purgeClosed: purging(
      `destination = $1 AND ended_at IS NULL AND created_at <= ${now} - $3 AND ${isClosed}`,
      'created_at',
      '$4',
      skipLocked,
    ),
  };
}

/** A CTE runs once, so no more rows are locked than are deleted. */
function purging(condition: string, order: string, limit: string, skipLocked: string): string {
  return `
    WITH old AS MATERIALIZED (
      SELECT event_id, destination FROM replay_guard_outbox
      WHERE ${condition} ORDER BY ${order} LIMIT ${limit}${skipLocked})
    DELETE FROM replay_guard_outbox
    WHERE (event_id, destination) IN (SELECT event_id, destination FROM old)
    RETURNING event_id`;
}
