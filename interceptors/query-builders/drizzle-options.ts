import {
  createTableRelationsHelpers,
  DefaultLogger,
  type DrizzleConfig,
  type ExtractTablesWithRelations,
  extractTablesRelationalConfig,
  type Logger,
  type RelationalSchemaConfig,
} from 'drizzle-orm';
import type { Database, Dialect } from '../database/index.js';
import { assertHandle } from '../options/handle.js';
import { assertKnownOptions } from '../options/known-options.js';

/** The tables of a schema of Drizzle, by name. */
export type Schema = Record<string, unknown>;

/** The options of `createDrizzlePostgres` and `createDrizzleSqlite`. They have the same meaning as in Drizzle. */
export interface DrizzleOptions<TSchema extends Schema> {
  /** The tables and relations, for `db.query`. Default: none. */
  readonly schema?: TSchema;
  /** Receives each statement with its parameters. Default: none. */
  readonly logger?: Logger | boolean;
  /** How names of columns are written in SQL. Default: as in the schema. */
  readonly casing?: NonNullable<DrizzleConfig['casing']>;
}

/** The parts of a session of Drizzle. */
export interface DrizzleParts<TSchema extends Schema> {
  readonly schema: RelationalSchemaConfig<ExtractTablesWithRelations<TSchema>> | undefined;
  readonly session: { readonly logger?: Logger };
}

/**
 * Checks the arguments of a factory, and makes the parts of a session of Drizzle. The option `cache` of Drizzle is
 * refused, because a reply must not depend on rows that another call has read.
 * @throws TypeError when `database` is not a handle of that engine, or an option is unknown
 */
export function drizzleParts<TSchema extends Schema>(
  factory: string,
  database: Database,
  engine: Dialect['name'],
  options: DrizzleOptions<TSchema>,
): DrizzleParts<TSchema> {
  assertHandle(factory, database);
  if (database.dialect.name !== engine)
    throw new TypeError(`${factory}: the database is not a ${engine} database`);
  assertKnownOptions(factory, options, { schema: true, logger: true, casing: true });
  const logger = options.logger === true ? new DefaultLogger() : options.logger || undefined;
  return { schema: relationsOf(options.schema), session: logger ? { logger } : {} };
}

function relationsOf<TSchema extends Schema>(fullSchema: TSchema | undefined) {
  if (!fullSchema) return undefined;
  const { tables, tableNamesMap } = extractTablesRelationalConfig(fullSchema, createTableRelationsHelpers);
  return { fullSchema, schema: tables as ExtractTablesWithRelations<TSchema>, tableNamesMap };
}
