import type { Component } from './components.js';
import { objectsOf } from './components.js';
import type { Findings } from './findings.js';
import type { ReadDatabase } from './opened.js';
import { identifier } from './privileges.js';

/** A clock that differs by more than this from the clock of the database is noted, in milliseconds. */
const CLOCK_MS = 1_000;

/** Where the tables of the library are. */
export interface Place {
  /** The role of the connection. */
  readonly user: string;
  /** The schema of the tables, or the schema in which they would be created. Undefined if the search path has none. */
  readonly schema: string | undefined;
  /** Whether the connection may read the table of component versions. True if there is no such table. */
  readonly isReadable: boolean;
}

type Query = Pick<ReadDatabase, 'query'>;

/** Finds the schema of the tables. */
export async function locate(
  { query }: Query,
  given: string | undefined,
  findings: Findings,
): Promise<Place> {
  const tables = await query<{
    user: string;
    schema: string;
    visible: boolean;
    usage: boolean;
    read: boolean;
  }>(
    `SELECT current_user AS user, nspname AS schema, pg_table_is_visible(tables.oid) AS visible,
       has_schema_privilege(schemas.oid, 'USAGE') AS usage, has_table_privilege(tables.oid, 'SELECT') AS read
     FROM pg_catalog.pg_class AS tables JOIN pg_catalog.pg_namespace AS schemas ON schemas.oid = relnamespace
     WHERE relname = 'replay_guard_schema' AND relkind IN ('r', 'p') ORDER BY nspname`,
  );
  const [session] = await query<{ user: string; schema: string | null }>(
    'SELECT current_user AS user, current_schema() AS schema',
  );
  const user = String(session?.user);
  const found = tables.find(({ schema, visible }) => (given === undefined ? visible : schema === given));
  const schema = given ?? found?.schema ?? session?.schema ?? undefined;
  if (!found && given === undefined) {
    for (const other of tables) {
      findings.notes.push(
        `the schema ${other.schema} has tables of the guard: name it by --schema to check them`,
      );
    }
  }
  const isReadable = !found || (found.usage && found.read);
  return { user, schema, isReadable };
}

/** Reads what does not depend on the tables: the server, its pooler, its clock and its settings. */
export async function checkServer(
  database: ReadDatabase,
  { role, user }: { readonly role: string; readonly user: string },
  findings: Findings,
): Promise<void> {
  const { query } = database;
  const [server] = await query<{
    version: string;
    standby: boolean;
    read_only: boolean;
    schema: string | null;
  }>(
    `SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS standby,
       current_setting('transaction_read_only') = 'on' AS read_only`,
  );
  findings.facts.push(`server: Postgres ${server?.version}`, `role: ${user}`);
  if (await database.seesPooler?.()) findings.facts.push('pooler: detected');
  if (server?.standby)
    findings.problems.push('the server is a standby, and calls need a server that accepts writes');
  else if (server?.read_only)
    findings.problems.push('transactions are read-only by default, and calls write');
  findings.notes.push(...(await clockDifference(database)));
  await checkSettings(database, role, findings);
  await checkStandbys(database, findings);
  await checkSearchPath(database, findings);
}

/** Finds tables that lose rows in a crash, hide rows, or are in another schema than the others. */
export async function checkTables(
  { query }: Query,
  components: readonly Component[],
  schema: string,
  findings: Findings,
): Promise<void> {
  const tables = components.flatMap(({ part }) => objectsOf(part, 'postgres').tables);
  const rows = await query<{ name: string; unlogged: boolean; secured: boolean }>(
    `SELECT relname AS name, relpersistence <> 'p' AS unlogged, relrowsecurity AS secured FROM pg_catalog.pg_class
     WHERE relname = ANY (CAST($1 AS TEXT[]))
       AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $2) ORDER BY relname`,
    [`{${tables.join()}}`, schema],
  );
  for (const { name, unlogged, secured } of rows) {
    const table = `${identifier(schema)}.${identifier(name)}`;
    if (unlogged) {
      findings.problems.push(`the table ${name} is unlogged: a crash empties it`);
      findings.mending.push(`ALTER TABLE ${table} SET LOGGED`);
    }
    if (secured) {
      findings.problems.push(`the table ${name} has row security, which may hide records from the servers`);
      findings.mending.push(`ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY`);
    }
  }
}

