import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { MaybePromise } from '../timing/maybe-promise.js';
import type { Row, SqlValue } from './database.js';
import type { DatabaseEngine, Session, Statement } from './engine.js';
import { ContentionError, SchemaError } from './errors.js';
import { assertNoControl } from './refused-statements.js';

/** The pause after which a migration that could not get a lock is tried again, in milliseconds. */
const RETRY_MS = 250;
/** The pause between two warnings that a migration waits, in milliseconds. */
const WARNING_MS = 30_000;

/** The options of `migrate`. */
export interface MigrateOptions {
  /** The texts whose digests are stored. Default: the steps. Needed if a step contains a value that each server computes. */
  readonly digested?: readonly string[];
  /** Whether a current schema is written to if it lacks digests of its steps. Default: false. */
  readonly addsDigests?: boolean;
}

/** The steps of a component that a database has applied. */
export interface AppliedSteps {
  /** The number of the steps. */
  readonly version: number;
  /** The digests of the first steps. Versions up to 0.2 have stored none. */
  readonly digests: readonly string[];
  /** The columns of the table of component versions. Empty if the table is missing. */
  readonly columns: ReadonlySet<string>;
}

/**
 * Applies the missing migration steps of a component in one transaction. The version is read first: a current schema is
 * not written to and needs no lock. If a newer server has already applied more steps, the database is not changed. While
 * another server migrates, or a transaction holds a table, the migration is tried again, and a process warning says so.
 * Resolves to the number of the steps that were applied before.
 * @throws TypeError when the steps are not a list, or a step controls transactions
 * @throws SchemaError when a step is missing and may not be applied, or was changed after it had been applied
 */
export async function migrate(
  engine: DatabaseEngine,
  component: string,
  steps: readonly string[],
  { digested = steps, addsDigests = false }: MigrateOptions = {},
): Promise<number> {
  if (!Array.isArray(steps))
    throw new TypeError(`migrate: the steps of ${component} must be a list of texts`);
  for (const step of steps) assertNoControl(step, engine.name);
  const digests = digested.map(digestOf);
  let warnedAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    let applied: AppliedSteps | undefined;
    try {
      applied = await readApplied(engine, component);
      assertUnchanged(component, applied, digests);
      const isCurrent = applied.version >= steps.length;
      if (isCurrent && !(addsDigests && lacksDigests(applied, steps))) {
        await engine.locateTables?.();
        return applied.version;
      }
      if (!engine.mayMigrate)
        throw new SchemaError(
          `${behind(component, applied, steps)}, and the option \`migrate\` is false. ${advice(component, engine, applied)}`,
        );
      return await apply(engine, component, steps, digests);
    } catch (error) {
      if (isDenied(error)) {
        throw new SchemaError(denial(component, engine, applied, steps), { cause: error });
      }
      if (!(error instanceof ContentionError)) throw error;
    }
    if (performance.now() - warnedAt >= WARNING_MS) {
      warnedAt = performance.now();
      warnOfWait(component);
    }
    await delay(RETRY_MS);
  }
}

/** Reads which steps of a component the database has applied: in a transaction, or on its own. */
export async function readApplied(
  engine: Pick<DatabaseEngine, 'run' | 'versionColumns'>,
  component: string,
  session?: Session,
): Promise<AppliedSteps> {
  const query = (statement: Statement): MaybePromise<Row[]> =>
    session ? session.query(statement) : engine.run(statement);
  const columns = new Set((await query(engine.versionColumns)).map(({ name }) => String(name)));
  if (columns.size === 0) return { version: 0, digests: [], columns };
  const selected = columns.has('digests') ? 'version, digests' : 'version';
  const text = `SELECT ${selected} FROM replay_guard_schema WHERE component = $1`;
  const [row] = await query({ text, params: [component] });
  const digests = String(row?.digests ?? '')
    .split(',')
    .filter(Boolean);
  return { version: Number(row?.version ?? 0), digests, columns };
}

/** Returns the digest of a migration step. White space of any kind and length counts as one space. */
export function digestOf(step: string): string {
  const words = step.trim().replace(/\s+/g, ' ');
  return createHash('sha256').update(words).digest('hex').slice(0, 32);
}

