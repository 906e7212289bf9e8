// A Citus cluster as the Postgres of the tests. docs/scale.md describes the layout of the tables.
import { openPostgres } from 'grpc-replay-guard/postgres';
import pg from 'pg';
import { administer } from './administer.js';

/** The settings of a database on the coordinator. The last two are for tests only. */
const settings = [
  "citus.propagate_set_commands = 'local'",
  'citus.use_citus_managed_tables = on',
  'citus.shard_count = 4',
  'citus.enable_unsafe_triggers = on',
];

/** The address of the Postgres that the tests use instead of their own, for example the coordinator of a cluster. */
export const givenServer = process.env.TEST_POSTGRES_URL;

/** Resolves to whether the given server is the coordinator of a Citus cluster. */
export async function isCitus(): Promise<boolean> {
  return givenServer !== undefined && (await nodesOf(givenServer)).length > 1;
}

/**
 * Resolves to the addresses of a database on every node of its cluster, the coordinator first. Without Citus the
 * server is the only node.
 */
export async function nodesOf(url: string): Promise<string[]> {
  if (!givenServer) return [url];
  const [found] = await administer(url, "SELECT to_regclass('pg_dist_node') IS NOT NULL AS is_cluster");
  if (!found?.is_cluster) return [url];
  const workers = await administer(url, 'SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0');
  const worker = ({ nodename, nodeport }: Record<string, unknown>) =>
    Object.assign(new URL(url), { host: `${nodename}:${nodeport}` }).href;
  return [url, ...workers.map(worker)];
}

/** Runs a statement in a database on every node of its cluster. The nodes do not pass the statement on. */
export async function administerNodes(url: string, sql: string): Promise<void> {
  const nodes = await nodesOf(url);
  const alone = 'SET citus.use_citus_managed_tables = off; SET citus.enable_ddl_propagation = off;';
  for (const node of nodes) await administer(node, nodes.length > 1 ? `${alone}${sql}` : sql);
}

/** Runs `work` while no other test changes the databases of the given server, because Citus refuses some of that. */
export async function alone<T>(work: () => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: String(givenServer) });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock(7267136)');
    return await work();
  } finally {
    await client.end();
  }
}

/**
 * Makes one distributed database of the empty databases of one name on all nodes. Creates the guard's tables in it, and
 * distributes them by scope.
 */
export async function distribute(nodes: readonly string[]): Promise<void> {
  await Promise.all(nodes.map((node) => administer(node, 'CREATE EXTENSION citus')));
  const [coordinator = '', ...workers] = nodes;
  const { hostname, port, pathname } = new URL(coordinator);
  const run = (sql: string, ...values: unknown[]) => administer(coordinator, sql, values);
  await run('SELECT citus_set_coordinator_host($1, $2)', hostname, port);
  for (const worker of workers.map((node) => new URL(node))) {
    await run('SELECT citus_add_node($1, $2)', worker.hostname, worker.port);
  }
  for (const setting of settings) await run(`ALTER DATABASE ${pathname.slice(1)} SET ${setting}`);
  await (await openPostgres({ connectionString: coordinator })).close();
  await run("SELECT create_distributed_table('replay_guard_records', 'scope')");
  await run(
    "SELECT create_distributed_table('replay_guard_producers', 'scope', colocate_with => 'replay_guard_records')",
  );
}
