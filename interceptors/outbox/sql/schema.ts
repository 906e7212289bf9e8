import type { Database } from '../../database/database.js';

/** The component that the tables belong to in the database's list of schemas. */
const COMPONENT = 'grpc-replay-guard/outbox';

/**
 * Makes the tables of the outbox, or brings them up to date. Safe when several servers start at once.
 * @throws DatabaseUnavailableError
 */
export function migrateOutbox(database: Database): Promise<void> {
  return database.migrate(COMPONENT, schema);
}

/**
 * The tables of the outbox, step by step; a step that was released is never changed.
 *
 * A row is an event on its way to one destination. `due_at` is when it may be claimed: after a pause, or when the
 * lease of who claimed it has run out; NULL while it is parked behind an earlier event of its aggregate. `dead_at`
 * alone is a dead letter; `ended_at` alone is delivered; both are a dead letter that was discarded.
 */
const schema: readonly string[] = [
  `CREATE TABLE replay_guard_outbox (
    event_id TEXT NOT NULL,
    destination TEXT NOT NULL,
    aggregate TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    type TEXT NOT NULL,
    format TEXT NOT NULL,
    payload BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT,
    attempts BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    first_attempt_at BIGINT,
    last_error TEXT,
    dead_at BIGINT,
    ended_at BIGINT,
    PRIMARY KEY (event_id, destination)
  )`,
  // The aggregate first: where destinations are few, nothing is to be looked for by a destination alone.
  // Two that append to one aggregate at once would take the same place: the second waits for the first.
  'CREATE UNIQUE INDEX replay_guard_outbox_order ON replay_guard_outbox (aggregate, destination, sequence)',
  `CREATE INDEX replay_guard_outbox_due ON replay_guard_outbox (destination, due_at)
    WHERE ended_at IS NULL AND dead_at IS NULL`,
  `CREATE INDEX replay_guard_outbox_waiting ON replay_guard_outbox (aggregate, destination, sequence)
    WHERE ended_at IS NULL`,
  `CREATE INDEX replay_guard_outbox_dead ON replay_guard_outbox (dead_at)
    WHERE dead_at IS NOT NULL AND ended_at IS NULL`,
  'CREATE INDEX replay_guard_outbox_ended ON replay_guard_outbox (ended_at) WHERE ended_at IS NOT NULL',
  `CREATE TABLE replay_guard_outbox_closed (
    destination TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    reason TEXT NOT NULL,
    closed_at BIGINT NOT NULL,
    PRIMARY KEY (destination, endpoint)
  )`,
];
