import type { Dialect } from '../../database/database.js';

/** Most events that one claim looks at. Written out, so that plans are made for so few. */
export const MOST_LOOKED_AT = 200;

/**
 * The statements that give each event its turn: after all that were before it in its aggregate. One that is due
 * and has to wait for another is parked, and has no `due_at` until its turn comes: it is met once, however many
 * there are and however long they wait.
 *
 * Who parks or ends an event must `advance` its aggregate afterwards, in a statement of its own. Both commit before
 * they do: whichever of the two comes later sees that the one is parked and the other has ended.
 */
export function claimStatementsOf({ name, now }: Dialect, isClosed: string) {
  const skipLocked = (table: string) => (name === 'postgres' ? ` FOR UPDATE OF ${table} SKIP LOCKED` : '');
  const given = name === 'postgres' ? 'jsonb_array_elements_text($2::jsonb)' : 'json_each($2)';
  // A scalar of its own for each aggregate: a join could look at everything that waits.
  const first = (what: string, aggregate: string) => `
    (SELECT ${what} FROM replay_guard_outbox AS first
      WHERE first.destination = $1 AND first.aggregate = ${aggregate} AND first.ended_at IS NULL
      ORDER BY first.sequence LIMIT 1)`;
  const ifParked = 'CASE WHEN COALESCE(first.due_at, first.dead_at) IS NULL THEN first.event_id END';

  /** As if it had never been parked: those that came later do not pass it. A locked one is left to the mend. */
  const advancing = (aggregates: string) => `
    WITH head AS MATERIALIZED (SELECT ${first(ifParked, 'moved.aggregate')} AS head_id FROM (${aggregates}) AS moved),
    next AS MATERIALIZED (
      SELECT event_id AS found, destination AS goes_to FROM head CROSS JOIN replay_guard_outbox AS event
      WHERE event_id = head_id AND destination = $1${skipLocked('event')})
    UPDATE replay_guard_outbox SET due_at = COALESCE(due_at, created_at)
    FROM next WHERE event_id = found AND destination = goes_to
    RETURNING event_id`;

  return {
    /**
     * Of the $5 events (200 at most) that have been due longest, at most $3 whose turn it is become the caller's for $4
     * milliseconds. Those whose turn it is not are parked, and come without a `due_at`.
     */
    claim: `
      WITH due AS MATERIALIZED (
        SELECT event_id, destination, aggregate, due_at FROM replay_guard_outbox AS event
        WHERE destination = $1 AND ended_at IS NULL AND dead_at IS NULL AND due_at <= ${now}
          AND NOT ${isClosed}
        ORDER BY due_at LIMIT $5${skipLocked('event')}),
      judged AS MATERIALIZED (
        SELECT event_id AS found, destination AS goes_to, due_at AS since,
          ${first('first.event_id', 'due.aggregate')} = event_id AS is_first
        FROM due LIMIT ${MOST_LOOKED_AT}),
      taken AS MATERIALIZED (
        SELECT found, goes_to, is_first
        FROM (SELECT * FROM judged WHERE is_first ORDER BY since LIMIT $3) AS room
        UNION ALL
        SELECT found, goes_to, is_first FROM judged WHERE NOT is_first)
      UPDATE replay_guard_outbox SET
        due_at = CASE WHEN is_first THEN ${now} + $4 END,
        attempts = CASE WHEN is_first THEN attempts + 1 ELSE attempts END,
        fence = CASE WHEN is_first THEN fence + 1 ELSE fence END,
        first_attempt_at = CASE WHEN is_first THEN COALESCE(first_attempt_at, ${now}) ELSE first_attempt_at END
      FROM taken WHERE event_id = found AND destination = goes_to
      RETURNING event_id, type, aggregate, format, CASE WHEN due_at IS NOT NULL THEN payload END AS payload,
        created_at, attempts, fence, first_attempt_at, due_at`,
    /** Makes the first events of these aggregates due that are parked. */
    advance: advancing(
      `SELECT value AS aggregate FROM ${given}${name === 'postgres' ? ' AS each (value)' : ''}`,
    ),
    /** The same for all that is parked at the destination: for what a crash has left between two statements. */
    mend: advancing(`
      SELECT DISTINCT aggregate FROM replay_guard_outbox
      WHERE destination = $1 AND ended_at IS NULL AND dead_at IS NULL AND due_at IS NULL`),
  };
}
