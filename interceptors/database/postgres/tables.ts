import { LRUCache } from 'lru-cache';
import type { Row } from '../database.js';
import type { Statement } from '../engine.js';

const names = [
  'replay_guard_schema',
  'replay_guard_records',
  'replay_guard_producers',
  'replay_guard_messages',
  'replay_guard_outbox',
  'replay_guard_outbox_closed',
];

/** The indexes that a migration step drops, each with its table. An index is in the schema of its table. */
const dropped: Readonly<Record<string, string>> = {
  replay_guard_records_scope: 'replay_guard_records',
  replay_guard_producers_scope: 'replay_guard_producers',
};

/** Where the tables of the library are, and whether a migration may change them. */
export interface SchemaLayout {
  /** The schema of the tables of the library. Default: the schema in which the search path of the connection finds them. */
  readonly schema?: string;
  /** Whether missing migration steps are applied. Default: true. */
  readonly migrate?: boolean;
}

/** A place in a statement where a table of the library is named without its schema. A column is named elsewhere. */
const unqualified = new RegExp(
  `(\\b(?:FROM|JOIN|INTO|UPDATE|TABLE|EXISTS|ON)\\s+|')(${names.join('|')})(?=[\\s(),;]|$|'::regclass)` +
    `|(\\bDROP INDEX\\s+)(${Object.keys(dropped).join('|')})\\b`,
  'gi',
);

/** Finds a schema by its name. */
export const findSchema = 'SELECT nspname AS name FROM pg_catalog.pg_namespace WHERE nspname = $1';

/** Returns the statement that finds the columns of a table: no rows if the table is missing. */
export function columnsOf(table: string, schema: string | undefined): Statement {
  return {
    text: `SELECT attname AS name FROM pg_catalog.pg_attribute
      WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`,
    params: [schema === undefined ? table : `${quoted(schema)}.${table}`],
  };
}

/** Returns a name without quotation marks as an identifier of SQL. */
export function quoted(name: string): string {
  return `"${name}"`;
}

/** Finds the tables in the search path of the connection. */
export const findTables: Statement = {
  text: `
    SELECT relname AS name, quote_ident(nspname) AS schema
    FROM pg_catalog.pg_class AS tables JOIN pg_catalog.pg_namespace AS schemas ON schemas.oid = relnamespace
    WHERE tables.oid IN (SELECT to_regclass(name) FROM unnest(CAST($1 AS TEXT[])) AS each (name))`,
  params: [`{${names.join()}}`],
};

/**
 * The tables of the library, each in the schema in which the migration has found it. The search path of another connection
 * may lead to tables of the same names in another schema. Keys would execute again there. So statements name the schema.
 */
export class Tables {
  readonly #schemas = new Map<string, string>();
  readonly #schema: string | undefined;
  /** The results of recent texts. A connection through a pooler prepares a text for each use. */
  readonly #qualified = new LRUCache<string, string>({ max: 500, maxSize: 1_000_000 });

  /** @param schema the schema of all tables. Default: each table is where `note` says */
  constructor(schema?: string) {
    this.#schema = schema === undefined ? undefined : quoted(schema);
  }

  /** Notes the rows of `findTables`. A table stays in the schema in which it was found first. */
  note(rows: readonly Row[]): void {
    for (const { name, schema } of rows)
      if (!this.#schemas.has(name as string)) this.#schemas.set(name as string, schema as string);
    this.#qualified.clear();
  }

  /** Returns a statement with the schema before the name of each table that was found. */
  qualify(text: string): string {
    const known = this.#qualified.get(text);
    if (known !== undefined) return known;
    const qualified = text.replace(unqualified, (all, before, table, drop, index) => {
      const schema = this.#schema ?? this.#schemas.get(table ?? dropped[index]);
      return schema === undefined ? all : `${before ?? drop}${schema}.${table ?? index}`;
    });
    this.#qualified.set(text, qualified, { size: text.length + 1 });
    return qualified;
  }
}
