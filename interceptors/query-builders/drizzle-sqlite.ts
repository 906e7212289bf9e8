import type { ExtractTablesWithRelations } from 'drizzle-orm';
import { BaseSQLiteDatabase, SQLiteAsyncDialect, type SQLiteExecuteMethod } from 'drizzle-orm/sqlite-core';
import {
  type PreparedQueryConfig,
  type RemotePreparedQuery,
  SQLiteProxyTransaction,
  SQLiteRemoteSession,
} from 'drizzle-orm/sqlite-proxy';
import type { Database, Result } from '../database/index.js';
import { type DrizzleOptions, type DrizzleParts, drizzleParts, type Schema } from './drizzle-options.js';
import { toParameters } from './parameters.js';
import { type Converter, rowsByName, rowsByPosition } from './values.js';

/** The result of a statement without rows, as better-sqlite3 returns it. */
export interface DrizzleSqliteResult {
  readonly changes: number;
  readonly lastInsertRowid: number | bigint;
}

/** A Drizzle instance whose statements run through a database handle on SQLite. */
export type DrizzleSqlite<TSchema extends Schema = Record<string, never>> = BaseSQLiteDatabase<
  'async',
  DrizzleSqliteResult,
  TSchema
>;

/**
 * Creates a Drizzle instance whose statements run through a database handle on SQLite: in the unit of work of the current
 * guarded call, or on their own outside of one. A transaction of Drizzle is a `transaction` of the handle. Its methods are
 * asynchronous.
 * @throws TypeError when `database` is not a handle on SQLite, or an option is unknown
 */
export function createDrizzleSqlite<TSchema extends Schema = Record<string, never>>(
  database: Database,
  options: DrizzleOptions<TSchema> = {},
): DrizzleSqlite<TSchema> {
  const parts = drizzleParts('createDrizzleSqlite', database, 'sqlite', options);
  const dialect = new NumberedDialect(options.casing ? { casing: options.casing } : {});
  const session = new HandleSession(database, dialect, parts);
  return new BaseSQLiteDatabase('async', dialect, session, parts.schema) as unknown as DrizzleSqlite<TSchema>;
}

/** The handle numbers its parameters on every engine. */
class NumberedDialect extends SQLiteAsyncDialect {
  override escapeParam(index: number): string {
    return `$${index + 1}`;
  }
}

type Rows = { rows: unknown[] };
type Run = (sql: string, params: unknown[], method: SQLiteExecuteMethod | 'values') => Promise<Rows>;

function convertersFor({ columns }: Result): Converter[] {
  return columns.map((column) => (value) => column.toDriverValue(value));
}

/**
 * Runs a statement.
 * @param isMapped whether Drizzle maps the rows to fields, by position
 */
function runOn(database: Database, isMapped: boolean): Run {
  return async (sql, params, method) => {
    const result = await database.execute(sql, toParameters(params, 'sqlite'));
    if (method === 'run') {
      const lastInsertRowid = Number(result.lastRowId ?? 0);
      return { rows: [], changes: result.affectedRows, lastInsertRowid };
    }
    const makeRows = isMapped || method === 'values' ? rowsByPosition : rowsByName;
    const rows: unknown[] = makeRows(result, convertersFor(result));
    // For `get`, Drizzle expects the row itself in `rows`.
    return { rows: method === 'get' ? (rows[0] as unknown[]) : rows };
  };
}

type Tables<TSchema extends Schema> = ExtractTablesWithRelations<TSchema>;
type RemoteSession<TSchema extends Schema> = SQLiteRemoteSession<TSchema, Tables<TSchema>>;
type Transaction<TSchema extends Schema> = SQLiteProxyTransaction<TSchema, Tables<TSchema>>;

/** The statements of one handle. A transaction has a session of its own, with the handle of the transaction. */
class HandleSession<TSchema extends Schema> extends SQLiteRemoteSession<TSchema, Tables<TSchema>> {
  readonly #database: Database;
  readonly #dialect: NumberedDialect;
  readonly #parts: DrizzleParts<TSchema>;
  /** The session of statements whose rows are not mapped to fields. */
  readonly #unmapped: RemoteSession<TSchema>;

  constructor(database: Database, dialect: NumberedDialect, parts: DrizzleParts<TSchema>) {
    super(runOn(database, true), dialect, parts.schema, undefined, parts.session);
    this.#database = database;
    this.#dialect = dialect;
    this.#parts = parts;
    const run = runOn(database, false);
    this.#unmapped = new SQLiteRemoteSession(run, dialect, parts.schema, undefined, parts.session);
  }

  override prepareQuery<T extends Omit<PreparedQueryConfig, 'run'>>(
    ...query: Parameters<RemoteSession<TSchema>['prepareQuery']>
  ): RemotePreparedQuery<T> {
    const [, fields, , , mapper] = query;
    return fields || mapper ? super.prepareQuery(...query) : this.#unmapped.prepareQuery(...query);
  }

  /** DEFERRED, IMMEDIATE and EXCLUSIVE have no effect: the writer of the handle takes its lock at the start. */
  override transaction<T>(work: (transaction: Transaction<TSchema>) => Promise<T>): Promise<T> {
    return this.#database.transaction(async () => {
      const session = new HandleSession(this.#database.current(), this.#dialect, this.#parts);
      return work(new HandleTransaction(this.#dialect, session, this.#parts.schema));
    });
  }
}

class HandleTransaction<TSchema extends Schema> extends SQLiteProxyTransaction<TSchema, Tables<TSchema>> {
  readonly #session: HandleSession<TSchema>;

  constructor(
    dialect: NumberedDialect,
    session: HandleSession<TSchema>,
    schema: DrizzleParts<TSchema>['schema'],
  ) {
    super('async', dialect, session, schema);
    this.#session = session;
  }

  override transaction<T>(work: (transaction: Transaction<TSchema>) => Promise<T>): Promise<T> {
    return this.#session.transaction(work);
  }
}
