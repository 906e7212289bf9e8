import type { Database } from '../../database/database.js';
import { assertMigrates } from '../../options/handle.js';

/** The name of the outbox in the list of migrated components, `replay_guard_schema`. */
const COMPONENT = 'grpc-replay-guard/outbox';

/**
 * Creates the tables of the outbox, or migrates them to the current version. Several servers may call this function
 * at the same time.
 * @throws SchemaError when a step is missing and may not be applied, or was changed after it had been applied
 * @throws DatabaseUnavailableError when the tables cannot be created
 */
export function migrateOutbox(database: Pick<Database, 'migrate'>): Promise<void> {
  assertMigrates('migrateOutbox', database);
  return database.migrate(COMPONENT, schema);
}

/**
 * The migration steps of the tables. A released step never changes.
 *
 * A row is one event for one destination. `due_at` is the time from which the event may be claimed: the end
 * of a pause, or the end of the current lease. `due_at` is NULL while the event is parked behind an earlier
 * event of its aggregate. Only `dead_at` is set for a dead letter, only `ended_at` for a delivered event, and
 * both for a discarded dead letter. `trace` is the trace context of the append, as JSON, or NULL.
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
  // Two concurrent appends to one aggregate compute the same sequence number. With this index, the second append
  // waits for the first. The aggregate is the leading column, because it is more selective than the destination.
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
  'ALTER TABLE replay_guard_outbox ADD COLUMN trace TEXT',
];
