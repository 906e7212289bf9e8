/**
 * Returns the migration steps that make (scope, id) the address of the records in a table. SQLite cannot change a
 * primary key, so the records move to a new table. All steps run in one transaction, so a crash undoes them.
 *
 * The new table has a rowid, so that an entry of the expiry index holds a rowid and no address. Records with long replies
 * then do not widen the search tree. The indexes are built after the move, because sorted entries fill their pages.
 * @param columns the definitions of all columns
 * @param expiry the column with the expiry index
 */
function addressing(table: string, columns: Readonly<Record<string, string>>, expiry: string): string[] {
  const names = Object.keys(columns).join(', ');
  const definitions = Object.entries(columns).map(([name, type]) => `${name} ${type}`);
  return [
    `ALTER TABLE ${table} RENAME TO ${table}_by_id`,
    `CREATE TABLE ${table} (${definitions.join(', ')})`,
    `INSERT INTO ${table} (${names}) SELECT ${names} FROM ${table}_by_id`,
    `DROP TABLE ${table}_by_id`,
    `CREATE UNIQUE INDEX ${table}_address ON ${table} (scope, id)`,
    `CREATE INDEX ${table}_expiry ON ${table} (${expiry})`,
    // An erasure by a server of version 0.1 deletes the scope. The record would then have another address.
    `CREATE TRIGGER ${table}_keep_scope BEFORE UPDATE OF scope ON ${table} WHEN NEW.scope = 0
     BEGIN SELECT RAISE(ABORT, 'a record must keep its scope'); END`,
  ];
}

/** The migration steps from version 0.1, whose tables had the primary key (id) and an index on the scope. */
export const addressingSchema = [
  ...addressing(
    'replay_guard_records',
    {
      scope: 'INTEGER NOT NULL',
      id: 'BLOB NOT NULL CHECK (length(id) = 16)',
      fingerprint: 'BLOB NOT NULL',
      state: 'INTEGER NOT NULL',
      fence: 'INTEGER',
      lease_until: 'INTEGER',
      expires_at: 'INTEGER NOT NULL',
      reply: 'BLOB',
    },
    'expires_at',
  ),
  ...addressing(
    'replay_guard_producers',
    {
      scope: 'INTEGER NOT NULL',
      id: 'BLOB NOT NULL CHECK (length(id) = 16)',
      fingerprint: 'BLOB NOT NULL',
      state: 'INTEGER NOT NULL',
      epoch: 'INTEGER NOT NULL',
      sequence: 'INTEGER NOT NULL',
      completed: 'INTEGER NOT NULL',
      fence: 'INTEGER NOT NULL',
      lease_until: 'INTEGER NOT NULL',
      expires_at: 'INTEGER NOT NULL',
      expires_minute: 'INTEGER NOT NULL',
      replies: 'BLOB NOT NULL',
    },
    'expires_minute',
  ),
];