/** Settings of Postgres with which an acknowledged commit may be lost. */
const LOSS = 'a crash may lose commits that were acknowledged';
const weakening = ['fsync', 'full_page_writes', 'synchronous_commit'];

/**
 * Checks the settings of the connection. Also checks the settings that Postgres gives to another role at its connection.
 */
async function checkSettings({ query }: Query, role: string, { problems, mending }: Findings): Promise<void> {
  const rows = await query<{ name: string }>(
    `SELECT name FROM pg_catalog.pg_settings WHERE name = ANY (CAST($1 AS TEXT[])) AND setting = 'off'`,
    [`{${weakening.join()}}`],
  );
  for (const { name } of rows) problems.push(`${name} = off: ${LOSS}`);
  // A setting of a role is stored as it was written.
  const ofRole = await query<{ name: string; reads: boolean; scope: string }>(
    `SELECT split_part(setting, '=', 1) AS name, setting LIKE 'default%' AS reads,
       CASE setdatabase WHEN 0 THEN '' ELSE ' IN DATABASE ' || quote_ident(current_database()) END AS scope
     FROM pg_catalog.pg_db_role_setting JOIN pg_catalog.pg_roles ON pg_roles.oid = setrole,
       unnest(setconfig) AS each (setting)
     WHERE rolname = $1 AND rolname <> current_user
       AND setting ~* '^(synchronous_commit=(off|false|no|0)|default_transaction_read_only=(on|true|yes|1))$'
       AND setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))`,
    [role],
  );
  for (const { name, reads, scope } of ofRole) {
    problems.push(
      reads ? `${name} = on of the role ${role}: calls write` : `${name} = off of the role ${role}: ${LOSS}`,
    );
    mending.push(`ALTER ROLE ${identifier(role)}${scope} RESET ${name}`);
  }
}

async function checkStandbys({ query }: Query, findings: Findings): Promise<void> {
  const [row] = await query<{ asynchronous: bigint; synchronous: bigint; hidden: bigint; names: string }>(
    `SELECT count(*) FILTER (WHERE sync_state = 'async') AS asynchronous,
       count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS synchronous,
       count(*) FILTER (WHERE sync_state IS NULL) AS hidden,
       current_setting('synchronous_standby_names') AS names
     FROM pg_catalog.pg_stat_replication`,
  );
  if (!row) return;
  if (row.asynchronous > 0n) {
    findings.notes.push(
      `${row.asynchronous} standbys are asynchronous: a failover to one of them may lose commits`,
    );
  }
  // A role without pg_monitor does not see the state of a standby.
  if (row.names !== '' && row.synchronous === 0n && row.hidden === 0n) {
    findings.problems.push('no synchronous standby is connected: commits wait for one');
  }
}

/** A role that may create objects in the search path of the servers can run code with their rights. */
async function checkSearchPath({ query }: Query, findings: Findings): Promise<void> {
  const before = await query<{ name: string }>(
    `SELECT name FROM unnest(current_schemas(true)) WITH ORDINALITY AS path (name, place)
     WHERE place < array_position(current_schemas(true), 'pg_catalog') AND name NOT LIKE 'pg\\_temp%'`,
  );
  for (const { name } of before) {
    findings.notes.push(
      `the schema ${name} is before pg_catalog in the search path: it may replace functions of Postgres`,
    );
  }
  const rows = await query<{ name: string }>(
    `SELECT nspname AS name FROM pg_catalog.pg_namespace
     WHERE nspname = ANY (current_schemas(false)) AND has_schema_privilege('public', oid, 'CREATE')`,
  );
  for (const { name } of rows) {
    findings.notes.push(`every role may create objects in the schema ${name}, which is in the search path`);
    findings.advice.push(`REVOKE CREATE ON SCHEMA ${identifier(name)} FROM PUBLIC`);
  }
}

/** The time of the answer is uncertain by the time of the round trip. */
async function clockDifference({ query }: Query): Promise<string[]> {
  const asked = Date.now();
  const [row] = await query<{ now: bigint }>(
    'SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now',
  );
  const answered = Date.now();
  const now = Number(row?.now);
  const ms = now < asked ? now - asked : Math.max(0, now - answered);
  if (Math.abs(ms) <= CLOCK_MS) return [];
  const side = ms > 0 ? 'ahead of' : 'behind';
  return [`the clock of the database is ${Math.abs(ms) / 1_000} s ${side} the clock of this machine`];
}
