import { createHash } from 'node:crypto';
import pg, { type FieldDef } from 'pg';
import type { Row, SqlColumn } from '../database.js';

type Parser = (text: string) => SqlColumn;

/** The columns of the rows of a prepared statement. Postgres refuses to execute the statement if they change. */
export interface Columns {
  /** A row in which every column is null. */
  readonly empty: Row;
  readonly names: readonly string[];
  readonly parsers: readonly Parser[];
}

/** The columns of a statement that returns no rows. */
export const noColumns: Columns = { empty: {}, names: [], parsers: [] };

const { INT2, INT4, INT8 } = pg.types.builtins;

/** Returns the columns that a RowDescription message describes. Integers are parsed as bigint, as every engine does. */
export function columnsOf(fields: readonly FieldDef[]): Columns {
  const isInteger = (type: number) => type === INT2 || type === INT4 || type === INT8;
  return {
    empty: Object.fromEntries(fields.map(({ name }) => [name, null])),
    names: fields.map(({ name }) => name),
    parsers: fields.map(({ dataTypeID: type }) =>
      isInteger(type) ? BigInt : pg.types.getTypeParser(type, 'text'),
    ),
  };
}

/**
 * Parses a DataRow message.
 * @throws Error when the row does not have these columns
 */
export function rowOf({ empty, names, parsers }: Columns, values: readonly (string | null)[]): Row {
  if (values.length !== names.length) throw new Error('the row has other columns than its statement');
  const row = { ...empty };
  for (let index = 0; index < names.length; index++) {
    const value = values[index] as string | null;
    row[names[index] as string] = value === null ? null : (parsers[index] as Parser)(value);
  }
  return row;
}

/** How often a connection of this process has noticed a change of the schema. */
let schemaChanges = 0;

/** The statements that one connection has prepared, with the columns of their rows. */
export class PreparedStatements {
  readonly #columns = new Map<string, Columns>();
  #seenSchemaChanges = schemaChanges;

  /** Returns the columns of a prepared statement, or undefined if the text must be prepared. */
  get(text: string): Columns | undefined {
    if (this.#seenSchemaChanges !== schemaChanges) this.forgetAll();
    return this.#columns.get(text);
  }

  /** Notes that the server has prepared a statement. */
  add(text: string, columns: Columns): void {
    this.#columns.set(text, columns);
  }

  /** Notes that a statement may not be prepared. */
  forget(text: string): void {
    this.#columns.delete(text);
  }

  /** Notes that the server may have dropped every statement of the connection. */
  forgetAll(): void {
    this.#seenSchemaChanges = schemaChanges;
    this.#columns.clear();
  }
}

/** Makes every connection of the process prepare its statements again, because their plans may be outdated. */
export function noteSchemaChange(): void {
  schemaChanges++;
}

const names = new Map<string, string>();

/**
 * Returns the name of a prepared statement: a digest of its text. Two copies of this library that share a pool use
 * the same name only for the same text.
 */
export function nameOf(text: string): string {
  let name = names.get(text);
  if (!name) {
    name = `rg_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
    names.set(text, name);
  }
  return name;
}
