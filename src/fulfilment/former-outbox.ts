import type { Database } from 'grpc-replay-guard/database';

/**
 * The migration steps of the shop's former outbox table. The last steps move its pending events to the library's
 * outbox and drop the table with the delivered events. The tables of the library's outbox must exist.
 */
export function formerOutboxSchema({ name }: Database['dialect']): readonly string[] {
  const isPostgres = name === 'postgres';
  const payload = isPostgres ? "convert_to(payload, 'UTF8')" : 'CAST(payload AS BLOB)';
  // The former outbox had no maximum of attempts and no time of the first attempt. A moved event starts with zero
  // attempts; its creation counts as the time of the first attempt.
  const movePending = `
    INSERT INTO replay_guard_outbox (event_id, destination, aggregate, sequence, type, format, payload,
      created_at, due_at, first_attempt_at, last_error)
    SELECT event_id, 'inventory', aggregate, sequence, type, 'json', ${payload},
      created_at, due_at, CASE WHEN attempts > 0 THEN created_at END, last_error
    FROM outbox_events WHERE done_at IS NULL`;
  return [
    `CREATE TABLE outbox_events (
      event_id TEXT PRIMARY KEY,
      aggregate TEXT NOT NULL,
      sequence BIGINT NOT NULL,
      type TEXT NOT NULL,
      payload TEXT NOT NULL,
      created_at BIGINT NOT NULL,
      due_at BIGINT NOT NULL,
      attempts BIGINT NOT NULL DEFAULT 0,
      last_error TEXT,
      done_at BIGINT,
      UNIQUE (aggregate, sequence)
    )`,
    'CREATE INDEX outbox_events_due ON outbox_events (due_at) WHERE done_at IS NULL',
    'CREATE INDEX outbox_events_waiting ON outbox_events (aggregate, sequence) WHERE done_at IS NULL',
    // The lock waits for open transactions of servers of earlier versions, so that their events are moved too.
    isPostgres
      ? `DO $$ BEGIN LOCK TABLE outbox_events IN ACCESS EXCLUSIVE MODE; ${movePending}; END $$`
      : movePending,
    'DROP TABLE outbox_events',
  ];
}
