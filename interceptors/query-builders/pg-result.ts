import type { Dialect, RawValue, Result } from '../database/index.js';
import { type Converter, convertersOf, rowsByName, rowsByPosition, type ValueOptions } from './values.js';

/** The result of a query, as pg resolves to it. */
export interface PgResult<R = Record<string, unknown>> {
  readonly rows: R[];
  /** The number of rows that were written or returned. Null for a command that does neither. */
  readonly rowCount: number | null;
  readonly command: string;
  /** The columns. On SQLite, which has no OIDs, `dataTypeID` is 0. */
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[];
}

/** The form of the rows of a query. */
export interface PgRowOptions {
  /** With `array`, each row is a list of values. */
  readonly rowMode?: 'array';
  /** The parsers of this query. Postgres only. */
  readonly types?: { getTypeParser(type: number, format: 'text'): (text: string) => unknown };
}

/** Converts a result of the handle to a result of pg. */
export function toPgResult(result: Result, converters: readonly Converter[], rowMode?: 'array'): PgResult {
  const rows = rowMode === 'array' ? rowsByPosition(result, converters) : rowsByName(result, converters);
  return {
    rows: rows as Record<string, unknown>[],
    rowCount: countOf(result),
    command: result.command,
    fields: result.columns.map(({ name, type }) => ({ name, dataTypeID: Number(type) || 0 })),
  };
}

/**
 * Returns the converters of a query that may have type parsers of its own.
 * @throws TypeError when a query on SQLite has type parsers, which need the types of Postgres
 */
export function pgConverters(
  result: Result,
  dialect: Dialect['name'],
  types: PgRowOptions['types'],
  options: ValueOptions,
): Converter[] {
  if (!types) return convertersOf(result, dialect, options);
  if (dialect !== 'postgres') throw new TypeError('type parsers of a query need the types of Postgres');
  return result.columns.map(({ type }) => {
    const parse = types.getTypeParser(type as number, 'text');
    return (value: RawValue) => (value === null ? null : parse(value as string));
  });
}

const writing = /^(INSERT|REPLACE|UPDATE|DELETE|MERGE)$/;

function countOf({ command, affectedRows, columns, values }: Result): number | null {
  if (writing.test(command)) return affectedRows;
  return columns.length > 0 ? values.length : null;
}
