import type { Database, Dialect } from '../database/database.js';
import { type Clock, clockValue } from '../timing/clock.js';
import { RepeatingTask } from '../timing/repeating-task.js';
import type { ConsumerObserver } from './observer.js';

const INTERVAL_MS = 60_000;
const BATCH_SIZE = 500;

// A materialized CTE runs once, so the statement locks only the rows that it deletes.
const purge = ({ name, now }: Dialect) => `
  WITH expired AS MATERIALIZED (
    SELECT id FROM replay_guard_messages WHERE expires_at <= COALESCE($1, ${now})
    ORDER BY expires_at LIMIT ${BATCH_SIZE}${name === 'postgres' ? ' FOR UPDATE SKIP LOCKED' : ''})
  DELETE FROM replay_guard_messages WHERE id IN (SELECT id FROM expired)
  RETURNING expires_at`;

/**
 * Creates the task that deletes expired messages every minute, in batches of bounded size. Several servers
 * may prune at the same time: each row is deleted once. The task does not keep the process alive.
 */
export function createPruner(
  database: Database,
  observer: ConsumerObserver,
  clock: Clock | undefined,
): RepeatingTask {
  const statement = purge(database.dialect);
  return new RepeatingTask({
    async run() {
      const { length } = await database.query(statement, [clockValue(clock)]);
      observer.messagesPurged(length);
      // A full batch means that more rows may have expired. The task then runs again at once.
      return length === BATCH_SIZE;
    },
    intervalMs: INTERVAL_MS,
    onError: (error) => observer.purgeFailed(error),
    keepsProcessAlive: false,
  });
}
