import type { Database } from 'grpc-replay-guard/database';

/**
 * The table of the outbox that the shop once had of its own, step by step: the last ones hand what waits in it over
 * to the library's, whose tables must be there. Delivered events are history, and go with it.
 */
export function formerOutboxSchema({ name }: Database['dialect']): readonly string[] {
  const isPostgres = name === 'postgres';
  const payload = isPostgres ? "convert_to(payload, 'UTF8')" : 'CAST(payload AS BLOB)';
  // It was tried without end, and when first was not kept: it has all its attempts, and counts as tried at once.
  const handOver = `
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
    // Locked first: a former server's transaction that is still open would append what nobody hands over.
    isPostgres
      ? `DO $$ BEGIN LOCK TABLE outbox_events IN ACCESS EXCLUSIVE MODE; ${handOver}; END $$`
      : handOver,
    'DROP TABLE outbox_events',
  ];
}
