import { types } from 'node:util';
import type { Dialect, SqlValue } from '../database/index.js';
import { localDateText } from '../database/local-date-text.js';

/**
 * Converts the parameters of a query builder to those of the handle: an object becomes JSON, and a list becomes an array
 * of Postgres, as pg does.
 * @throws TypeError when a list is sent to SQLite, which has no arrays
 */
export function toParameters(params: readonly unknown[], dialect: Dialect['name']): SqlValue[] {
  return params.map((param) => toParameter(param, dialect));
}

function toParameter(param: unknown, dialect: Dialect['name']): SqlValue {
  if (param === undefined || param === null) return null;
  if (typeof param !== 'object') return param as SqlValue;
  if (param instanceof Uint8Array || types.isDate(param)) return param;
  if (ArrayBuffer.isView(param)) return new Uint8Array(param.buffer, param.byteOffset, param.byteLength);
  if (Array.isArray(param)) {
    if (dialect === 'postgres') return arrayText(param);
    throw new TypeError('SQLite has no arrays; send JSON.stringify(list) for a JSON column');
  }
  // Objects of libraries for Postgres, such as intervals and vectors, know their own form.
  if ('toPostgres' in param && typeof param.toPostgres === 'function') {
    return toParameter(
      param.toPostgres((value: unknown) => toParameter(value, dialect)),
      dialect,
    );
  }
  return JSON.stringify(param);
}

/** Returns the text of an array of Postgres. */
function arrayText(list: readonly unknown[]): string {
  // `from` also reads the empty items of a list, which `map` skips.
  return `{${Array.from(list, elementText).join()}}`;
}

function elementText(element: unknown): string {
  if (Array.isArray(element)) return arrayText(element);
  const value = toParameter(element, 'postgres');
  if (value === null) return 'NULL';
  if (value instanceof Uint8Array) return `"\\\\x${Buffer.from(value).toString('hex')}"`;
  const text = types.isDate(value) ? localDateText(value) : String(value);
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}
