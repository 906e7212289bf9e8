import type { Address, Need } from './needs.js';

/** A statement of the library on Postgres, and what it needs of the engine. */
export interface ListedStatement {
  /** The statement on one line. Two dots stand for the parts that are left out. */
  readonly text: string;
  readonly address: Address;
  readonly needs: readonly Need[];
}

const listed = (text: string, address: Address, ...needs: Need[]): ListedStatement => ({
  text,
  address,
  needs: needs.sort(),
});

const recordTables = ['replay_guard_records', 'replay_guard_producers'] as const;

/** The statements that open and end a transaction, or that need no table. */
export const transactions: readonly ListedStatement[] = [
  listed('BEGIN ISOLATION LEVEL READ COMMITTED', 'no table', 'isolation level'),
  listed(
    'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY',
    'no table',
    'isolation level',
    'read-only transaction',
  ),
  // Before each read that runs outside of the transaction of its call. It reads the catalog.
  listed('SELECT 1 / CASE WHEN EXISTS .. AS harmless', 'no table', 'array'),
  // In the first transaction of a connection, and in each one if the role or the database has hostile settings.
  listed('SELECT differs, set_config(.. OFFSET 0 ) AS session', 'no table'),
  // In each transaction through a pooler.
  listed('SELECT true AS differs, set_config(.. END', 'no table', 'lock timeout'),
  listed("SELECT set_config('lock_timeout', ..)", 'no table', 'lock timeout'),
  listed('SET LOCAL lock_timeout = 25', 'no table', 'lock timeout'),
  listed('SET LOCAL lock_timeout TO DEFAULT', 'no table', 'lock timeout'),
  listed('SAVEPOINT nested_1', 'no table', 'savepoint'),
  listed('ROLLBACK TO SAVEPOINT nested_1', 'no table', 'savepoint'),
  listed('RELEASE SAVEPOINT nested_1', 'no table', 'savepoint'),
  listed('COMMIT', 'no table'),
  listed('ROLLBACK', 'no table'),
  listed('SELECT 1 AS nothing', 'no table'),
];

/** The statements of migrations. They run when a server starts. */
export const migrations: readonly ListedStatement[] = [
  listed(
    "SELECT set_config('statement_timeout', ..), set_config('lock_timeout', ..)",
    'no table',
    'lock timeout',
  ),
  // On each new connection, if the connection string says what a host must accept.
  listed('SELECT pg_is_in_recovery() AS is_standby, ..', 'no table'),
  listed('SELECT pg_backend_pid() AS process, ..', 'no table'),
  // Whether a pooler permits transactions.
  listed('BEGIN', 'no table'),
  listed('SELECT pg_advisory_xact_lock(..)', 'no table', 'advisory lock'),
  listed('SELECT attname AS name FROM pg_catalog.pg_attribute ..', 'no table'),
  listed('SELECT nspname AS name FROM pg_catalog.pg_namespace ..', 'no table'),
  listed('CREATE SCHEMA ..', 'no table'),
  listed('ALTER TABLE replay_guard_schema ADD COLUMN digests TEXT', 'a whole table'),
  listed('ALTER TABLE replay_guard_outbox ADD COLUMN trace TEXT', 'a whole table'),
  listed('SELECT version, digests FROM replay_guard_schema ..', 'one component'),
  listed('CREATE TABLE IF NOT EXISTS replay_guard_schema ..', 'a whole table'),
  listed('SELECT relname AS name, quote_ident(nspname) AS schema ..', 'no table', 'array'),
  listed('SELECT version FROM replay_guard_schema ..', 'one component'),
  listed('INSERT INTO replay_guard_schema .. DO UPDATE ..', 'one component', 'ON CONFLICT DO UPDATE'),
  listed('CREATE TABLE replay_guard_records ..', 'a whole table'),
  listed('CREATE TABLE replay_guard_producers ..', 'a whole table', 'storage parameter'),
  listed('CREATE INDEX replay_guard_records_expiry ..', 'a whole table', 'expression index'),
  listed('CREATE INDEX replay_guard_producers_expiry ..', 'a whole table'),
  ...recordTables.flatMap((table) => [
    listed(`CREATE INDEX ${table}_scope ..`, 'a whole table'),
    listed(`CREATE UNIQUE INDEX IF NOT EXISTS ${table}_address ..`, 'a whole table', 'unique index'),
    listed(`ALTER TABLE ${table} DROP CONSTRAINT ${table}_pkey`, 'a whole table'),
    listed(`ALTER TABLE ${table} ADD CONSTRAINT ${table}_pkey ..`, 'a whole table'),
    listed(`ALTER TABLE ${table} ADD CONSTRAINT ${table}_keeps_scope ..`, 'a whole table'),
    listed(`DROP INDEX ${table}_scope`, 'a whole table'),
    // When a pepper begins to cover everything.
    listed(`ALTER TABLE ${table} ADD CONSTRAINT ${table}_refuses_former ..`, 'a whole table'),
  ]),
  listed('SET LOCAL statement_timeout = 0', 'no table'),
  listed('CREATE TABLE replay_guard_messages ..', 'a whole table'),
  listed('CREATE INDEX replay_guard_messages_expiry ..', 'a whole table'),
  listed('CREATE TABLE replay_guard_outbox ( ..', 'a whole table'),
  listed('CREATE UNIQUE INDEX replay_guard_outbox_order ..', 'a whole table', 'unique index'),
  listed('CREATE INDEX replay_guard_outbox_due ..', 'a whole table', 'partial index'),
  listed('CREATE INDEX replay_guard_outbox_waiting ..', 'a whole table', 'partial index'),
  listed('CREATE INDEX replay_guard_outbox_dead ..', 'a whole table', 'partial index'),
  listed('CREATE INDEX replay_guard_outbox_ended ..', 'a whole table', 'partial index'),
  listed('CREATE TABLE replay_guard_outbox_closed ..', 'a whole table'),
];

