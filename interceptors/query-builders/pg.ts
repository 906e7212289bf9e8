import { EventEmitter } from 'node:events';
import type { Database, Result } from '../database/index.js';
import { assertHandle } from '../options/handle.js';
import { assertKnownOptions } from '../options/known-options.js';
import { assertPart } from '../options/part.js';
import { BuilderConnection } from './connection.js';
import { toParameters } from './parameters.js';
import { type PgResult, type PgRowOptions, pgConverters, toPgResult } from './pg-result.js';
import type { ValueOptions } from './values.js';

export type { PgResult } from './pg-result.js';

/** The options of `createPgPool`. */
export interface PgPoolOptions extends ValueOptions {}

/** A query in the form of an object. `name` has no effect: the handle prepares every text. */
export interface PgQuery extends PgRowOptions {
  readonly text: string;
  readonly values?: readonly unknown[];
  readonly name?: string;
}

type Done<T> = (error: Error | undefined, result?: T) => void;

/** The `query` of pg: with a promise, or with a callback as the last argument. */
export interface PgQueryable extends EventEmitter {
  query<R = Record<string, unknown>>(
    query: string | PgQuery,
    values?: readonly unknown[],
  ): Promise<PgResult<R>>;
  query<R = Record<string, unknown>>(query: string | PgQuery, done: Done<PgResult<R>>): void;
  query<R = Record<string, unknown>>(
    query: string | PgQuery,
    values: readonly unknown[] | undefined,
    done: Done<PgResult<R>>,
  ): void;
}

/** A client of the pool. BEGIN, COMMIT, ROLLBACK and savepoints are those of a `transaction` of the handle. */
export interface PgClient extends PgQueryable {
  /** Returns the client. A transaction that is still open is rolled back. */
  release(error?: Error | boolean): void;
}

/** An object with the methods of a `pg.Pool` whose statements run through a database handle. */
export interface PgPool extends PgQueryable {
  connect(): Promise<PgClient>;
  connect(done: (error: Error | undefined, client: PgClient, release: PgClient['release']) => void): void;
  /** Resolves at once: the handle belongs to the application. */
  end(): Promise<void>;
  end(done: () => void): void;
}

/**
 * Creates an object that libraries and code for pg can use as a `pg.Pool`. Its statements run in the unit of work of the
 * current guarded call, or on their own outside of one. It runs on both engines.
 * @throws TypeError when `database` is not a handle, or an option is unknown
 */
export function createPgPool(database: Database, options: PgPoolOptions = {}): PgPool {
  assertHandle('createPgPool', database);
  assertKnownOptions('createPgPool', options, { parseBigInt: true });
  return new HandlePool(database, options) as PgPool;
}

/**
 * Creates the driver of a library that makes its pool itself, such as TypeORM: `new driver.Pool()` returns `pool`.
 * @throws TypeError when `pool` is not the result of `createPgPool`
 */
export function createPgDriver(pool: PgPool): { readonly Pool: new () => PgPool } {
  assertPart('createPgDriver: pool', pool, {
    methods: ['connect', 'query', 'end'],
    expected: 'the result of createPgPool',
  });
  const Pool = function Pool() {
    return pool;
  };
  return { Pool: Pool as unknown as new () => PgPool };
}

abstract class Queryable extends EventEmitter {
  protected readonly database: Database;
  protected readonly options: ValueOptions;

  constructor(database: Database, options: ValueOptions) {
    super();
    this.database = database;
    this.options = options;
  }

  protected abstract run(text: string, values: readonly unknown[]): Promise<Result>;

  query(query: string | PgQuery, values?: unknown, done?: unknown): Promise<PgResult> | undefined {
    const [params, callback] = typeof values === 'function' ? [undefined, values] : [values, done];
    const result = this.#query(query, params as readonly unknown[] | undefined);
    if (typeof callback !== 'function') return result;
    // An error that the callback throws must not become an error of the query.
    result.then(
      (value) => process.nextTick(callback as Done<PgResult>, undefined, value),
      (error) => process.nextTick(callback as Done<PgResult>, error),
    );
    return undefined;
  }

  async #query(query: string | PgQuery, values: readonly unknown[] | undefined): Promise<PgResult> {
    const config: PgQuery = typeof query === 'string' ? { text: query } : query;
    assertQuery(config);
    const result = await this.run(config.text, values ?? config.values ?? []);
    const converters = pgConverters(result, this.database.dialect.name, config.types, this.options);
    return toPgResult(result, converters, config.rowMode);
  }
}

/** The members of a query of pg that would change what the query does. */
const refused = ['binary', 'portal', 'query_timeout', 'rows'];

/** @throws TypeError when the query is a stream or a cursor, or has a member that the handle does not support */
function assertQuery(query: PgQuery): void {
  if (typeof query !== 'object' || query === null)
    throw new TypeError('a query must be a text, or an object with a text');
  if ('submit' in query)
    throw new TypeError('the database handle runs no streams and cursors; read the rows in pages');
  const member = refused.find((name) => Object.hasOwn(query, name));
  if (member) throw new TypeError(`the database handle does not support ${member} of a query`);
  if (typeof query.text !== 'string') throw new TypeError('a query must have a text');
}

class HandleClient extends Queryable {
  /** The caller may begin in one function and commit in another, so no function enters the context. */
  readonly #connection = new BuilderConnection(this.database, false);

  protected run(text: string, values: readonly unknown[]): Promise<Result> {
    return this.#connection.query(text, values);
  }

  release(): void {
    this.#connection.close().catch(() => {});
  }
}

class HandlePool extends Queryable {
  /** The handle refuses BEGIN, because each query of a pool may use another connection. */
  protected run(text: string, values: readonly unknown[]): Promise<Result> {
    return this.database.execute(text, toParameters(values, this.database.dialect.name));
  }

  connect(done?: (error: undefined, client: HandleClient, release: () => void) => void) {
    const client = new HandleClient(this.database, this.options);
    if (!done) return Promise.resolve(client);
    process.nextTick(done, undefined, client, () => client.release());
    return undefined;
  }

  end(done?: () => void) {
    if (!done) return Promise.resolve();
    process.nextTick(done);
    return undefined;
  }
}
