import { DatabaseUnavailableError } from '../database/errors.js';
import { changedStep, digestOf, readApplied } from '../database/migrate.js';
import { type Component, type EngineName, objectsOf, type PartName, privilegesOn } from './components.js';
import type { OpenedDatabase } from './opened.js';

/** The state of one component. */
export interface ComponentState {
  readonly component: string;
  readonly version: number;
  readonly latest: number;
  readonly state: 'current' | 'behind' | 'ahead' | 'missing' | 'changed';
}

/** The state of a database. */
export interface Diagnosis {
  readonly engine: EngineName;
  readonly components: readonly ComponentState[];
  /** The faults that make calls fail or break the promise. Each is one sentence that says what to do. */
  readonly problems: readonly string[];
  /** Facts that an operator should know. */
  readonly notes: readonly string[];
  /** The numbers of stuck keys, stuck series and dead letters, by description. */
  readonly counts: Readonly<Record<string, number>>;
}

/** The options of `diagnose`. */
export interface DiagnoseOptions {
  /** The engine of the database. */
  readonly engine: EngineName;
  /** The role whose privileges are checked. Default: the role of the connection. */
  readonly role?: string;
}

/** Reads the state of a database. Changes nothing. */
export async function diagnose(
  database: OpenedDatabase,
  components: readonly Component[],
  options: DiagnoseOptions,
): Promise<Diagnosis> {
  const states: ComponentState[] = [];
  const problems: string[] = [];
  const notes: string[] = [];
  for (const { part, name, steps } of components) {
    const applied = await readApplied(database.engine, name);
    const step = changedStep(applied, steps.map(digestOf));
    const state = step === undefined ? stateOf(applied.version, steps.length) : 'changed';
    states.push({ component: name, version: applied.version, latest: steps.length, state });
    if (step !== undefined) problems.push(`${name}: step ${step} differs from the step that was applied`);
    // A program without an outbox or a consumer does not need their tables.
    const isProblem = state === 'behind' || (state === 'missing' && part === 'guard');
    if (isProblem) {
      problems.push(
        `${name}: at step ${applied.version} of ${steps.length}; run \`npx grpc-replay-guard migrate\``,
      );
    } else if (state === 'missing') notes.push(`${name}: not installed`);
    else if (state === 'ahead') notes.push(`${name}: a newer program has applied ${applied.version} steps`);
  }
  const installed = components.filter((_, at) => states[at]?.state !== 'missing');
  problems.push(...(await missingObjects(database, installed, options.engine)));
  // The questions below need the tables.
  if (problems.length > 0) return { engine: options.engine, components: states, problems, notes, counts: {} };
  if (options.engine === 'postgres') {
    problems.push(...(await missingPrivileges(database, installed, options.role)));
    problems.push(...(await weakSettings(database)));
    notes.push(...(await asynchronousStandbys(database)));
  }
  const counts = await countStuck(database, installed);
  for (const [what, count] of Object.entries(counts)) if (count > 0) notes.push(`${what}: ${count}`);
  return { engine: options.engine, components: states, problems, notes, counts };
}

/** Describes a diagnosis for a reader. */
export function describe({ components, problems, notes }: Diagnosis): string {
  return [
    ...components.map(
      ({ component, version, latest, state }) => `${component}: ${state}, step ${version} of ${latest}`,
    ),
    ...notes.map((text) => `note: ${text}`),
    ...problems.map((text) => `PROBLEM: ${text}`),
    problems.length === 0 ? 'ok' : `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`,
  ].join('\n');
}

function stateOf(version: number, latest: number): ComponentState['state'] {
  if (version === 0) return 'missing';
  if (version === latest) return 'current';
  return version < latest ? 'behind' : 'ahead';
}

/** Finds the tables, the valid indexes, the constraints and the triggers of the library. */
const objects: Readonly<Record<EngineName, string>> = {
  sqlite: "SELECT type AS kind, name FROM sqlite_master WHERE name LIKE 'replay_guard_%'",
  postgres: `SELECT 'table' AS kind, relname AS name FROM pg_catalog.pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace = (%SCHEMA%)
  UNION ALL SELECT 'index', relname FROM pg_catalog.pg_index JOIN pg_catalog.pg_class ON oid = indexrelid
    WHERE indisvalid AND indisready AND relnamespace = (%SCHEMA%)
  UNION ALL SELECT 'rule', conname FROM pg_catalog.pg_constraint WHERE connamespace = (%SCHEMA%)`,
};
const schemaOfTables = `SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = 'replay_guard_schema'::regclass`;

