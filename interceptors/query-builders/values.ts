import type { Column, Dialect, RawValue, Result } from '../database/index.js';

/** The options that the query builders share. */
export interface ValueOptions {
  /**
   * Converts a BIGINT from its decimal digits, for example `BigInt` or `Number`. Default: the digits as text, as pg does.
   * On Postgres the default is the type parser that the application has set in pg.
   */
  readonly parseBigInt?: (digits: string) => unknown;
}

/** Converts a value of a column to the form that the users of a builder expect. */
export type Converter = (value: RawValue) => unknown;

const INT8 = 20;

/**
 * Returns the converters of the columns of a result. On Postgres the values are as pg returns them. On SQLite they are
 * alike, by the types that the table declares: a boolean, a Date, parsed JSON, digits for a BIGINT. Other integers are
 * numbers, or text if a number would lose digits.
 */
export function convertersOf(
  { columns }: Result,
  dialect: Dialect['name'],
  { parseBigInt }: ValueOptions,
): Converter[] {
  if (dialect === 'postgres')
    return columns.map((column) =>
      column.type === INT8 && parseBigInt ? digitsTo(parseBigInt) : (value) => column.toDriverValue(value),
    );
  return columns.map((column) =>
    /^(BIGINT|INT8)\b/.test(String(column.type)) ? digitsTo(parseBigInt) : integerOf(column),
  );
}

function digitsTo(parse: ((digits: string) => unknown) | undefined): Converter {
  return (value) => {
    // SQLite stores values of every type in every column.
    if (value === null || typeof value === 'number' || typeof value === 'object') return value;
    return parse ? parse(String(value)) : String(value);
  };
}

function integerOf(column: Column): Converter {
  return (value) => {
    const converted = column.toValue(value);
    if (typeof converted !== 'bigint') return converted;
    const number = Number(converted);
    return Number.isSafeInteger(number) ? number : String(converted);
  };
}

/** Makes the rows of a result by column name. */
export function rowsByName(result: Result, converters: readonly Converter[]): Record<string, unknown>[] {
  return result.values.map((values) => {
    const row: Record<string, unknown> = {};
    for (const [index, column] of result.columns.entries())
      row[column.name] = (converters[index] as Converter)(values[index] as RawValue);
    return row;
  });
}

/** Makes the rows of a result as lists of values, in the order of the columns. */
export function rowsByPosition(result: Result, converters: readonly Converter[]): unknown[][] {
  return result.values.map((values) => values.map((value, index) => (converters[index] as Converter)(value)));
}