/** Returns the number of the first step whose text differs from the text that was applied. Undefined if none does. */
export function changedStep(applied: AppliedSteps, digests: readonly string[]): number | undefined {
  const index = applied.digests.findIndex((digest, at) => at < digests.length && digest !== digests[at]);
  return index < 0 ? undefined : index + 1;
}

/** Whether the digest of an applied step is not stored. */
export function lacksDigests(applied: AppliedSteps, steps: readonly string[]): boolean {
  return applied.digests.length < Math.min(applied.version, steps.length);
}

async function apply(
  engine: DatabaseEngine,
  component: string,
  steps: readonly string[],
  digests: readonly string[],
): Promise<number> {
  const { session } = await engine.openMigration();
  const query = (text: string, params: SqlValue[] = []) => session.query({ text, params });
  try {
    // Another server may have migrated since the version was read.
    const applied = await readApplied(engine, component, session);
    assertUnchanged(component, applied, digests);
    if (applied.columns.size === 0) await query(createVersions);
    for (const step of steps.slice(applied.version)) await query(step);
    if (applied.version <= steps.length) {
      // Readers of the table wait for this statement until the commit, so it comes behind the steps.
      if (applied.columns.size > 0 && !applied.columns.has('digests')) await query(addDigests);
      await query(storeVersion, [component, steps.length, digests.join()]);
    }
    await engine.locateTables?.(session);
    await session.commit();
    return applied.version;
  } catch (error) {
    await session.rollback();
    throw error;
  }
}

/** Creates the table of component versions. */
export const createVersions =
  'CREATE TABLE IF NOT EXISTS replay_guard_schema (component TEXT PRIMARY KEY, version BIGINT NOT NULL, digests TEXT)';
/** Adds the column of digests to a table of component versions of version 0.2 or earlier. */
export const addDigests = 'ALTER TABLE replay_guard_schema ADD COLUMN digests TEXT';
/** Stores the number and the digests of the steps that were applied: component, number, digests. */
export const storeVersion = `INSERT INTO replay_guard_schema (component, version, digests) VALUES ($1, $2, $3)
  ON CONFLICT (component) DO UPDATE SET version = excluded.version, digests = excluded.digests`;

/** @throws SchemaError when a step has changed since the database applied it */
export function assertUnchanged(component: string, applied: AppliedSteps, digests: readonly string[]): void {
  const step = changedStep(applied, digests);
  if (step === undefined) return;
  throw new SchemaError(
    `${component}: step ${step} has changed since the database applied it. Restore the step, and add the change as a new step`,
  );
}

function behind(component: string, { version }: AppliedSteps, steps: readonly string[]): string {
  const missing =
    version + 1 === steps.length ? `step ${steps.length}` : `steps ${version + 1} to ${steps.length}`;
  return `${component}: the schema lacks ${missing}`;
}

/** Says what a role lacks that was refused a statement. */
function denial(
  component: string,
  engine: DatabaseEngine,
  applied: AppliedSteps | undefined,
  steps: readonly string[],
): string {
  const plans = 'npx grpc-replay-guard plans --role ROLE';
  if (!applied)
    return `${component}: this role may not read the table replay_guard_schema. The owner of the table can print the grants that it needs: \`${plans}\``;
  if (applied.version >= steps.length)
    return `${component}: this role may not change the table replay_guard_schema`;
  return `${behind(component, applied, steps)}, and this role may not add them. ${advice(component, engine, applied)}`;
}

function advice(component: string, { schema, locateTables }: DatabaseEngine, applied: AppliedSteps): string {
  const program = `npx grpc-replay-guard migrate${schema === undefined ? '' : ` --schema ${schema}`}`;
  const command = component.startsWith('grpc-replay-guard')
    ? `Run \`${program}\` as the owner of the tables`
    : 'Apply the steps with `database.migrate` as the owner of the tables';
  const mayBeElsewhere = applied.columns.size === 0 && schema === undefined && locateTables;
  return mayBeElsewhere
    ? `${command}. If they are in a schema that the search path does not name, set the option \`schema\``
    : command;
}

/** Whether Postgres has refused a statement because the role lacks a privilege. */
function isDenied(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '42501';
}

function warnOfWait(component: string): void {
  process.emitWarning(
    `the migration of ${component} waits, because another server migrates or a transaction holds a table`,
    { code: 'REPLAY_GUARD_MIGRATION_WAITS' },
  );
}
