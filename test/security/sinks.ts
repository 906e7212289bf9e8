import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import type { Database } from 'grpc-replay-guard/database';
import type { SecretFinder } from './secret-finder.js';

/** Something that leaves the product, and the secrets that it may contain. */
export interface Sink {
  readonly name: string;
  readonly content: string | Uint8Array;
  /** The names of the secrets that belong there. Default: none. */
  readonly allowed?: ReadonlySet<string>;
}

/** Returns one line for each secret that a sink discloses. */
export function disclosures(finder: SecretFinder, sinks: Iterable<Sink>): string[] {
  const lines = [...sinks].flatMap(({ name, content, allowed }) =>
    finder
      .find(content)
      .filter(({ secret }) => !allowed?.has(secret))
      .map(({ secret, form, excerpt }) => `${name}: ${secret} (${form}): ${excerpt}`),
  );
  return [...new Set(lines)];
}

/** A process, and what it has written to stdout and stderr. */
export interface WritingProcess {
  readonly pid: number;
  readonly output: readonly Buffer[];
}

/** What a process writes, and what every user of the host can read about it: its name and its arguments. */
export function* processSinks(name: string, { pid, output }: WritingProcess): Generator<Sink> {
  yield { name: `output of ${name}`, content: Buffer.concat(output) };
  for (const file of ['cmdline', 'comm']) {
    yield { name: `${file} of ${name}`, content: readIfPresent(`/proc/${pid}/${file}`) };
  }
}

/** The process may have ended, and only Linux has these files. */
function readIfPresent(path: string): string | Buffer {
  try {
    return readFileSync(path);
  } catch {
    return '';
  }
}

/** The names of all files in a folder. */
export async function* fileNames(folder: string): AsyncGenerator<Sink> {
  for (const name of await readdir(folder, { recursive: true })) yield { name: 'file name', content: name };
}

const TABLES = {
  sqlite: `SELECT name AS "table" FROM sqlite_master WHERE type = 'table'`,
  postgres: `SELECT table_name AS "table" FROM information_schema.tables WHERE table_schema = 'public'`,
};

/**
 * Every column of every table. `allowed` names the secrets that may stand in a column, by `table.column`.
 */
export async function* tableSinks(
  database: Database,
  allowed: Readonly<Record<string, ReadonlySet<string>>>,
): AsyncGenerator<Sink> {
  for (const { table } of await database.query<{ table: string }>(TABLES[database.dialect.name])) {
    const rows = await database.query(`SELECT * FROM "${table}"`);
    for (const row of rows) {
      for (const [column, value] of Object.entries(row)) {
        const name = `${table}.${column}`;
        const content = value instanceof Uint8Array ? value : String(value);
        yield { name, content, ...(allowed[name] && { allowed: allowed[name] }) };
      }
    }
  }
}

/** The statements that the database shows to its other users, and the names of their programs. */
export async function* activitySinks(database: Database): AsyncGenerator<Sink> {
  const rows = await database.query('SELECT query, application_name FROM pg_stat_activity');
  for (const row of rows) yield { name: 'pg_stat_activity', content: JSON.stringify(row) };
}
