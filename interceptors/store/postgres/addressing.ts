/**
 * Returns the migration steps that make (scope, id) the primary key of a table. The steps need no scan: the index was
 * built by an earlier step. The rows are not checked, because version 0.1 deleted the scope of erased records. The check
 * refuses such an erasure by a server of version 0.1: the record would then have another address. Each statement has one
 * action, because Citus refuses several.
 */
const addressing = (table: string) => [
  `ALTER TABLE ${table} DROP CONSTRAINT ${table}_pkey`,
  `ALTER TABLE ${table} ADD CONSTRAINT ${table}_pkey PRIMARY KEY USING INDEX ${table}_address`,
  `ALTER TABLE ${table} ADD CONSTRAINT ${table}_keeps_scope CHECK (scope <> 0) NOT VALID`,
];

/**
 * Returns the migration step that builds the index of the primary key. It blocks writes, and no reads. An operator may
 * build the same index before the migration, with CONCURRENTLY, so that the step has nothing to do.
 */
const index = (table: string) => `
  CREATE UNIQUE INDEX IF NOT EXISTS ${table}_address ON ${table} (scope, id)`;

/**
 * The migration steps from version 0.1, whose tables had the primary key (id) and an index on the scope. All steps run in
 * one transaction, so a crash undoes them. The long steps come first: the table is locked for reads only by the later
 * steps, which take milliseconds.
 */
export const addressingSchema = [
  // The build of an index takes longer than other statements may take.
  'SET LOCAL statement_timeout = 0',
  index('replay_guard_records'),
  index('replay_guard_producers'),
  ...addressing('replay_guard_records'),
  ...addressing('replay_guard_producers'),
  'DROP INDEX replay_guard_records_scope',
  'DROP INDEX replay_guard_producers_scope',
];
