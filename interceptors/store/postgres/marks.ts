const tables = ['replay_guard_records', 'replay_guard_producers'];

/**
 * Returns the migration steps that refuse the claims of earlier versions: see `MarkSql`. They wait for the open transactions
 * that have written to a table, and scan no rows. The fence of a record is the time of its claim. An execution that began
 * before `now` may renew its lease, which keeps its state.
 */
export const fence = (now: bigint): readonly string[] =>
  tables.map(
    (table) =>
      `ALTER TABLE ${table} ADD CONSTRAINT ${table}_refuses_former CHECK (state <> 0 OR fence < ${now}) NOT VALID`,
  );