async function missingObjects(
  { query }: OpenedDatabase,
  components: readonly Component[],
  engine: EngineName,
): Promise<string[]> {
  if (components.length === 0) return [];
  const rows = await query(objects[engine].replaceAll('%SCHEMA%', schemaOfTables));
  const found = new Set(rows.map(({ name }) => String(name)));
  const missing = components.flatMap(({ part }) => {
    const { tables, indexes, rules } = objectsOf(part, engine);
    const kinds = { table: tables, index: indexes, [engine === 'sqlite' ? 'trigger' : 'constraint']: rules };
    return Object.entries(kinds).flatMap(([kind, names]) =>
      names.filter((name) => !found.has(name)).map((name) => `the ${kind} ${name} is missing or not valid`),
    );
  });
  return missing;
}

async function missingPrivileges(
  { query }: OpenedDatabase,
  components: readonly Component[],
  role: string | undefined,
): Promise<string[]> {
  const [found] = await query(
    'SELECT rolname AS name FROM pg_catalog.pg_roles WHERE rolname = coalesce($1, current_user)',
    [role ?? null],
  );
  if (!found) return [`there is no role ${role}`];
  const missing: string[] = [];
  for (const table of components.flatMap(({ part }) => objectsOf(part, 'postgres').tables)) {
    const rows = await query(
      `SELECT privilege FROM unnest(CAST($2 AS TEXT[])) AS each (privilege)
       WHERE NOT has_table_privilege(CAST($1 AS TEXT), CAST('${table}'::regclass AS OID), privilege)`,
      [String(found.name), `{${privilegesOn(table).join()}}`],
    );
    for (const { privilege } of rows) missing.push(`the role ${found.name} lacks ${privilege} on ${table}`);
  }
  return missing;
}

/** Settings of Postgres with which an acknowledged commit may be lost. */
const weakening: Readonly<Record<string, readonly string[]>> = {
  fsync: ['off'],
  full_page_writes: ['off'],
  synchronous_commit: ['off'],
};

async function weakSettings({ query }: OpenedDatabase): Promise<string[]> {
  const rows = await query(
    'SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (CAST($1 AS TEXT[]))',
    [`{${Object.keys(weakening).join()}}`],
  );
  return rows
    .filter(({ name, setting }) => weakening[String(name)]?.includes(String(setting)))
    .map(({ name, setting }) => `${name} = ${setting}: a crash may lose commits that were acknowledged`);
}

async function asynchronousStandbys({ query }: OpenedDatabase): Promise<string[]> {
  const [row] = await query(
    "SELECT count(*) AS count FROM pg_catalog.pg_stat_replication WHERE sync_state = 'async'",
  );
  if (!row?.count) return [];
  return [`${row.count} standbys are asynchronous: a failover to one of them may lose commits`];
}

/** Counts stuck keys, stuck series and dead letters. A count that exceeds the time limit of a statement is omitted. */
async function countStuck(
  { engine, query }: OpenedDatabase,
  components: readonly Component[],
): Promise<Record<string, number>> {
  const orphans = `state <= 0 AND lease_until < ${engine.now} AND expires_at > ${engine.now}`;
  const questions: Partial<Record<PartName, Readonly<Record<string, string>>>> = {
    guard: {
      'keys whose execution has lost its lease': `replay_guard_records WHERE ${orphans}`,
      'series whose execution has lost its lease': `replay_guard_producers WHERE ${orphans}`,
    },
    outbox: { 'dead letters': 'replay_guard_outbox WHERE dead_at IS NOT NULL AND ended_at IS NULL' },
  };
  const counts: Record<string, number> = {};
  for (const { part } of components) {
    for (const [what, where] of Object.entries(questions[part] ?? {})) {
      try {
        const [row] = await query(`SELECT count(*) AS count FROM ${where}`);
        counts[what] = Number(row?.count);
      } catch (error) {
        if (!(error instanceof DatabaseUnavailableError)) throw error;
      }
    }
  }
  return counts;
}