const oneRecord = 'one record by (scope, id)';

/** The statements of guarded calls. */
export const calls: readonly ListedStatement[] = [
  ...recordTables.flatMap((table) => [
    listed(
      `INSERT INTO ${table} .. VALUES ..`,
      oneRecord,
      'ON CONFLICT DO UPDATE',
      'RETURNING',
      'clock in VALUES',
    ),
    // Only for an operation with a first-sent time.
    listed(
      `INSERT INTO ${table} .. SELECT $1, ..`,
      oneRecord,
      'INSERT .. SELECT',
      'ON CONFLICT DO UPDATE',
      'RETURNING',
      'clock in FROM',
    ),
    listed(
      `SELECT state, .. FROM (SELECT ..) AS clock LEFT JOIN ${table} ..`,
      oneRecord,
      'clock in FROM',
      'outer join',
    ),
    listed(
      `SELECT fence FROM ${table} WHERE scope = $1 AND id = $2 AND fence = $3 ..`,
      oneRecord,
      'row lock',
    ),
    listed(`UPDATE ${table} SET lease_until = ..`, oneRecord, 'RETURNING', 'clock in SET'),
    listed(`UPDATE ${table} SET state = 1, ..`, oneRecord, 'RETURNING'),
  ]),
  listed('DELETE FROM replay_guard_records WHERE scope = $1 ..', oneRecord),
  listed(
    'UPDATE replay_guard_producers AS record SET .. FROM (SELECT ..',
    oneRecord,
    'RETURNING',
    'UPDATE .. FROM',
    'clock in FROM',
  ),
  listed('UPDATE replay_guard_producers SET state = 1 WHERE ..', oneRecord),
  listed(
    'SELECT fence FROM replay_guard_producers WHERE scope = $1 AND id = $2 FOR UPDATE',
    oneRecord,
    'row lock',
  ),
];

