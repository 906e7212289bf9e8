import { ContentionError } from '../database/errors.js';
import { readApplied } from '../database/migrate.js';
import { type Asked, HelpRequest, readArguments, UsageError } from './arguments.js';
import { type Component, componentsOf, fenceOf } from './components.js';
import { describe, diagnose } from './doctor.js';
import { noFindings } from './findings.js';
import { describeMigrated, migrateAll } from './migrate.js';
import { type MigratedDatabase, openMigrated, openRead, pathOf, type ReadDatabase } from './opened.js';
import { grantsOf, plansOf, scriptOf } from './plans.js';
import { locate } from './postgres-checks.js';

/** The output of a command, and whether the command has found no problem. */
interface Answer {
  readonly text: string;
  readonly json: unknown;
  readonly isOk: boolean;
}

/** Runs one command on the database that it asks for, and closes the database. */
async function run(asked: Asked): Promise<Answer> {
  if (asked.url === undefined) return plan(asked);
  if (asked.command === 'migrate') return using(openMigrated(asked), (database) => applyAll(asked, database));
  return using(openRead(asked), (database) =>
    asked.command === 'doctor' ? examine(asked, database) : plan(asked, database),
  );
}

async function using<D extends ReadDatabase>(
  opening: Promise<D>,
  work: (database: D) => Promise<Answer>,
): Promise<Answer> {
  const database = await opening;
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

async function applyAll(asked: Asked, database: MigratedDatabase): Promise<Answer> {
  const done = await migrateAll(database, await componentsFor(asked, database));
  return { text: describeMigrated(done), json: { components: done }, isOk: true };
}

async function examine(asked: Asked, database: ReadDatabase): Promise<Answer> {
  const options = asked.engine === 'sqlite' ? { ...asked, path: pathOf(asked) } : asked;
  const diagnosis = await diagnose(database, await componentsFor(asked, database), options);
  const isOk = diagnosis.problems.length === 0;
  return { text: describe(diagnosis), json: { ok: isOk, ...diagnosis }, isOk };
}

async function plan(asked: Asked, database?: ReadDatabase): Promise<Answer> {
  const components = await componentsFor(asked, database);
  const planned = [];
  for (const component of components) {
    const applied = database ? await readApplied(database.engine, component.name) : undefined;
    planned.push({ ...component, applied });
  }
  const schema = await schemaFor(asked, database);
  const { Tables } = await import('../database/postgres/tables.js');
  const tables = new Tables(schema.name);
  const options = {
    ...asked,
    schema: schema.name,
    createsSchema: schema.mayBeMissing,
    qualify: (text: string) => tables.qualify(text),
  };
  const [plans, grants] = [plansOf(planned, options), grantsOf(components, options)];
  return { text: scriptOf(plans, grants, options), json: { plans, grants }, isOk: true };
}

/** The time of the fence is the time of the database, or of this machine if there is no database. */
async function componentsFor(asked: Asked, database?: ReadDatabase): Promise<Component[]> {
  const components = await componentsOf(asked.engine, asked.parts);
  if (!asked.hasFence) return components;
  const [row] = (await database?.query<{ now: bigint | number }>(`SELECT ${database.now} AS now`)) ?? [];
  return [...components, fenceOf(asked.engine, BigInt(row?.now ?? Date.now()))];
}

/** The schema that a plan names, so that its script does not depend on the search path of the role that runs it. */
async function schemaFor(
  asked: Asked,
  database?: ReadDatabase,
): Promise<{ readonly name: string | undefined; readonly mayBeMissing: boolean }> {
  if (asked.engine === 'sqlite') return { name: undefined, mayBeMissing: false };
  if (!database) return { name: asked.schema, mayBeMissing: true };
  const { schema } = await locate(database, asked.schema, noFindings());
  const found = await database.query('SELECT 1 AS one FROM pg_catalog.pg_namespace WHERE nspname = $1', [
    schema ?? null,
  ]);
  return { name: schema, mayBeMissing: found.length === 0 };
}

/** How a run of the program ends. */
export interface Ended {
  /** 0 for a success, 1 for a problem or a failure, 2 for wrong arguments. */
  readonly code: 0 | 1 | 2;
  /** The text for the standard output. */
  readonly out: string;
  /** The text for the standard error. */
  readonly err: string;
}

/** Runs the command that the arguments name. Never fails. */
export async function runProgram(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  try {
    const asked = readArguments(args, env);
    const { text, json, isOk } = await run(asked);
    const out = `${asked.asJson ? JSON.stringify(json, undefined, 2) : text}\n`;
    return { code: isOk ? 0 : 1, out, err: '' };
  } catch (error) {
    if (error instanceof HelpRequest) return { code: 0, out: `${error.message}\n`, err: '' };
    return {
      code: error instanceof UsageError ? 2 : 1,
      out: '',
      err: `${withoutPasswords(reasonOf(error))}\n`,
    };
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof ContentionError)
    return 'another server migrates, or a transaction holds a table: try again';
  return error instanceof Error ? error.message : String(error);
}

/** Removes user and password from each address in a message. */
function withoutPasswords(text: string): string {
  return text.replace(/\b(\w+:\/\/)\S*@/g, '$1').replace(/\bpassword=\S+/gi, 'password=...');
}
