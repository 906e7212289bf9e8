import { DatabaseUnavailableError } from '../database/errors.js';
import { changedStep, digestOf, readApplied } from '../database/migrate.js';
import { type Component, type EngineName, objectsOf, type PartName } from './components.js';
import { type Findings, noFindings } from './findings.js';
import type { ReadDatabase } from './opened.js';
import { checkServer, checkTables, locate } from './postgres-checks.js';
import { checkPrivileges } from './privileges.js';
import { checkFile } from './sqlite-checks.js';

/** The state of one component. */
export interface ComponentState {
  readonly component: string;
  readonly version: number;
  readonly latest: number;
  readonly state: 'current' | 'behind' | 'ahead' | 'missing' | 'changed';
}

/** The state of a database. */
export interface Diagnosis extends Findings {
  readonly engine: EngineName;
  readonly components: readonly ComponentState[];
  /** The numbers of stuck keys, stuck series and dead letters, by description. */
  readonly counts: Readonly<Record<string, number>>;
}

/** The options of `diagnose`. */
export interface DiagnoseOptions {
  /** The engine of the database. */
  readonly engine: EngineName;
  /** The role whose privileges are checked. Default: the role of the connection. */
  readonly role?: string;
  /** The schema of the tables on Postgres. Default: the schema in which the search path finds them. */
  readonly schema?: string;
  /** The path of a SQLite file. */
  readonly path?: string;
}

/** Reads the state of a database. Changes nothing. */
export async function diagnose(
  database: ReadDatabase,
  components: readonly Component[],
  options: DiagnoseOptions,
): Promise<Diagnosis> {
  const findings = noFindings();
  const { engine, path } = options;
  if (engine === 'postgres')
    return { engine, ...(await examinePostgres(database, components, options, findings)) };
  try {
    await checkFile(path ?? '', database, findings);
  } catch (error) {
    if (!(error instanceof DatabaseUnavailableError)) throw error;
    findings.problems.push(`the file cannot be read: ${error.message}`);
    return { engine, components: [], counts: {}, ...findings };
  }
  return { engine, ...(await checkComponents(database, components, { engine }, findings)), ...findings };
}

async function examinePostgres(
  database: ReadDatabase,
  components: readonly Component[],
  options: DiagnoseOptions,
  findings: Findings,
): Promise<Omit<Diagnosis, 'engine'>> {
  const { user, schema, isReadable } = await locate(database, options.schema, findings);
  const role = options.role ?? user;
  await checkServer(database, { role, user }, findings);
  if (schema === undefined) {
    findings.problems.push('the search path of the connection has no schema');
    return { components: [], counts: {}, ...findings };
  }
  findings.facts.push(`schema: ${schema}`);
  if (!isReadable) {
    findings.problems.push(`the role ${user} may not read the steps in ${schema}.replay_guard_schema`);
    await checkPrivileges(database, components, { schema, role }, findings);
    return { components: [], counts: {}, ...findings };
  }
  const checked = await checkComponents(database, components, { engine: 'postgres', schema }, findings);
  const installed = installedOf(components, checked.components);
  await checkTables(database, installed, schema, findings);
  if (installed.length > 0) await checkPrivileges(database, installed, { schema, role }, findings);
  return { ...checked, ...findings };
}

/** Describes a diagnosis for a reader. */
export function describe({ components, facts, problems, mending, notes, advice }: Diagnosis): string {
  return [
    ...facts,
    ...components.map(
      ({ component, version, latest, state }) => `${component}: ${state}, step ${version} of ${latest}`,
    ),
    ...notes.map((text) => `note: ${text}`),
    ...advice.map((text) => `  advice: ${text}`),
    ...problems.map((text) => `PROBLEM: ${text}`),
    ...mending.map((text) => `  to mend: ${text};`),
    problems.length === 0 ? 'ok' : `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`,
  ].join('\n');
}

/** Where the tables of the components are. The schema is absent on SQLite. */
interface Where {
  readonly engine: EngineName;
  readonly schema?: string;
}

async function checkComponents(
  database: ReadDatabase,
  components: readonly Component[],
  where: Where,
  findings: Findings,
): Promise<Pick<Diagnosis, 'components' | 'counts'>> {
  const { problems, notes } = findings;
  const states: ComponentState[] = [];
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
  const installed = installedOf(components, states);
  problems.push(...(await missingObjects(database, installed, where)));
  const counts = problems.length > 0 ? {} : await countStuck(database, installed);
  for (const [what, count] of Object.entries(counts)) if (count > 0) notes.push(`${what}: ${count}`);
  return { components: states, counts };
}

function installedOf(components: readonly Component[], states: readonly ComponentState[]): Component[] {
  return components.filter((_, at) => states[at]?.state !== 'missing');
}

function stateOf(version: number, latest: number): ComponentState['state'] {
  if (version === 0) return 'missing';
  if (version === latest) return 'current';
  return version < latest ? 'behind' : 'ahead';
}

/** Finds the tables, the valid indexes, the constraints and the triggers of the library. */
const objects: Readonly<Record<EngineName, string>> = {
  sqlite: "SELECT type AS kind, name FROM sqlite_master WHERE name LIKE 'replay_guard_%'",
  postgres: `WITH place AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
  SELECT 'table' AS kind, relname AS name FROM pg_catalog.pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace = (SELECT oid FROM place)
  UNION ALL SELECT 'index', relname FROM pg_catalog.pg_index JOIN pg_catalog.pg_class ON oid = indexrelid
    WHERE indisvalid AND indisready AND relnamespace = (SELECT oid FROM place)
  UNION ALL SELECT 'constraint', conname FROM pg_catalog.pg_constraint
    WHERE connamespace = (SELECT oid FROM place)`,
};

async function missingObjects(
  { query }: ReadDatabase,
  components: readonly Component[],
  { engine, schema }: Where,
): Promise<string[]> {
  if (components.length === 0) return [];
  const rows = await query(objects[engine], schema === undefined ? [] : [schema]);
  const found = new Set(rows.map(({ kind, name }) => `${kind} ${name}`));
  return components.flatMap(({ part }) => {
    const { tables, indexes, rules } = objectsOf(part, engine);
    const kinds = { table: tables, index: indexes, [engine === 'sqlite' ? 'trigger' : 'constraint']: rules };
    return Object.entries(kinds).flatMap(([kind, names]) =>
      names
        .filter((name) => !found.has(`${kind} ${name}`))
        .map((name) => `the ${kind} ${name} is missing or not valid`),
    );
  });
}

/**
 * Counts stuck keys, stuck series and dead letters. A count that exceeds the time limit of a statement, or that the role may
 * not read, is omitted.
 */
async function countStuck(
  { now, query }: ReadDatabase,
  components: readonly Component[],
): Promise<Record<string, number>> {
  const orphans = `state <= 0 AND lease_until < ${now} AND expires_at > ${now}`;
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
        const isDenied = error instanceof Error && 'code' in error && error.code === '42501';
        if (!isDenied && !(error instanceof DatabaseUnavailableError)) throw error;
      }
    }
  }
  return counts;
}