/** The statements for records that version 0.1 erased. They run until the last of these records has been purged. */
export const upgrades: readonly ListedStatement[] = recordTables.flatMap((table) => [
  listed(
    `SELECT (SELECT count(*) FROM ${table} WHERE scope = 0 AND id = $1) ..`,
    'one record without a scope',
  ),
  listed(
    `UPDATE ${table} SET scope = $1, .. WHERE scope = 0 ..`,
    'one record without a scope',
    'change of the scope',
  ),
]);

const listOfRecords = 'a list of records by (scope, id)';

/** The statements of the pruner, of quotas and of erasures. */
export const maintenance: readonly ListedStatement[] = [
  ...recordTables.flatMap((table) => [
    listed(
      `SELECT .. AS position FROM ${table} WHERE .. ORDER BY .. LIMIT $1`,
      'a whole table',
      'clock in WHERE',
    ),
    listed(
      `DELETE FROM ${table} WHERE (scope, id) IN ..`,
      listOfRecords,
      'JSON',
      'RETURNING',
      'clock in WHERE',
    ),
    listed(`SELECT coalesce(max(n_live_tup), 0) .. '${table}'::regclass`, 'a whole table', 'statistics'),
    listed(`SELECT count(*) AS records FROM (SELECT 1 FROM ${table} ..`, 'one scope', 'clock in WHERE'),
    listed(`SELECT count(*) AS records FROM ${table} ..`, 'one scope', 'clock in WHERE'),
  ]),
  listed('SELECT .. AS ref, id FROM replay_guard_records ..', 'one scope'),
  listed('SELECT .. AS ref, id FROM replay_guard_producers ..', 'one scope', 'clock in WHERE'),
  listed('UPDATE replay_guard_records SET state = 2, ..', listOfRecords, 'JSON', 'RETURNING'),
  listed(
    'UPDATE replay_guard_producers SET state = CASE ..',
    listOfRecords,
    'JSON',
    'RETURNING',
    'clock in WHERE',
  ),
];

/**
 * The statements of the marks, beside `SELECT version`. They run at the first call of a guard with a pepper, and the last
 * one with each claim while the use of the pepper may change.
 */
export const marks: readonly ListedStatement[] = [
  listed('SELECT (extract(.. AS now', 'no table', 'clock in SELECT'),
  listed(
    'INSERT INTO replay_guard_schema .. ON CONFLICT (component) DO NOTHING',
    'one component',
    'ON CONFLICT DO NOTHING',
  ),
  ...recordTables.flatMap((table) => [
    listed(`SELECT 1 AS found FROM ${table} LIMIT 1`, 'a whole table'),
    listed(`SELECT expires_at FROM ${table} ORDER BY .. DESC LIMIT 1`, 'a whole table'),
  ]),
];

/** The statements of the consumer. */
export const consumer: readonly ListedStatement[] = [
  listed(
    'INSERT INTO replay_guard_messages ..',
    'one message',
    'ON CONFLICT DO NOTHING',
    'RETURNING',
    'clock in VALUES',
  ),
  // For a duplicate. It writes to the log if commits wait for a synchronous standby.
  listed('SELECT CASE CASE WHEN .. END AS position', 'no table'),
  listed('SELECT .. AS position FROM replay_guard_messages ..', 'a whole table', 'clock in WHERE'),
  listed(
    'DELETE FROM replay_guard_messages ..',
    'a list of messages',
    'array',
    'RETURNING',
    'clock in WHERE',
  ),
];

const oneEvent = 'one event at one destination';
const everyDestination = 'one event at every destination';
const oneDestination = 'one destination';
const skipping: readonly Need[] = ['CTE', 'RETURNING', 'SKIP LOCKED'];

