/** The table of the outbox, step by step; a step that was released is never changed. */
export const outboxSchema: readonly string[] = [
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
];
