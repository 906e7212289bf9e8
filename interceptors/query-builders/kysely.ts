import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type TransactionSettings,
} from 'kysely';
import type { Database } from '../database/index.js';
import { assertHandle } from '../options/handle.js';
import { assertKnownOptions } from '../options/known-options.js';
import { BuilderConnection } from './connection.js';
import { assertModes } from './control-text.js';
import { convertersOf, rowsByName, type ValueOptions } from './values.js';

/** The options of `createKyselyDialect`. */
export interface KyselyDialectOptions extends ValueOptions {}

/**
 * Creates the dialect of a Kysely instance whose statements run through a database handle: in the unit of work of the
 * current guarded call, or on their own outside of one. A transaction of Kysely is a `transaction` of the handle.
 * `destroy()` of the instance leaves the handle open.
 * @throws TypeError when `database` is not a handle, or an option is unknown
 */
export function createKyselyDialect(database: Database, options: KyselyDialectOptions = {}): Dialect {
  assertHandle('createKyselyDialect', database);
  assertKnownOptions('createKyselyDialect', options, { parseBigInt: true });
  const isPostgres = database.dialect.name === 'postgres';
  return {
    createDriver: () => new HandleDriver(database, options),
    createQueryCompiler: () => (isPostgres ? new PostgresQueryCompiler() : new NumberedQueryCompiler()),
    createAdapter: () => (isPostgres ? new PostgresAdapter() : new HandleSqliteAdapter()),
    createIntrospector: (db) => (isPostgres ? new PostgresIntrospector(db) : new SqliteIntrospector(db)),
  };
}

/** The handle numbers its parameters on every engine. */
class NumberedQueryCompiler extends SqliteQueryCompiler {
  protected override getCurrentParameterPlaceholder(): string {
    return `$${this.numParameters}`;
  }
}

/**
 * From version 0.29 on, a SQLite connection of Kysely serves one user at a time. The statements in the work of a
 * transaction would then wait for the end of the transaction. The handle itself orders the statements.
 */
class HandleSqliteAdapter extends SqliteAdapter {
  get supportsMultipleConnections(): boolean {
    return true;
  }
}

/** The commands after which Kysely reports the number of affected rows. */
const writes = new Set(['INSERT', 'REPLACE', 'UPDATE', 'DELETE', 'MERGE']);

class HandleConnection implements DatabaseConnection {
  readonly connection: BuilderConnection;
  readonly #database: Database;
  readonly #options: ValueOptions;

  constructor(database: Database, options: ValueOptions) {
    // One function of Kysely begins a transaction, runs its work and ends it. So that function may enter the context.
    this.connection = new BuilderConnection(database, true);
    this.#database = database;
    this.#options = options;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const result = await this.connection.query(sql, parameters);
    const rows = rowsByName(result, convertersOf(result, this.#database.dialect.name, this.#options));
    return {
      rows: rows as R[],
      ...(writes.has(result.command) && { numAffectedRows: BigInt(result.affectedRows) }),
      ...(result.lastRowId !== undefined && { insertId: result.lastRowId }),
    };
  }

  // biome-ignore lint/correctness/useYield: the first step refuses the stream
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new TypeError('the database handle does not stream rows; read them in pages');
  }
}

class HandleDriver implements Driver {
  readonly #database: Database;
  readonly #options: ValueOptions;

  constructor(database: Database, options: ValueOptions) {
    this.#database = database;
    this.#options = options;
  }

  async init(): Promise<void> {}

  /** A connection object holds no resources, because the handle has a pool of its own. */
  async acquireConnection(): Promise<DatabaseConnection> {
    return new HandleConnection(this.#database, this.#options);
  }

  beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const { isolationLevel, accessMode } = settings;
    assertModes(`${isolationLevel ? `isolation level ${isolationLevel}` : ''} ${accessMode ?? ''}`);
    return connectionOf(connection).change({ kind: 'begin' });
  }

  commitTransaction(connection: DatabaseConnection): Promise<void> {
    return connectionOf(connection).change({ kind: 'commit' });
  }

  rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    return connectionOf(connection).change({ kind: 'rollback' });
  }

  savepoint(connection: DatabaseConnection, name: string): Promise<void> {
    return connectionOf(connection).change({ kind: 'savepoint', name });
  }

  rollbackToSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    return connectionOf(connection).change({ kind: 'rollbackTo', name });
  }

  releaseSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    return connectionOf(connection).change({ kind: 'release', name });
  }

  releaseConnection(connection: DatabaseConnection): Promise<void> {
    return connectionOf(connection).close();
  }

  /** The handle belongs to the application. */
  async destroy(): Promise<void> {}
}

function connectionOf(connection: DatabaseConnection): BuilderConnection {
  return (connection as HandleConnection).connection;
}
