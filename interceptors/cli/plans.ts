import {
  type AppliedSteps,
  addDigests,
  assertUnchanged,
  createVersions,
  digestOf,
  lacksDigests,
  storeVersion,
} from '../database/migrate.js';
import { type Component, type EngineName, objectsOf, privilegesOn } from './components.js';
import { grantOn, grantUsage, identifier } from './privileges.js';

/** A component with the steps that a database has applied. Undefined without a database. */
export interface Planned extends Component {
  readonly applied: AppliedSteps | undefined;
}

/** The part of a plan that belongs to one component. */
export interface Plan {
  readonly component: string;
  readonly from: number;
  readonly to: number;
  /** The statements, in order: those of the table of versions, the missing steps, and one that stores the version. */
  readonly statements: readonly { readonly step?: number; readonly text: string }[];
}

/** The location of the tables, and the role that uses them. */
export interface PlanOptions {
  /** The engine of the database. */
  readonly engine: EngineName;
  /** The schema of the tables. Default in the grants: `public`. */
  readonly schema?: string | undefined;
  /** Whether the schema may be missing. */
  readonly createsSchema: boolean;
  /** The role of the servers. Default: a role of the name `runtime`. */
  readonly role?: string;
  /** Returns a statement with the schema before the names of the tables. */
  readonly qualify: (text: string) => string;
}

/**
 * Returns the statements that migrate each component. A current component has none, unless it lacks digests.
 * @throws SchemaError when a step has changed since the database applied it
 */
export function plansOf(components: readonly Planned[], { qualify }: PlanOptions): Plan[] {
  let hasVersions = false;
  return components.map(({ name, steps, digested = steps, applied }) => {
    const from = applied?.version ?? 0;
    const to = Math.max(from, steps.length);
    const digests = digested.map(digestOf);
    const statements: { step?: number; text: string }[] = [];
    if (applied) assertUnchanged(name, applied, digests);
    const isIncomplete = applied !== undefined && from === steps.length && lacksDigests(applied, steps);
    if (from < steps.length || isIncomplete) {
      const columns = applied?.columns;
      if (!hasVersions && !columns?.size) statements.push({ text: qualify(createVersions) });
      steps.slice(from).forEach((text, index) => {
        statements.push({ step: from + index + 1, text: qualify(text.trim()) });
      });
      if (!hasVersions && columns?.size && !columns.has('digests'))
        statements.push({ text: qualify(addDigests) });
      hasVersions = true;
      statements.push({ text: qualify(versionText(name, digests)) });
    }
    return { component: name, from, to, statements };
  });
}

/** Returns the statements that give the role of the servers the rights that it needs. SQLite has no roles. */
export function grantsOf(components: readonly Component[], options: PlanOptions): string[] {
  if (options.engine === 'sqlite') return [];
  const access = { schema: options.schema ?? 'public', role: options.role ?? 'runtime' };
  const tables = new Set(components.flatMap(({ part }) => objectsOf(part, 'postgres').tables));
  return [grantUsage(access), ...[...tables].map((table) => grantOn(table, privilegesOn(table), access))];
}

/** Writes the plans and the grants as one script. The role that runs it owns the tables. */
export function scriptOf(plans: readonly Plan[], grants: readonly string[], options: PlanOptions): string {
  const isPostgres = options.engine === 'postgres';
  let creates = options.createsSchema && options.schema !== undefined;
  const lines: string[] = [];
  for (const { component, from, to, statements } of plans) {
    lines.push(
      from === to ? `-- ${component}: current at step ${to}` : `-- ${component}: from step ${from} to ${to}`,
    );
    if (statements.length === 0) continue;
    lines.push(isPostgres ? 'BEGIN;' : 'BEGIN IMMEDIATE;');
    if (isPostgres) {
      lines.push("SET LOCAL lock_timeout = '2s';", 'SELECT pg_advisory_xact_lock(7267136, 1);');
      if (creates) lines.push(`CREATE SCHEMA IF NOT EXISTS ${identifier(options.schema ?? '')};`);
      creates = false;
    }
    for (const { step, text } of statements) {
      if (step !== undefined) lines.push(`-- ${component}, step ${step}`);
      lines.push(`${text};`);
    }
    lines.push('COMMIT;', '');
  }
  // A role of the default name may not exist.
  const [title, mark] = options.role === undefined ? ['; name their role by --role', '-- '] : ['', ''];
  if (grants.length > 0)
    lines.push(`-- the rights of the servers${title}`, ...grants.map((text) => `${mark}${text};`));
  return lines.join('\n');
}

function versionText(component: string, digests: readonly string[]): string {
  const values = [`'${component}'`, String(digests.length), `'${digests.join()}'`];
  return storeVersion.replace(/\$(\d)/g, (_, position) => values[Number(position) - 1] ?? '');
}
