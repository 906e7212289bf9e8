import type { Assume, ExtractTablesWithRelations, SQL } from 'drizzle-orm';
import { PgDatabase, PgDialect, type PgQueryResultHKT, type PgTransactionConfig } from 'drizzle-orm/pg-core';
import { PgProxyTransaction, PgRemoteSession } from 'drizzle-orm/pg-proxy';
import type { Database, Result } from '../database/index.js';
import { assertModes } from './control-text.js';
import { type DrizzleOptions, type DrizzleParts, drizzleParts, type Schema } from './drizzle-options.js';
import { toParameters } from './parameters.js';
import { type PgResult, toPgResult } from './pg-result.js';
import { type Converter, rowsByPosition } from './values.js';

/** The type of a result without selected fields: that of pg, with `rows` and `rowCount`. */
export interface DrizzlePostgresResult extends PgQueryResultHKT {
  readonly type: PgResult<Assume<this['row'], Record<string, unknown>>>;
}

/** A Drizzle instance whose statements run through a database handle on Postgres. */
export type DrizzlePostgres<TSchema extends Schema = Record<string, never>> = PgDatabase<
  DrizzlePostgresResult,
  TSchema
>;

/**
 * Creates a Drizzle instance whose statements run through a database handle on Postgres: in the unit of work of the
 * current guarded call, or on their own outside of one. A transaction of Drizzle is a `transaction` of the handle.
 * @throws TypeError when `database` is not a handle on Postgres, or an option is unknown
 */
export function createDrizzlePostgres<TSchema extends Schema = Record<string, never>>(
  database: Database,
  options: DrizzleOptions<TSchema> = {},
): DrizzlePostgres<TSchema> {
  const parts = drizzleParts('createDrizzlePostgres', database, 'postgres', options);
  const dialect = new PgDialect(options.casing ? { casing: options.casing } : {});
  return new PgDatabase(dialect, new HandleSession(database, dialect, parts), parts.schema);
}

/** The types that Drizzle reads from their text: DATE, TIMESTAMP, TIMESTAMPTZ, INTERVAL, their arrays, and NUMERIC[]. */
const readAsText = new Set<unknown>([1082, 1114, 1184, 1186, 1182, 1115, 1185, 1187, 1231]);

function convertersFor({ columns }: Result): Converter[] {
  return columns.map(
    (column) => (value) => (readAsText.has(column.type) ? value : column.toDriverValue(value)),
  );
}

/** Runs a statement. Drizzle maps selected fields by position (`all`), and returns another result as it is. */
function runOn(database: Database) {
  return async (sql: string, params: unknown[], method: 'all' | 'execute') => {
    const result = await database.execute(sql, toParameters(params, 'postgres'));
    const converters = convertersFor(result);
    if (method === 'all') return { rows: rowsByPosition(result, converters) };
    // The type of this callback demands a list, but Drizzle returns the value unchanged.
    return { rows: toPgResult(result, converters) as unknown as unknown[] };
  };
}

type Tables<TSchema extends Schema> = ExtractTablesWithRelations<TSchema>;
type Transaction<TSchema extends Schema> = PgProxyTransaction<TSchema, Tables<TSchema>>;

/** The statements of one handle. A transaction has a session of its own, with the handle of the transaction. */
class HandleSession<TSchema extends Schema> extends PgRemoteSession<TSchema, Tables<TSchema>> {
  readonly #database: Database;
  readonly #parts: DrizzleParts<TSchema>;

  constructor(database: Database, dialect: PgDialect, parts: DrizzleParts<TSchema>) {
    super(runOn(database), dialect, parts.schema, parts.session);
    this.#database = database;
    this.#parts = parts;
  }

  override async transaction<T>(
    work: (transaction: Transaction<TSchema>) => Promise<T>,
    { isolationLevel, accessMode, deferrable }: PgTransactionConfig = {},
  ): Promise<T> {
    const level = isolationLevel ? `isolation level ${isolationLevel}` : '';
    assertModes(`${level} ${accessMode ?? ''} ${deferrable ? 'deferrable' : ''}`);
    return this.#database.transaction(async () => {
      const session = new HandleSession(this.#database.current(), this.dialect, this.#parts);
      return work(new HandleTransaction(this.dialect, session, this.#parts.schema));
    });
  }

  override async all<T = unknown>(query: SQL): Promise<T[]> {
    return (await this.execute<PgResult<T>>(query)).rows;
  }

  override async count(query: SQL): Promise<number> {
    const [row] = await this.all<{ count: unknown }>(query);
    return Number(row?.count);
  }
}

class HandleTransaction<TSchema extends Schema> extends PgProxyTransaction<TSchema, Tables<TSchema>> {
  readonly #session: HandleSession<TSchema>;

  constructor(dialect: PgDialect, session: HandleSession<TSchema>, schema: DrizzleParts<TSchema>['schema']) {
    super(dialect, session, schema);
    this.#session = session;
  }

  override transaction<T>(work: (transaction: Transaction<TSchema>) => Promise<T>): Promise<T> {
    return this.#session.transaction(work);
  }
}
