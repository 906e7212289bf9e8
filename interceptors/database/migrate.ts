import type { SqlValue } from './database.js';
import type { DatabaseEngine } from './engine.js';
import { assertNoControl } from './refused-statements.js';

/**
 * Applies the missing migration steps of a component in one transaction. If a newer server has already applied more
 * steps, the database is not changed.
 * @throws TypeError when a step controls transactions
 */
export async function migrate(
  engine: DatabaseEngine,
  component: string,
  steps: readonly string[],
): Promise<void> {
  for (const step of steps) assertNoControl(step, engine.name);
  const { session } = await engine.openMigration();
  const query = (text: string, params: SqlValue[] = []) => session.query({ text, params });
  try {
    // Postgres would look in the first schema of the search path only, and create a second set of tables there.
    const isPostgres = engine.name === 'postgres';
    const [known] = isPostgres
      ? await query("SELECT CAST(to_regclass('replay_guard_schema') AS TEXT) AS name")
      : [];
    if (!known?.name)
      await query(
        'CREATE TABLE IF NOT EXISTS replay_guard_schema (component TEXT PRIMARY KEY, version BIGINT NOT NULL)',
      );
    const [row] = await query('SELECT version FROM replay_guard_schema WHERE component = $1', [component]);
    const version = Number(row?.version ?? 0);
    for (const step of steps.slice(version)) await query(step);
    if (version < steps.length) {
      await query(
        `INSERT INTO replay_guard_schema (component, version) VALUES ($1, $2)
         ON CONFLICT (component) DO UPDATE SET version = excluded.version`,
        [component, steps.length],
      );
    }
    await engine.locateTables?.(session);
    await session.commit();
  } catch (error) {
    await session.rollback();
    throw error;
  }
}
