import { types as kinds } from 'node:util';
import type { Knex } from 'knex';
import SqliteClient from 'knex/lib/dialects/better-sqlite3/index.js';
import Transaction from 'knex/lib/dialects/postgres/execution/pg-transaction.js';
import PostgresClient from 'knex/lib/dialects/postgres/index.js';
import type { Column, Database, RawValue, Result } from '../database/index.js';
import { assertHandle } from '../options/handle.js';
import { assertKnownOptions } from '../options/known-options.js';
import { BuilderConnection } from './connection.js';
import { type PgRowOptions, pgConverters, toPgResult } from './pg-result.js';
import { type Converter, convertersOf, rowsByName, type ValueOptions } from './values.js';

/** The options of `createKnexClient`. */
export interface KnexClientOptions extends ValueOptions {}

/** A statement as Knex gives it to a client, with the members that the client fills. */
interface KnexQuery {
  readonly sql: string;
  readonly bindings?: readonly unknown[];
  readonly options?: PgRowOptions;
  response?: unknown;
  context?: { readonly lastID: number; readonly changes: number };
}

/**
 * Creates the client of a Knex instance, `knex({ client: createKnexClient(database) })`. Its statements run through the
 * database handle: in the unit of work of the current guarded call, or on their own outside of one. A transaction of Knex
 * is a `transaction` of the handle. `destroy()` of the instance leaves the handle open.
 * @throws TypeError when `database` is not a handle, or an option is unknown
 */
export function createKnexClient(database: Database, options: KnexClientOptions = {}): typeof Knex.Client {
  assertHandle('createKnexClient', database);
  assertKnownOptions('createKnexClient', options, { parseBigInt: true });
  return database.dialect.name === 'postgres'
    ? onHandle(PostgresClient, database, (connection, query) => runLikePg(connection, query, options))
    : onHandle(SqliteClient, database, (connection, query) => runLikeSqlite(connection, query, options));
}

type Run = (connection: BuilderConnection, query: KnexQuery) => Promise<KnexQuery>;

/**
 * Makes a client of Knex run its statements through the handle. For a transaction, Knex makes a client that has only the
 * prototype of this class.
 */
function onHandle(Client: typeof Knex.Client, database: Database, run: Run): typeof Knex.Client {
  class HandleClient extends Client {
    /** A connection object holds no resources, because the handle has a pool of its own. */
    override async acquireConnection(): Promise<BuilderConnection> {
      return new BuilderConnection(database, true);
    }

    override releaseConnection(connection: BuilderConnection): Promise<void> {
      return connection.close();
    }

    /** The handle belongs to the application. */
    override async destroy(callback?: () => void): Promise<void> {
      callback?.();
    }

    override transaction(container: unknown, config: unknown, outer: unknown): Knex.Transaction {
      return new HandleTransaction(this, container, config, outer) as unknown as Knex.Transaction;
    }

    override positionBindings(sql: string): string {
      return numbered(sql);
    }

    /** Not `async`: a transaction begins before this method returns, so that Knex continues in its context. */
    _query(connection: BuilderConnection, query: KnexQuery): Promise<KnexQuery> {
      if (!query.sql) return Promise.reject(new TypeError('the query is empty'));
      return run(connection, query);
    }

    _stream(_connection: unknown, _query: unknown, stream: { destroy(error: Error): void }): Promise<never> {
      const error = new TypeError('the database handle does not stream rows; read them in pages');
      stream.destroy(error);
      return Promise.reject(error);
    }
  }
  // The handle has no way to cancel one statement.
  HandleClient.prototype.canCancelQuery = false;
  return HandleClient;
}

/** Ends the savepoints that Knex leaves open. Otherwise statements of the handle would wait for their end. */
class HandleTransaction extends Transaction {
  override rollbackTo(connection: BuilderConnection, error?: unknown): Promise<unknown> {
    const rolledBack = super.rollbackTo(connection, error);
    connection.change({ kind: 'release', name: this.txid }).catch(() => {});
    return rolledBack;
  }

  /** If the savepoint cannot be released, it is rolled back. The outer transaction continues, as with the handle. */
  override release(connection: BuilderConnection, value?: unknown): Promise<unknown> {
    const released = super.release(connection, value);
    connection
      .change({ kind: 'rollbackTo', name: this.txid })
      .then(() => connection.change({ kind: 'release', name: this.txid }))
      // The savepoint was released.
      .catch(() => {});
    return released;
  }
}

async function runLikePg(
  connection: BuilderConnection,
  query: KnexQuery,
  options: ValueOptions,
): Promise<KnexQuery> {
  const result = await connection.query(query.sql, query.bindings);
  const { types, rowMode } = query.options ?? {};
  query.response = toPgResult(result, pgConverters(result, 'postgres', types, options), rowMode);
  return query;
}

/** On SQLite Knex stores a Date as a number of milliseconds. */
async function runLikeSqlite(
  connection: BuilderConnection,
  query: KnexQuery,
  options: ValueOptions,
): Promise<KnexQuery> {
  const bindings = query.bindings?.map((value) => (kinds.isDate(value) ? value.valueOf() : value));
  const result = await connection.query(query.sql, bindings);
  const context = { lastID: Number(result.lastRowId ?? 0), changes: result.affectedRows };
  query.context = context;
  query.response =
    result.columns.length > 0
      ? rowsByName(result, withTimes(result, convertersOf(result, 'sqlite', options)))
      : { changes: context.changes, lastInsertRowid: context.lastID };
  return query;
}

function withTimes({ columns }: Result, converters: readonly Converter[]): Converter[] {
  return converters.map((convert, index) => {
    if (!/^(DATETIME|TIMESTAMP)/.test(String((columns[index] as Column).type))) return convert;
    return (value: RawValue) => (typeof value === 'bigint' ? new Date(Number(value)) : convert(value));
  });
}

/** The parts of a SQL text in which `?` is not a binding: texts, quoted names, comments. `\?` stands for a question mark. */
const quotedOrBinding = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|--[^\n]*|\/\*[\s\S]*?\*\/|(\\*)\?/g;

/** Replaces the bindings of Knex by the numbered parameters of the handle. */
function numbered(sql: string): string {
  let count = 0;
  return sql.replace(quotedOrBinding, (part: string, escapes: string | undefined) => {
    if (escapes === undefined) return part.replaceAll('\\?', '?');
    return escapes.length % 2 === 1 ? '?' : `$${++count}`;
  });
}