/** The statements of the outbox and its relay. */
export const outbox: readonly ListedStatement[] = [
  listed(
    'INSERT INTO replay_guard_outbox (..',
    'one aggregate at its destinations',
    'INSERT .. SELECT',
    'JSON',
    'ON CONFLICT DO NOTHING',
    'RETURNING',
    'clock in SELECT',
  ),
  listed("SELECT pg_notify('replay_guard_outbox', '')", 'no table', 'NOTIFY'),
  listed('LISTEN replay_guard_outbox', 'no table', 'LISTEN'),
  listed(
    'WITH due AS .. UPDATE replay_guard_outbox ..',
    oneDestination,
    ...skipping,
    'UPDATE .. FROM',
    'clock in SELECT',
    'clock in WHERE',
  ),
  listed(
    'WITH head AS .. jsonb_array_elements_text($2::jsonb) .. UPDATE replay_guard_outbox ..',
    oneDestination,
    ...skipping,
    'JSON',
    'UPDATE .. FROM',
  ),
  listed(
    'WITH head AS .. SELECT DISTINCT aggregate .. UPDATE replay_guard_outbox ..',
    oneDestination,
    ...skipping,
    'UPDATE .. FROM',
  ),
  listed(
    'UPDATE replay_guard_outbox SET ended_at = .., last_error = NULL ..',
    oneEvent,
    'RETURNING',
    'clock in SET',
  ),
  listed(
    'UPDATE replay_guard_outbox SET due_at = .., last_error = $5 ..',
    oneEvent,
    'RETURNING',
    'clock in SET',
  ),
  listed(
    'UPDATE replay_guard_outbox SET due_at = .. WHERE destination = $1 ..',
    oneDestination,
    'RETURNING',
    'clock in SET',
    'clock in WHERE',
  ),
  listed(
    'UPDATE replay_guard_outbox SET dead_at = .., last_error = $4 ..',
    oneEvent,
    'RETURNING',
    'clock in SET',
  ),
  listed(
    'UPDATE replay_guard_outbox SET due_at = .., attempts = attempts - 1 ..',
    oneEvent,
    'RETURNING',
    'clock in SET',
  ),
  listed(
    'UPDATE replay_guard_outbox SET dead_at = NULL, .. WHERE event_id = $1 ..',
    everyDestination,
    'RETURNING',
    'clock in SET',
  ),
  listed(
    'UPDATE replay_guard_outbox SET ended_at = .. RETURNING destination, aggregate',
    everyDestination,
    'RETURNING',
    'clock in SET',
  ),
  listed(
    'INSERT INTO replay_guard_outbox_closed ..',
    'one endpoint of a destination',
    'ON CONFLICT DO NOTHING',
    'RETURNING',
    'clock in VALUES',
  ),
  listed(
    'DELETE FROM replay_guard_outbox_closed WHERE .. endpoint <> $2 ..',
    'one endpoint of a destination',
    'clock in WHERE',
  ),
  listed(
    'DELETE FROM replay_guard_outbox_closed WHERE destination = $1 RETURNING destination',
    oneDestination,
    'RETURNING',
  ),
  listed('SELECT destination, endpoint, .. FROM replay_guard_outbox_closed ..', 'a whole table'),
  listed('SELECT destination, SUM(..) .. FROM replay_guard_outbox ..', 'a whole table', 'clock in SELECT'),
  listed('SELECT event_id, .. FROM replay_guard_outbox .. ORDER BY dead_at, ..', 'a whole table'),
  listed('SELECT MAX(dead_at) AS died FROM replay_guard_outbox ..', oneDestination),
  listed(
    'WITH dead AS .. UPDATE replay_guard_outbox ..',
    oneDestination,
    ...skipping,
    'UPDATE .. FROM',
    'clock in SET',
  ),
  listed(
    'WITH old AS .. ended_at <= .. DELETE FROM replay_guard_outbox ..',
    'a whole table',
    ...skipping,
    'clock in WHERE',
  ),
  listed(
    'WITH old AS .. created_at <= .. DELETE FROM replay_guard_outbox ..',
    oneDestination,
    ...skipping,
    'clock in WHERE',
  ),
];

/** Every statement that the library sends to Postgres. */
export const statements: readonly ListedStatement[] = [
  ...transactions,
  ...migrations,
  ...calls,
  ...upgrades,
  ...maintenance,
  ...marks,
  ...consumer,
  ...outbox,
];

/** Returns a pattern for the statements that an entry lists. */
export function patternOf({ text }: ListedStatement): RegExp {
  const parts = text.split('..').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}
