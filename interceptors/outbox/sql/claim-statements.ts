import type { Dialect } from '../../database/database.js';

/**
 * The maximum number of events that one claim examines. The SQL text contains the number, for the query
 * planner.
 */
export const MAX_EXAMINED_EVENTS = 200;

/**
 * The statements that keep the order of the events of an aggregate. Only the first unfinished event of an aggregate
 * may be claimed. If a due event is not the first, the statement parks the event: its `due_at` becomes NULL. A
 * waiting event is therefore examined only once.
 *
 * After a transaction that parks or ends an event, `advance` must run for the aggregate in a later transaction. Two
 * such transactions may run concurrently. The later `advance` then sees both the parked event and the ended event.
 */
export function claimStatementsOf({ name, now }: Dialect, isClosed: string) {
  const skipLocked = (table: string) => (name === 'postgres' ? ` FOR UPDATE OF ${table} SKIP LOCKED` : '');
  const given = name === 'postgres' ? 'jsonb_array_elements_text($2::jsonb)' : 'json_each($2)';
  // A scalar subquery per aggregate reads one index entry. The plan of a join may read all waiting events.
  const first = (column: string, aggregate: string) => `
    (SELECT ${column} FROM replay_guard_outbox AS first
      WHERE first.destination = $1 AND first.aggregate = ${aggregate} AND first.ended_at IS NULL
      ORDER BY first.sequence LIMIT 1)`;
  const ifParked = 'CASE WHEN COALESCE(first.due_at, first.dead_at) IS NULL THEN first.event_id END';

  /**
   * An advanced event is due since its creation, so later events of other aggregates do not overtake it. The
   * statement skips a locked event, and `advanceAll` advances the event later.
   */
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
     * Examines the $5 events (at most 200) with the earliest `due_at`. Claims at most $3 events that are
     * first in their aggregate, with a lease of $4 milliseconds. Parks the events that are not first, and
     * returns them with a NULL `due_at`. The time is a column of the taken events, because Citus allows no clock
     * inside CASE or COALESCE.
     */
    claim: `
      WITH due AS MATERIALIZED (
        SELECT event_id, destination, aggregate, due_at FROM replay_guard_outbox AS event
        WHERE destination = $1 AND ended_at IS NULL AND dead_at IS NULL AND due_at <= ${now}
          AND NOT ${isClosed}
        ORDER BY due_at LIMIT $5${skipLocked('event')}),
      examined AS MATERIALIZED (
        SELECT event_id AS found, destination AS goes_to, due_at AS since,
          ${first('first.event_id', 'due.aggregate')} = event_id AS is_first
        FROM due LIMIT ${MAX_EXAMINED_EVENTS}),
      taken AS MATERIALIZED (
        SELECT found, goes_to, is_first, ${now} AS now
        FROM (SELECT * FROM examined WHERE is_first ORDER BY since LIMIT $3) AS claimed
        UNION ALL
        SELECT found, goes_to, is_first, NULL FROM examined WHERE NOT is_first)
      UPDATE replay_guard_outbox SET
        due_at = now + $4,
        attempts = CASE WHEN is_first THEN attempts + 1 ELSE attempts END,
        fence = CASE WHEN is_first THEN fence + 1 ELSE fence END,
        first_attempt_at = COALESCE(first_attempt_at, now)
      FROM taken WHERE event_id = found AND destination = goes_to
      RETURNING event_id, type, aggregate, format, CASE WHEN due_at IS NOT NULL THEN payload END AS payload,
        trace, created_at, attempts, fence, first_attempt_at, due_at`,
    /** Makes the first event of each given aggregate due, if the event is parked. */
    advance: advancing(
      `SELECT value AS aggregate FROM ${given}${name === 'postgres' ? ' AS each (value)' : ''}`,
    ),
    /**
     * Makes the first event of every aggregate of the destination due, if the event is parked. Needed after a crash
     * before `advance`.
     */
    advanceAll: advancing(`
      SELECT DISTINCT aggregate FROM replay_guard_outbox
      WHERE destination = $1 AND ended_at IS NULL AND dead_at IS NULL AND due_at IS NULL`),
  };
}
