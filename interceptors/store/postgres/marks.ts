const tables = ['replay_guard_records', 'replay_guard_producers'];

/**
 * The migration steps that refuse the claims of earlier versions: see `MarkSql`. They wait for the open transactions that
 * have written to a table, and scan no rows.
 */
export const fence: readonly string[] = tables.map(
  (table) => `ALTER TABLE ${table} ADD CONSTRAINT ${table}_refuses_former CHECK (state <> 0) NOT VALID`,
);
