import { migrateConsumer } from 'grpc-replay-guard/consumer';
import { migrateOutbox } from 'grpc-replay-guard/outbox';
import { openPostgres, type PostgresOptions } from 'grpc-replay-guard/postgres';
import type { OpenStore } from 'grpc-replay-guard/store';
import { componentsOf, partNames } from '#library/cli/components.js';
import { grantsOf } from '#library/cli/plans.js';
import { administer } from '../databases/administer.js';

const ROLE = 'replay_guard_runtime';
/** The schema of the tables of the library. The tables of the tests are in `public`. */
const SCHEMA = 'guard';

/** Whether the servers under test use a role that may not change the schema. */
export const isRestricted = process.env.TEST_ROLE === 'runtime';

/** The lock of the tests that grant rights at the same time, which Postgres would refuse. */
const lockGrants = 'SELECT pg_advisory_xact_lock(7267137, 1)';

const createRole = `DO $$ BEGIN CREATE ROLE ${ROLE} LOGIN PASSWORD '${ROLE}';
  EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`;

/** The rights on the tables of the tests, also on tables that are created later. */
const grantsOnOwnTables = [
  `GRANT USAGE ON SCHEMA public TO ${ROLE}`,
  `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${ROLE}`,
  `ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${ROLE}`,
];

/**
 * Opens a database as a server whose role may not change the schema, with `migrate: false` and the rights of
 * `npx grpc-replay-guard plans`. The owner at the connection string applies the steps of the library before, and those of
 * the test when the test migrates.
 */
export async function openRestricted(
  options: PostgresOptions & { connectionString: string },
): Promise<OpenStore> {
  const { connectionString: url } = options;
  await asOwner(url, async (database) => {
    await migrateOutbox(database);
    await migrateConsumer(database);
  });
  const components = await componentsOf('postgres', partNames);
  const access = { engine: 'postgres', schema: SCHEMA, role: ROLE, createsSchema: false } as const;
  const grants = grantsOf(components, { ...access, qualify: String });
  const name = new URL(url).pathname.slice(1);
  // A test may have put functions of its own in front of those of Postgres.
  const searchPath = `ALTER DATABASE ${name} SET search_path = public, ${SCHEMA}, pg_catalog`;
  const statements = ['BEGIN', lockGrants, createRole, ...grants, ...grantsOnOwnTables, searchPath, 'COMMIT'];
  await administer(url, statements.join(';\n'));
  const runtime = Object.assign(new URL(url), { username: ROLE, password: ROLE }).href;
  const opened = await openPostgres({
    ...options,
    connectionString: runtime,
    schema: SCHEMA,
    migrate: false,
  });
  const { database } = opened;
  const checkSteps = database.migrate.bind(database);
  const migrate = async (component: string, steps: readonly string[]) => {
    await asOwner(url, (owner) => owner.migrate(component, steps));
    await checkSteps(component, steps);
  };
  Object.assign(database, { migrate });
  return opened;
}

async function asOwner(url: string, work: (database: OpenStore['database']) => Promise<void>): Promise<void> {
  const owner = await openPostgres({ connectionString: url, schema: SCHEMA, maxConnections: 2 });
  try {
    await work(owner.database);
  } finally {
    await owner.close();
  }
}
