import type { Database } from 'grpc-replay-guard/database';
import { poll } from '../waiting/poll.js';

/** Resolves to the number of open transactions of other connections in this Postgres database. */
export async function openTransactions(database: Database): Promise<number> {
  const open = `SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND xact_start IS NOT NULL`;
  return (await database.query(open)).length;
}

/** Resolves when no transaction is open. Postgres detects a lost connection, and rolls back, after some time. */
export async function transactionsEnded(database: Database): Promise<void> {
  await poll('no transaction is open', async () => (await openTransactions(database)) === 0);
}
