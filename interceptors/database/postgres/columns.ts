import pg, { type FieldDef } from 'pg';
import type { Row, SqlColumn } from '../database.js';
import type { Column, RawValue } from '../result.js';

type Parser = (text: string) => SqlColumn;

/** The columns of the rows of a prepared statement. Postgres refuses to execute the statement if they change. */
export interface Columns {
  /** A row in which every column is null. */
  readonly empty: Row;
  readonly names: readonly string[];
  readonly parsers: readonly Parser[];
  /** The columns as a result describes them. */
  readonly described: readonly Column[];
}

/** The columns of a statement that returns no rows. */
export const noColumns: Columns = { empty: {}, names: [], parsers: [], described: [] };

const { BOOL, BPCHAR, BYTEA, CHAR, FLOAT4, FLOAT8, INT2, INT4, INT8, TEXT, UUID, VARCHAR } =
  pg.types.builtins;
const NAME = 19;

/**
 * The parsers of the types whose values are the same on every engine. The application may have replaced the parsers of pg
 * for all its connections.
 */
const parsers: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  ...[INT2, INT4, INT8].map((type) => [type, BigInt] as const),
  ...[FLOAT4, FLOAT8].map((type) => [type, Number] as const),
  ...[TEXT, VARCHAR, BPCHAR, CHAR, NAME, UUID].map((type) => [type, (text: string) => text] as const),
  [BOOL, (text: string) => text === 't'],
  [BYTEA, bytesOf],
]);

/** Parses binary data in both forms that `bytea_output` can choose. */
function bytesOf(text: string): Buffer {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex');
  const byteOf = (_: string, code: string) =>
    code === '\\' ? code : String.fromCharCode(Number.parseInt(code, 8));
  return Buffer.from(text.replace(/\\(\\|[0-7]{3})/g, byteOf), 'latin1');
}

/** Returns the columns that a RowDescription message describes. Integers are parsed as bigint, as every engine does. */
export function columnsOf(fields: readonly FieldDef[]): Columns {
  return {
    empty: Object.fromEntries(fields.map(({ name }) => [name, null])),
    names: fields.map(({ name }) => name),
    parsers: fields.map(({ dataTypeID: type }) => (parsers.get(type) ?? parserOfPg(type)) as Parser),
    described: fields.map(describe),
  };
}

/** The parser of pg for a type, or the parser that the application has set in its place. */
function parserOfPg(type: number): (text: string) => unknown {
  return pg.types.getTypeParser(type, 'text');
}

function describe({ name, dataTypeID: type }: FieldDef): Column {
  const nullOr = (parser: (text: string) => unknown) => (value: RawValue) =>
    value === null ? null : parser(value as string);
  const toDriverValue = nullOr(parserOfPg(type));
  const own = parsers.get(type);
  return { name, type, toValue: own ? nullOr(own) : toDriverValue, toDriverValue };
}

/**
 * Checks the values of a DataRow message.
 * @throws Error when the row does not have these columns
 */
export function assertRow({ names }: Columns, values: readonly unknown[]): void {
  if (values.length !== names.length) throw new Error('the row has other columns than its statement');
}

/**
 * Parses a DataRow message.
 * @throws Error when the row does not have these columns
 */
export function rowOf(columns: Columns, values: readonly (string | null)[]): Row {
  assertRow(columns, values);
  const { empty, names, parsers } = columns;
  const row = { ...empty };
  for (let index = 0; index < names.length; index++) {
    const value = values[index] as string | null;
    row[names[index] as string] = value === null ? null : (parsers[index] as Parser)(value);
  }
  return row;
}
