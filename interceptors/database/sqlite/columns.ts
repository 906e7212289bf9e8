import type { Statement as Prepared } from 'better-sqlite3';
import type { Row, SqlColumn } from '../database.js';
import type { Column, RawValue } from '../result.js';

/**
 * Returns the names of the columns of a statement, or undefined if they can change with the schema: the statement
 * contains `*`.
 */
export function fixedNames(text: string, prepared: Prepared): readonly string[] | undefined {
  return text.includes('*') ? undefined : namesOf(prepared);
}

/** Returns the current names of the columns of a statement. */
export function namesOf(prepared: Prepared): readonly string[] {
  return prepared.columns().map(({ name }) => name);
}

/** Makes a row of a list of values. */
export function named(names: readonly string[], values: readonly SqlColumn[]): Row {
  const row: Row = {};
  for (let index = 0; index < names.length; index++) row[names[index] as string] = values[index] as SqlColumn;
  return row;
}

/** Returns the columns of a statement, with the types that its tables declare. */
export function columnsOf(prepared: Prepared): Column[] {
  return prepared.columns().map(({ name, type }) => {
    const declared = (type ?? '').toUpperCase();
    const toValue = converterOf(name, declared);
    return { name, type: declared, toValue, toDriverValue: numberIfSafe };
  });
}

/**
 * By default, better-sqlite3 returns numbers and loses digits. Here an integer that is not a safe integer stays a
 * bigint.
 */
function numberIfSafe(value: RawValue): unknown {
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

const booleans = /^BOOL(EAN)?$/;
const json = /^JSONB?$/;
const times = /^(DATETIME|TIMESTAMPTZ|TIMESTAMP)\b/;

/** SQLite stores values of these types as numbers or texts. Another value is returned as it is stored. */
function converterOf(name: string, declared: string): (value: RawValue) => unknown {
  if (booleans.test(declared)) return toBoolean;
  if (times.test(declared)) return toDate;
  if (json.test(declared)) return (value) => parsed(name, value);
  return asStored;
}

function asStored(value: RawValue): unknown {
  return value;
}

function toBoolean(value: RawValue): unknown {
  return value === 1n ? true : value === 0n ? false : value;
}

/** The forms of ISO 8601 with a time, and the form of `CURRENT_TIMESTAMP`. A time without a zone is in UTC. */
const time = /^((?:[+-]\d\d)?\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?$/;

function toDate(value: RawValue): unknown {
  const [, day, clock, zone = 'Z'] = (typeof value === 'string' && time.exec(value)) || [];
  if (day === undefined) return value;
  const date = new Date(`${day}T${clock}${zone}`);
  return Number.isNaN(date.getTime()) ? value : date;
}

/** A column that is declared as JSON has the affinity of numbers, so a JSON number is stored as a number. */
function parsed(column: string, value: RawValue): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch (cause) {
    throw new TypeError(`column ${column} is declared as JSON, and contains text that is not JSON`, {
      cause,
    });
  }
}
